"""Read ages such as 90s, 30m, 12h, 7d and 2w, and format times for people."""

from __future__ import annotations

import time

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> float | None:
    """An age in seconds; None if the text is not a valid age."""
    number, unit = text[:-1], text[-1:]
    return float(number) * _UNITS[unit] if unit in _UNITS and number.isascii() and number.isdigit() else None


def local_time(at: float) -> str:
    """A time in Unix seconds as "2026-01-31 12:00:00" in the local time zone. Raises what `time.localtime` raises."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
