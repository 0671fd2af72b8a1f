"""Measures the cost of a journal for a read, for a write, and for the replay of a thousand finished calls.

python tests/bench/journal.py [--directory DIR]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from run import KOSMO, PREDICTION, SCRIPT, measure, medians, rounds

from kosmolua.gate.functions import resolve
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head
from kosmolua.runtime.tape import JournalRequest

HERE = Path(__file__).parent
HEAD = Head(script="flow.lua", source=b"")
READ = msgspec.msgpack.encode({"prediction_id": PREDICTION})
WRITE = {"version": "v" * 64, "input": {"prompt": "a lighthouse at dusk"}}
ANSWER = msgspec.msgpack.encode({"id": PREDICTION, "status": "succeeded", "output": "x" * 500})


def per_call(function, count):
    """CPU and wall time per call, in microseconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(count):
        function(number)
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6


def read(journal, task):
    def one(number):
        asked = JournalRequest(task, number, "get_prediction", "", READ)
        journal.recall(asked, 1)
        journal.finish(journal.begin(asked, 0), ANSWER, ok=True)

    return one


def write(journal, task):
    packed, operation = msgspec.msgpack.encode(WRITE), resolve("create_prediction")

    def one(number):
        asked = JournalRequest(task, number, "create_prediction", "", packed)
        journal.recall(asked, 1)
        ticket = journal.begin(asked, 0)
        ticket.send(operation, WRITE)
        journal.finish(ticket, ANSWER, ok=True)

    return one


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", help="where the journals are written; default: the system's for temporary files")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().directory) as directory:
        journal = Journal(f"{directory}/calls.journal", HEAD)
        for name, kind, count in (("a call that reads", read, 2000), ("a call that writes", write, 100)):
            figures = [per_call(kind(journal, task + (kind is write) * 100), count) for task in range(7)]
            cpu, wall = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"  {name:<34}{cpu:9.1f} µs CPU {wall:9.1f} µs wall")
        journal.close()
        scripts(directory)


def scripts(directory):
    server = subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True)
    environment = {"REPLICATE_URL": f"{server.stdout.readline().strip()}/v1", "REPLICATE_API_KEY": "x",
                   "KOSMO_STATE_DIR": directory}  # fmt: skip
    loop = [*KOSMO, "lua", "--eval", SCRIPT]
    try:
        measure([*loop, "--journal", f"{directory}/thousand.journal", "--", "1000"], environment)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    replayed = {"1,000 finished calls replayed": [*loop, "--journal", f"{directory}/thousand.journal", "--", "1000"],
                "floor: return 1": [*KOSMO, "lua", "--eval", "return 1"]}  # fmt: skip
    for name, figures in rounds(replayed, 5, environment).items():
        cpu, wall = medians(figures)
        print(f"  {name:<34}{cpu * 1000:9.1f} ms CPU {wall * 1000:9.1f} ms wall")


if __name__ == "__main__":
    main()
