"""Recurring times as in crontabs: ``0 3 * * 1-5``, in a time zone with daylight saving.

The fields are minute, hour, day of the month, month and day of the week. As in cron, a time matches either day if both
are restricted. A local time that is skipped when clocks go forward becomes the first valid time after it; of a local
time that is repeated when clocks go back, only the first occurrence counts. A schedule for every hour runs by elapsed
time instead: it neither skips nor doubles an hour.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from kosmolua.errors import UsageError

if TYPE_CHECKING:
    from datetime import tzinfo

EXAMPLE = "0 3 * * 1-5"
FIELDS = 5
LONGEST = 200  # characters
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_YEARS = 9  # the longest time from one 29 February to the next, around 2100
_HOURS = frozenset(range(24))
_MINUTE, _SECOND = timedelta(minutes=1), timedelta(seconds=1)


class _Field(Struct, frozen=True):
    """One of the five fields: the allowed range of numbers, and names for the numbers from the lowest one up."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def parse(self, text: str, expression: str) -> frozenset[int]:
        found = set[int]()
        for part in text.lower().split(","):
            span, slash, step = part.partition("/")
            every = self._number(step, expression, 1, self.most + 1) if slash else 1
            found.update(range(*self._span(span, expression, stepped=bool(slash)), every))
        return frozenset(found)

    def _span(self, text: str, expression: str, *, stepped: bool) -> tuple[int, int]:
        if text == "*":
            return self.least, self.most + 1
        first, dash, last = text.partition("-")
        start = self._number(first, expression)
        end = self._number(last, expression) if dash else self.most if stepped else start
        if end < start:
            raise self._error(f"the range {text!r} goes backwards", f"{last}-{first}", expression)
        return start, end + 1

    def _number(self, text: str, expression: str, least: int | None = None, most: int | None = None) -> int:
        least, most = self.least if least is None else least, self.most if most is None else most
        if text in self.names:
            return self.names.index(text) + self.least
        if not re.fullmatch(r"[0-9]{1,4}", text) or not least <= int(text) <= most:
            names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise self._error(f"expected {least} to {most}{names}, got {text!r}", "*", expression)
        return int(text)

    def _error(self, what: str, example: str, expression: str) -> UsageError:
        return UsageError(
            f"schedule {expression!r}, {self.name}: {what}",
            hint=f"write numbers, ranges and steps, such as {self.least}, {self.least}-{self.most}, {example} or */2; "
            f"example: {EXAMPLE!r} is 03:00 from Monday to Friday",
        )


_FIELDS = (
    _Field("minute (field 1)", 0, 59),
    _Field("hour (field 2)", 0, 23),
    _Field("day of the month (field 3)", 1, 31),
    _Field("month (field 4)", 1, 12, _MONTHS),
    _Field("day of the week (field 5)", 0, 7, _DAYS),
)


class Cron(Struct, frozen=True):
    """A parsed expression. ``either`` means that a time needs to match only the day of the month or of the week."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool

    def after(self, moment: datetime, zone: tzinfo) -> datetime:
        """The first slot later than a moment, in UTC."""
        if len(self.hours) == len(_HOURS):
            return self._elapsed(moment, zone)
        start = moment.astimezone(zone).replace(tzinfo=None)
        day, end = start.date(), start.date() + timedelta(days=366 * _YEARS)
        while day < end:
            for hour, minute in self._times(day):
                found = instant(datetime(day.year, day.month, day.day, hour, minute), zone)  # noqa: DTZ001 - local
                if found > moment:
                    return found
            day += timedelta(days=1)
        raise UsageError(f"the schedule has no slot in the next {_YEARS} years")

    def _elapsed(self, moment: datetime, zone: tzinfo) -> datetime:
        """The first slot of a schedule for every hour, searched minute by minute in elapsed time."""
        at = (moment.astimezone(UTC) + _MINUTE).replace(second=0, microsecond=0)
        end = at + timedelta(days=366 * _YEARS)
        while at < end:
            local = at.astimezone(zone)
            if not self._has(local.date()):
                midnight = datetime(local.year, local.month, local.day) + timedelta(days=1)  # noqa: DTZ001 - local
                at = max(instant(midnight, zone), at + _MINUTE)
            elif local.minute in self.minutes:
                return at
            else:
                at += _MINUTE
        raise UsageError(f"the schedule has no slot in the next {_YEARS} years")

    def _times(self, day: date) -> list[tuple[int, int]]:
        return [(hour, minute) for hour in self.hours for minute in self.minutes] if self._has(day) else []

    def _has(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either else in_month and in_week


def parse(text: str) -> Cron:
    """Parse an expression. Raises a `UsageError` that names the field."""
    expression = " ".join(_NICKNAMES.get(text.strip().lower(), text).split())
    words = expression.split(" ")
    if expression.startswith("@"):
        raise UsageError(
            f"schedule {text[:LONGEST]!r}: expected one of {', '.join(_NICKNAMES)}, or five fields",
            hint=f"example: {EXAMPLE!r} is 03:00 from Monday to Friday",
        )
    if len(words) != FIELDS or len(expression) > LONGEST:
        raise UsageError(
            f"schedule {text[:LONGEST]!r}: expected five fields (minute hour day month weekday), "
            f"got {len(words) if expression else 0}",
            hint=f"example: {EXAMPLE!r} is 03:00 from Monday to Friday; quote it for the shell",
        )
    minutes, hours, days, months, weekdays = (
        field.parse(word, expression) for field, word in zip(_FIELDS, words, strict=True)
    )
    either = not words[2].startswith("*") and not words[4].startswith("*")
    if words[4].startswith("*") and not any(min(days) <= _MOST_DAYS[month - 1] for month in months):
        raise UsageError(
            f"schedule {expression!r}: none of the given months has a day {min(days)}",
            hint="use a day of the month that exists, such as 28",
        )
    return Cron(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(day % 7 for day in weekdays), either
    )


def zone_of(name: str) -> tzinfo:
    """The time zone. Raises a `UsageError` if it is unknown."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise UsageError(
            f"unknown time zone {name[:100]!r}{_near(name[:100])}",
            hint="use UTC, or a name such as Europe/Berlin; if known names fail too: pip install tzdata",
        ) from None


def _near(name: str) -> str:
    from zoneinfo import available_timezones

    from kosmolua.replicate.nearest import did_you_mean

    city = name.rpartition("/")[2][:1].lower()
    return did_you_mean(name, sorted(each for each in available_timezones() if f"/{city}" in each.lower()))


def instant(local: datetime, zone: tzinfo) -> datetime:
    """A local time in UTC: its first occurrence if it is repeated, the first valid time after it if it is skipped."""
    found = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return found
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # the clocks go forward between the two times
    offset = before.astimezone(zone).utcoffset()
    while found - before > _SECOND:
        middle = before + (found - before) / 2
        middle = middle.replace(microsecond=0)
        before, found = (middle, found) if middle.astimezone(zone).utcoffset() == offset else (before, middle)
    return found
