"""The bounds of budget periods: midnight in the budget's time zone; weeks start on Monday."""

from __future__ import annotations

import datetime as dt

from kosmolua.settings.config import Period


def bounds(period: Period, timezone: str, at: float) -> tuple[float, float]:
    """Start and end, in Unix seconds, of the period that contains the time ``at``."""
    zone = zone_of(timezone)
    today = dt.datetime.fromtimestamp(at, zone).date()
    if period == "week":
        first = today - dt.timedelta(days=today.weekday())
        following = first + dt.timedelta(days=7)
    elif period == "month":
        first = today.replace(day=1)
        following = (first + dt.timedelta(days=31)).replace(day=1)
    else:
        first, following = today, today + dt.timedelta(days=1)
    return _midnight(first, zone), _midnight(following, zone)


def shown(at: float, timezone: str) -> str:
    """The local time in that zone, with the zone's name."""
    return f"{dt.datetime.fromtimestamp(at, zone_of(timezone)):%Y-%m-%d %H:%M} {timezone}"


def zone_of(name: str) -> dt.tzinfo:
    if name == "UTC":
        return dt.UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _midnight(day: dt.date, zone: dt.tzinfo) -> float:
    return dt.datetime.combine(day, dt.time(), zone).timestamp()
