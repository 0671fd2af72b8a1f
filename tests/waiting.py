"""Waiting in tests: for a condition with a deadline, or for time itself. Nothing else in the tests sleeps."""

import os
import time
from pathlib import Path

DEADLINE = 60.0  # seconds: far more than anything takes on a machine that does other work too
INTERVAL = 0.005  # seconds between two looks


def wait_until(condition, seconds=DEADLINE, interval=INTERVAL):
    """Wait until the condition holds, and return its result. After the deadline the test fails."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(interval)
    return found


def stays(value, seconds):
    """Whether a function returns the same value for that long: for events that must not happen."""
    first, end = value(), time.monotonic() + seconds
    while time.monotonic() < end:
        if value() != first:
            return False
        time.sleep(INTERVAL)
    return True


def let_pass(seconds):
    """Let time pass if time is tested: a slow server, the moment of a kill."""
    time.sleep(seconds)


def scaled(seconds):
    """A bound on wall time, scaled by how much this machine has to run per core."""
    average, _, _, running, *_ = Path("/proc/loadavg").read_text().replace("/", " ").split()
    return seconds * max(1.0, float(average) / cores(), float(running) / cores())


def cores():
    return len(os.sched_getaffinity(0))
