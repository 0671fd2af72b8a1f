"""The request rate that the API accepts, learned from its refusals and shared by all threads.

Nothing is delayed until the API has rejected a request with 429. From then on requests are sent one by one, at an
interval that doubles with each rejection and shrinks with each accepted request. So an account that may create six
predictions a minute continues at six, and one that may create six hundred is soon back at that rate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

SHRINKS = 0.9  # factor per accepted request
SHORTEST, LONGEST = 0.005, 60.0  # seconds; a shorter interval is forgotten


class Turn(NamedTuple):
    """The wait until sending, in seconds, and the number of rejections known at that time."""

    wait: float
    epoch: int


class Paced(Protocol):
    """The rate of one lane."""

    def turn(self) -> Turn:
        """Take a place in the queue. The request may be sent after the returned wait."""

    def taken(self) -> None:
        """The API accepted a request."""

    def refused(self, turn: Turn, asked: float) -> None:
        """Note that the API rejected a request, and asked to wait ``asked`` seconds."""


class Pace:
    """The `Paced` of one lane. Thread-safe. ``clock`` returns seconds from any starting point."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._distance = 0.0
        self._epoch = 0

    def turn(self) -> Turn:
        """Take a place in the queue. The request may be sent after the returned wait."""
        if not self._distance and (not self._free_at or self._free_at <= self._clock()):
            return Turn(0.0, self._epoch)  # no recent rejection: there is no queue
        with self._lock:
            now = self._clock()
            at = max(now, self._free_at)
            self._free_at = at + self._distance
            return Turn(at - now, self._epoch)

    def taken(self) -> None:
        """The API accepted a request."""
        if self._distance:
            with self._lock:
                self._distance = self._distance * SHRINKS if self._distance > SHORTEST else 0.0

    def refused(self, turn: Turn, asked: float) -> None:
        """Note that the API rejected a request, and asked to wait ``asked`` seconds. Requests sent before an earlier
        rejection was known do not change the interval again.
        """
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + asked)
            if turn.epoch == self._epoch:
                self._epoch += 1
                self._distance = min(2 * self._distance or asked, LONGEST)
