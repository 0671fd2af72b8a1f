"""Clocks for the emulator, some of which tests can control, and the format of times."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Condition
from typing import Protocol

NEW_YEAR_2026 = 1_767_225_600.0


class Clock(Protocol):
    """Time in Unix seconds, and sleeping."""

    def time(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The system clock."""

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class AdjustableClock:
    """The system clock plus an offset. `advance` increases the offset and wakes the sleeps that it completes."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = Condition()

    def time(self) -> float:
        with self._moved:
            return time.time() + self._ahead

    def sleep(self, seconds: float) -> None:
        until = self.time() + seconds
        with self._moved:
            while (left := until - time.time() - self._ahead) > 0:
                self._moved.wait(left)

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._ahead += max(seconds, 0.0)
            self._moved.notify_all()


class ManualClock:
    """A clock for tests that takes no real time.

    With ``autojump`` a sleep advances the clock. Without it a sleep returns when another thread has called `advance`,
    so that several requests can wait at the same time.
    """

    def __init__(self, start: float = NEW_YEAR_2026, *, autojump: bool = True) -> None:
        self._now = start
        self._autojump = autojump
        self._moved = Condition()
        self._sleepers = 0

    def time(self) -> float:
        with self._moved:
            return self._now

    def sleep(self, seconds: float) -> None:
        if self._autojump:
            self.advance(seconds)
            return
        with self._moved:
            until = self._now + seconds
            self._sleepers += 1
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._now >= until)
            self._sleepers -= 1

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._now += max(seconds, 0.0)
            self._moved.notify_all()

    def wait_for_sleepers(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until ``count`` threads are sleeping, for at most ``timeout`` real seconds. Returns whether they are."""
        with self._moved:
            return self._moved.wait_for(lambda: self._sleepers >= count, timeout)


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Unix seconds of an ISO 8601 time; a time without a zone is UTC. Raises a ValueError if it is invalid."""
    # A plus sign that is not percent-encoded arrives as a space.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
