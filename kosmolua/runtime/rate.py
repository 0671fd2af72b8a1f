"""How fast a script may ask for what costs it nothing and its journal a row each: the time, and to sleep."""

from __future__ import annotations

import time

BURST = 10_000  # at once, as when many tasks begin
RATE = 2_000  # a second, from then on


class Rate:
    """For one thread. ``wait`` returns when it is the next one's turn."""

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
