"""Measures the cost per run in a program that makes many runs, in milliseconds of wall time; medians of interleaved
runs.

python tests/bench/runs.py [--rounds N]
"""

import argparse
import statistics
import time
from contextlib import ExitStack

from kosmolua import Host

KINDS = {
    "inline (isolation none)": {"isolation": "none"},
    "isolated, from a prepared process": {},
    "isolated, a process started for it": {"prepare": False},
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(Host(emulate=True, **options)) for name, options in KINDS.items()}
        for source in ("return 1", "return integrations.replicate.get_account{}.username"):
            figures = measured(hosts, source, rounds)
            print(f"\n{source}")
            for name, found in figures.items():
                print(f"  {name:<36}{statistics.median(found):8.2f} ms")


def measured(hosts, source, rounds):
    found = {name: [] for name in hosts}
    for number in range(rounds + 3):
        for name, host in hosts.items():
            began = time.perf_counter()
            host.run(source).raise_for_error()
            if number > 2:
                found[name].append((time.perf_counter() - began) * 1000)
    return found


if __name__ == "__main__":
    main()
