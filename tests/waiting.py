"""Waiting in tests: for a condition with a deadline, or for time itself. No other code of the tests sleeps."""

import os
import time
from pathlib import Path

DEADLINE = 60.0  # seconds: far more than anything takes, even on a busy machine
INTERVAL = 0.005  # seconds between two checks


def wait_until(condition, seconds=DEADLINE, interval=INTERVAL):
    """Wait until the condition is true, and return its result. The test fails after the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(interval)
    return found


def stays(value, seconds):
    """Whether a function returns the same value for the given time, to check that an event does not happen."""
    first, end = value(), time.monotonic() + seconds
    while time.monotonic() < end:
        if value() != first:
            return False
        time.sleep(INTERVAL)
    return True


def let_pass(seconds):
    """Let time pass if the test is about time, such as a slow server or the moment of a kill."""
    time.sleep(seconds)


def scaled(seconds):
    """A bound on wall time, scaled by the current load per CPU core of this machine."""
    average, _, _, running, *_ = Path("/proc/loadavg").read_text().replace("/", " ").split()
    return seconds * max(1.0, float(average) / cores(), float(running) / cores())


def cores():
    return len(os.sched_getaffinity(0))
