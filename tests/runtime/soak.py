"""Run script after script in one process, and show that they leave behind no memory, descriptor, process or thread.

    python tests/runtime/soak.py [--runs N] [--prepared] [--isolation standard|strict|none]

With ``--prepared`` each child is forked from a prepared process. Isolation ``none`` is the baseline for both.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import gc
import os
import sys
import threading
import time
from pathlib import Path

from kosmolua.runtime.limits import Limits
from kosmolua.runtime.prepared import Prepared
from kosmolua.runtime.run import Script, run

sys.path[:0] = [str(Path(__file__).parent.parent)]
from waiting import stays, wait_until  # noqa: E402 - found by the line above

# One run in twenty each: an error, a limit, a crash of the process. A limit of CPU time would take too long here.
KINDS = [b"local t = {} for i = 1, 100 do t[i] = integrations.replicate.echo{ i = i } end print(#t) return t"] * 17
KINDS += [b"error('x')", b"print(('x'):rep(9e5))", b"integrations.replicate.crash{}"]
LIMITS = Limits(output=100_000)
SETTLED = 500  # runs until the caches are full


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Sink:
    def write(self, stream, text):
        pass


def once(number, isolation, prepared):
    source = KINDS[number % len(KINDS)]

    def handler(function, account, arguments):
        if function == "crash":
            raise RuntimeError
        return {"number": number, "list": [1, 2, 3]}

    try:
        script = Script(source=source, name="soak", functions=[("echo",), ("crash",)])
        return run(script, handler, Sink(), limits=LIMITS, isolation=isolation, child=prepared)
    except RuntimeError:
        return None


def figures():
    try:
        os.waitpid(-1, os.WNOHANG)
        children = "some"
    except ChildProcessError:
        children = "none"
    return {
        "resident MB": round(resident() / 1e6, 1),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "children": children,
        "threads": threading.active_count(),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--prepared", action="store_true")
    parser.add_argument("--isolation", choices=("standard", "strict", "none"), default="standard")
    chosen = parser.parse_args()
    prepared = Prepared() if chosen.prepared else None
    took = 0.0
    for number in range(chosen.runs):
        began = time.perf_counter()
        once(number, chosen.isolation, prepared)
        took += time.perf_counter() - began
        if number in (0, SETTLED) or (number + 1) % 2000 == 0:
            gc.collect()
            wait_until(lambda: stays(threading.active_count, 0.2))  # the thread of the last watchdog ends by itself
            print(number + 1, figures(), flush=True)
    if prepared:
        prepared.close()
        print("closed", figures())
    print(f"{took / chosen.runs * 1000:.1f} ms a run")


if __name__ == "__main__":
    main()
