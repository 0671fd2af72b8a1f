"""Measures how cost grows: each row at three sizes, and the order of growth (0 constant, 1 linear, 2 quadratic).

python tests/bench/growth.py [ROW ...]
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from kosmolua import Host, Limits
from kosmolua.emulator import Emulator
from kosmolua.emulator.server import running
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import Call, decide, policy_of
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head
from kosmolua.journal.summaries import summaries
from kosmolua.replicate.events import Decoder
from kosmolua.replicate.prices import Prices
from kosmolua.runtime.tape import JournalRequest
from kosmolua.settings import config

HERE = Path(__file__).parent
HEAD = Head(script="flow.lua", source=b"")
CREATE = {"version": "v" * 64, "input": {"prompt": "dusk"}}
KOSMO = [sys.executable, "-m", "kosmolua"]


def resident():
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu(action):
    began = time.process_time()
    action()
    return time.process_time() - began


# Linux counts the parent's memory toward the peak of a child that it starts, so a small process starts the child.
MEASURED = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def most_held(command, environment):
    """The largest amount of memory that a process held, in MiB."""
    ran = subprocess.run(
        [sys.executable, "-S", "-c", MEASURED, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(ran.stdout)


def a_call_that_no_rule_names(rules):
    """Microseconds of CPU for one decision with the given number of rules."""
    rule = config.Rule("ask", "create_*", arguments={"model": "owner/name"})
    in_force = policy_of(config.Settings(rules=(("config.toml", rule),) * rules))
    call = Call(resolve("get_account"), "default", {}, complete=True)
    decide(in_force, call)
    return cpu(lambda: [decide(in_force, call) for _ in range(1000)]) * 1000


def memory_after_runs_that_hit_limits(runs):
    """MiB still held after runs with 2 MiB of output each; less than one MiB counts as one."""
    with Host(emulate=True, limits=Limits(output=2 << 20)) as host:
        host.run("return 1")
        before = resident()
        for _ in range(runs):
            host.run("while true do print(('x'):rep(100000)) end")
        return max(1.0, (resident() - before) / 2**20)


def calls_of_one_run(calls):
    """Milliseconds of CPU that this process uses for the calls of one run."""
    with Host(emulate=True) as host:
        host.run("return integrations.replicate.get_account{}")
        source = "for _ = 1, tonumber(args[1]) do integrations.replicate.get_account{} end"
        return cpu(lambda: host.run(source, [str(calls)])) * 1000


def tasks_of_a_loop(tasks):
    """MiB of Lua memory at the end of a loop that spawns tasks and awaits each."""
    source = "for i = 1, tonumber(args[1]) do spawn(function() return i end):await() end return collectgarbage('count')"
    with Host(emulate=True) as host:
        result = host.run(source, [str(tasks)])
        return max(1.0, result.results[0] / 1024)


def tasks_that_sleep(tasks):
    """Milliseconds of CPU that this process uses for tasks that sleep concurrently."""
    source = """local all = {}
    for i = 1, tonumber(args[1]) do all[i] = spawn(function() sleep(0.001) end) end
    for i = 1, #all do all[i]:await() end"""
    with Host(emulate=True, limits=Limits(cpu=60)) as host:

        def run():
            result = host.run(source, [str(tasks)])
            assert result.error is None, result.error

        return cpu(run) * 1000


def one_large_event(size):
    """Milliseconds of CPU to decode one event of the given size in kB, received in pieces of 16 kB."""
    decoder, pieces = Decoder(), [b"data: ", *[b"x" * 16_000] * (size // 16), b"\n\n"]
    return cpu(lambda: [decoder.feed(piece) for piece in pieces]) * 1000


def written(path, creates):
    """Write a journal with the given number of finished creates."""
    journal, arguments, answer = (
        Journal(path, HEAD),
        msgspec.msgpack.encode(CREATE),
        msgspec.msgpack.encode({"id": "p"}),
    )
    for number in range(creates):
        ticket = journal.begin(JournalRequest(0, number, "create_prediction", "", arguments), 0)
        ticket.send(resolve("create_prediction"), CREATE)
        journal.finish(ticket, answer, ok=True)
    journal.end(None)
    journal.close()


def resume(creates):
    """Milliseconds of CPU to read every answer from a journal."""
    with tempfile.TemporaryDirectory() as directory:
        path, arguments = f"{directory}/a.journal", msgspec.msgpack.encode(CREATE)
        written(path, creates)

        def replay():
            journal = Journal(path, HEAD)
            for number in range(creates):
                journal.recall(JournalRequest(0, number, "create_prediction", "", arguments), 1)
            journal.close()

        return cpu(replay) * 1000


def list_of_journals(journals):
    """Milliseconds of CPU for the second run of `kosmo runs list`."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {"KOSMO_STATE_DIR": directory, "KOSMO_CACHE_DIR": directory}
        os.mkdir(f"{directory}/runs")
        for number in range(journals):
            written(f"{directory}/runs/j{number}.journal", 1)
        list(summaries(environment, Prices()))
        return cpu(lambda: list(summaries(environment, Prices()))) * 1000


@contextmanager
def files():
    """A file server, and the environment that refers to it."""
    server = subprocess.Popen([sys.executable, HERE / "file_server.py"], stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory() as directory:
            url = server.stdout.readline().strip()
            state = {"KOSMO_STATE_DIR": f"{directory}/state", "KOSMO_CACHE_DIR": f"{directory}/cache"}
            yield directory, {"REPLICATE_URL": url, "REPLICATE_API_KEY": "x", **state}
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def an_upload(size):
    """MiB that the process holds while it uploads a file of the given size in MB."""
    with files() as (directory, environment):
        Path(directory, "up.bin").write_bytes(bytes(size * 10**6))
        command = ["integrations:call", "replicate.create_file", "--path", f"{directory}/up.bin", "--write", "allow"]
        return most_held([*KOSMO, *command], environment)


def a_download(size):
    """MiB that the process holds while it downloads a file of the given size in MB."""
    with files() as (directory, environment):
        url = environment["REPLICATE_URL"].removesuffix("/v1") + f"/files/{size * 10**6}"
        script = ["lua", "--allow-write", directory, "--eval", f"download(args[1], '{directory}/a.bin')", "--", url]
        return most_held([*KOSMO, *script], environment)


def all_pages(pages):
    """MiB that the process holds for the given number of pages with 100 predictions of 2 kB each."""
    text = "x" * 2000
    with running(Emulator()) as url, tempfile.TemporaryDirectory() as directory:
        environment = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "x", "KOSMO_STATE_DIR": directory}
        with Host(token="x", url=url, write="allow") as host:
            for _ in range(pages * 100):
                host.call("create_prediction", {"version": HELLO, "input": {"text": text}})
        return most_held([*KOSMO, "integrations:replicate", "list_predictions", "--all", "--json"], environment)


HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"


def a_page_of_the_emulator(predictions):
    """Milliseconds of CPU for the first page of a list with the given number of predictions."""
    with Host(emulate=True) as host:
        for _ in range(predictions):
            host.call("create_prediction", {"version": HELLO, "input": {"text": "x"}})
        host.call("list_predictions")
        return cpu(lambda: [host.call("list_predictions") for _ in range(10)]) * 100


ROWS = {
    "rules": (a_call_that_no_rule_names, (20, 200, 2000), "us", 0.1),
    "limits": (memory_after_runs_that_hit_limits, (5, 20, 80), "MiB", 0.1),
    "calls": (calls_of_one_run, (500, 2000, 8000), "ms", 1.1),
    "tasks": (tasks_of_a_loop, (20_000, 80_000, 320_000), "MiB", 0.1),
    "sleepers": (tasks_that_sleep, (1000, 4000, 16_000), "ms", 1.1),
    "event": (one_large_event, (500, 2000, 8000), "ms", 1.1),
    "resume": (resume, (500, 2000, 8000), "ms", 1.1),
    "journals": (list_of_journals, (60, 250, 1000), "ms", 1.1),
    "upload": (an_upload, (6, 25, 99), "MiB", 0.1),
    "download": (a_download, (30, 125, 500), "MiB", 0.1),
    "pages": (all_pages, (20, 80, 320), "MiB", 0.1),
    "emulator": (a_page_of_the_emulator, (200, 800, 3200), "ms", 0.1),
}


def main():
    for name in sys.argv[1:] or ROWS:
        measure, sizes, unit, most = ROWS[name]
        found = [measure(size) for size in sizes]
        order = math.log(found[-1] / found[0]) / math.log(sizes[-1] / sizes[0])
        figures = "   ".join(f"{size}: {figure:.1f} {unit}" for size, figure in zip(sizes, found, strict=True))
        print(f"{name:<9}{figures}   order {order:.2f}, at most {most}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
