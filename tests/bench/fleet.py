"""What workers cost: CPU time per waiting run, short runs per second, parked runs, and the time until others take over.

python tests/bench/fleet.py [waiting] [held] [short] [parked] [takeover] [--count N]
"""

import argparse
import compileall
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "worker")]
from fleet import Fleet  # noqa: E402 - after the change of sys.path
from postgres import serving  # noqa: E402
from waiting import wait_until  # noqa: E402

WAIT = """
local p = integrations.replicate.create("minimax/video-01", { prompt = args[1] })
return integrations.replicate.wait(p).status
"""
HELD = """
import sys, tempfile, threading, resource
from kosmolua import Host
script = "local r = integrations.replicate local p = r.create('minimax/video-01', { prompt = args[1] }) "
script += "return r.wait(p, { interval = 5 }).status"
options = {"url": sys.argv[1], "token": "r8_held", "read": "allow", "write": "allow"}
with tempfile.TemporaryDirectory() as directory, Host(**options) as host:
    def run(n):
        host.run(script, args=[str(n)], journal=f"{directory}/{n}")
    threads = [threading.Thread(target=run, args=(n,)) for n in range(int(sys.argv[2]))]
    for each in threads: each.start()
    for each in threads: each.join()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(each.ru_utime + each.ru_stime for each in used))
"""
WARM = 12  # runs executed before the measured ones
SPEEDS = {"waiting": 4, "held": 1, "parked": 0.001}
TICKS = os.sysconf("SC_CLK_TCK")


def family(pid):
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def cpu_of(workers):
    """CPU seconds used by the workers and all their children, including children that have ended."""
    total = 0
    for worker in workers:
        for pid in family(worker.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / TICKS


def rss_of(workers):
    """Resident memory in MB; shared pages are counted for each process."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for one in workers for pid in family(one.pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def started(fleet, count=2, **options):
    given = {"lease": 15.0, "settling": 30.0, "park_after": 15.0, "slots": 8, **options}
    for _ in range(count):
        fleet.start(**given)
    wait_until(lambda: fleet.log().count("is ready") == count)


def server_cpu(fleet):
    """CPU seconds used by PostgreSQL, including its processes that have ended."""
    ((file,),) = fleet.database.rows(
        "SELECT setting || '/postmaster.pid' FROM pg_settings WHERE name = 'data_directory'"
    )
    return cpu_of([SimpleNamespace(pid=int(Path(file).read_text().split()[0]))])


def warmed(fleet):
    """Let the workers execute waiting runs first, so that they have loaded what the measured runs need."""
    fleet.submit(WARM, WAIT, name="warm")
    wait_until(lambda: fleet.states() == {"done": WARM}, 600, 0.5)
    fleet.database.rows("DELETE FROM runs")
    fleet.server.requests.clear()


def waiting(fleet, count):
    started(fleet, park_after=1.0)
    warmed(fleet)
    before, at = cpu_of(fleet.workers), time.monotonic()
    time.sleep(10)
    idle = (cpu_of(fleet.workers) - before) / (time.monotonic() - at)
    server = server_cpu(fleet)
    before, at, own = cpu_of(fleet.workers), time.monotonic(), time.process_time()
    fleet.submit(count, WAIT)
    own = time.process_time() - own
    done = "SELECT count(*) FROM runs WHERE state = 'done'"
    wait_until(lambda: fleet.database.rows(done) == [(count,)], 600, 0.5)
    used = cpu_of(fleet.workers) - before - idle * (time.monotonic() - at)
    server = server_cpu(fleet) - server
    ((size,),) = fleet.database.rows(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = 'kosmo' AND relkind = 'r'"
    )
    print(f"waiting: {used / count * 1000:.1f} ms CPU a run in workers, {own / count * 1000:.1f} ms to submit it; "
          f"{server / count * 1000:.1f} ms in PostgreSQL; {idle * 1000:.1f} ms a second without runs")  # fmt: skip
    print(
        f"  {size / count / 1000:.1f} kB a run in the database; {len(fleet.server.requests) / count:.1f} requests a run"
    )


def held(fleet, count):
    """Measure waiting runs in one host, which polls, and keeps a script process for each run while the run waits."""
    found = subprocess.run([sys.executable, "-c", HELD, fleet.api, str(count)], stdout=subprocess.PIPE, check=True)
    print(f"held: {float(found.stdout) / count * 1000:.1f} ms CPU a run in one host")


def short(fleet, count):
    started(fleet)
    before, began = cpu_of(fleet.workers), time.monotonic()
    fleet.submit(count, "return 1")
    done = "SELECT count(*) FROM runs WHERE state = 'done'"
    wait_until(lambda: fleet.database.rows(done) == [(count,)], 600, 0.1)
    took = time.monotonic() - began
    print(
        f"short: {count / took:.1f} runs a second, {(cpu_of(fleet.workers) - before) / count * 1000:.1f} ms CPU a run"
    )


def created(fleet, count):
    """The ids of the given number of predictions that do not end."""
    connection = http.client.HTTPConnection(urlsplit(fleet.api).netloc)
    body = json.dumps({"input": {"prompt": "x"}})
    heads = {"Authorization": "Bearer r8_fleet", "Content-Type": "application/json"}
    jobs = []
    for _ in range(count):
        connection.request("POST", "/v1/models/minimax/video-01/predictions", body, heads)
        jobs.append(json.loads(connection.getresponse().read())["id"])
    return jobs


def parked(fleet, count):
    """Measure sleeping and waiting runs that are inserted as rows: the workers' cost while nothing happens."""
    started(fleet, park_after=0.5, rate=[1000.0, 100.0])
    fleet.submit(1, WAIT)
    wait_until(lambda: fleet.states()["waiting"], 60)
    jobs = created(fleet, count)
    with fleet.database.transaction() as connection:
        connection.execute(
            "INSERT INTO runs SELECT id || n, NULL, digest, script, source, args, account, emulated, caps, began, "
            "seed, 'waiting', NULL, NULL, 0, false, 0, 0, NULL, NULL, NULL FROM runs, generate_series(1, %s) n",
            (count,),
        )
        connection.execute(
            "INSERT INTO waits (run, task, request, kind, job, account) SELECT r.id, 0, 1, 'prediction', j.id, account "
            "FROM unnest(%s::text[]) WITH ORDINALITY j(id, n), "
            "(SELECT id, account, row_number() OVER () AS n FROM runs WHERE length(id) > 12) r WHERE j.n = r.n",
            (jobs,),
        )
    time.sleep(20)
    before, at, requests = cpu_of(fleet.workers), time.monotonic(), len(fleet.server.requests)
    time.sleep(60)
    took = (time.monotonic() - at) / 60
    lists = sum(path.endswith("/predictions") for _, path, _ in fleet.server.requests[requests:])
    reads = len(fleet.server.requests) - requests - lists
    print(f"parked: {count} runs, {rss_of(fleet.workers):.0f} MB resident in 2 workers")
    print(f"  {lists / took:.0f} list requests and {reads / took:.0f} reads a minute, "
          f"{(cpu_of(fleet.workers) - before) / took / 60 * 100:.1f} % CPU")  # fmt: skip


def takeover(fleet, _):
    for lease in (15.0, 6.0):
        fleet.fresh()
        victim = fleet.start(lease=lease, settling=30.0)
        fleet.submit(1, "print('a') while true do sleep(0.2) end")
        wait_until(lambda: fleet.states()["running"], 60)
        other = fleet.start(lease=lease, settling=30.0)
        time.sleep(3)
        began = time.monotonic()
        victim.send_signal(signal.SIGKILL)
        text = "SELECT 1 FROM runs r JOIN workers w ON w.id = r.worker WHERE w.pid = %s"
        wait_until(partial(fleet.database.rows, text, (other.pid,)), 60, 0.1)
        print(f"takeover: {time.monotonic() - began:.1f} s with a lease of {lease:g} s")
        other.kill()
        other.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["waiting", "held", "short", "parked", "takeover"])
    parser.add_argument("--count", type=int, default=100)
    chosen = parser.parse_args()
    compileall.compile_dir(HERE.parent / "kosmolua", quiet=1)
    for name in chosen.what:
        with serving() as server, tempfile.TemporaryDirectory() as directory:
            with Fleet(server.url, directory, speed=SPEEDS.get(name, 40)).serving() as fleet:
                globals()[name](fleet, chosen.count)


if __name__ == "__main__":
    main()
