"""Counts requests per minute for the rate limit headers. It never rejects a request; faults do that."""

from __future__ import annotations

LIMITS = {True: 600, False: 3000}
"""Requests per minute, by whether the request creates something."""
WINDOW = 60


class RateMeter:
    """The number of requests in the current minute."""

    def __init__(self) -> None:
        self._window = 0
        self._used = {True: 0, False: 0}

    def count(self, creates: bool, now: float) -> dict[str, str]:
        """Count one request. Returns the rate limit headers."""
        window = int(now // WINDOW)
        if window != self._window:
            self._window, self._used = window, {True: 0, False: 0}
        self._used[creates] += 1
        left = max(0, LIMITS[creates] - self._used[creates])
        return {"Ratelimit-Remaining": str(left), "Ratelimit-Reset": str(round(WINDOW - now % WINDOW))}
