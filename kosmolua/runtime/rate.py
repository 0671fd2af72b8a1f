"""A rate limit for requests that are free but each take a row in the journal: `time` and `sleep`."""

from __future__ import annotations

import time

BURST = 10_000  # the maximum burst of requests, such as when many tasks start
RATE = 2_000  # requests per second after the burst


class Rate:
    """A token bucket for use by one thread. ``wait`` returns when the next request may start."""

    def __init__(self, burst: int = BURST, rate: int = RATE) -> None:
        self._burst, self._rate = burst, rate
        self._left = float(burst)
        self._at = time.monotonic()

    def wait(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 0:
            time.sleep(-self._left / self._rate)
