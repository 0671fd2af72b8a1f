"""Ages as people write them: 90s, 30m, 12h, 7d, 2w."""

from __future__ import annotations

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> float | None:
    """An age in seconds; None if the text is not a valid age."""
    number, unit = text[:-1], text[-1:]
    return float(number) * _UNITS[unit] if unit in _UNITS and number.isascii() and number.isdigit() else None
