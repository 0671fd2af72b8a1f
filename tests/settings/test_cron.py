"""Recurring times have five fields and handle both daylight saving changes in real time zones."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from kosmolua.errors import UsageError
from kosmolua.settings import cron


def slots(text, zone, first, count):
    """The first slots after a given UTC time."""
    parsed, where = cron.parse(text), cron.zone_of(zone)
    found, at = [], datetime.fromisoformat(first).replace(tzinfo=UTC)
    for _ in range(count):
        at = parsed.after(at, where)
        found.append(f"{at:%Y-%m-%dT%H:%M}")
    return found


@pytest.mark.parametrize(
    ("text", "first", "expected"),
    [
        ("0 3 * * *", "2026-01-01T03:00", ["2026-01-02T03:00", "2026-01-03T03:00"]),
        ("*/20 * * * *", "2026-01-01T03:05", ["2026-01-01T03:20", "2026-01-01T03:40", "2026-01-01T04:00"]),
        ("5-15/5,50 9 * * *", "2026-01-01T09:05", ["2026-01-01T09:10", "2026-01-01T09:15", "2026-01-01T09:50"]),
        ("10/20 9 * * *", "2026-01-01T09:05", ["2026-01-01T09:10", "2026-01-01T09:30", "2026-01-01T09:50"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00"]),
        ("0 12 * * mon-FRI", "2026-01-02T12:00", ["2026-01-05T12:00", "2026-01-06T12:00"]),
        ("0 12 * * 7", "2026-01-01T00:00", ["2026-01-04T12:00", "2026-01-11T12:00"]),
        ("0 12 * * 0", "2026-01-01T00:00", ["2026-01-04T12:00", "2026-01-11T12:00"]),
        ("0 12 13 * fri", "2026-02-01T00:00", ["2026-02-06T12:00", "2026-02-13T12:00"]),
        ("0 12 */10 jan,Dec *", "2026-01-22T00:00", ["2026-01-31T12:00", "2026-12-01T12:00"]),
        ("@monthly", "2026-01-22T00:00", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("@hourly", "2026-01-22T00:00", ["2026-01-22T01:00", "2026-01-22T02:00"]),
        ("  0   3 * *  * ", "2026-01-01T03:00", ["2026-01-02T03:00"]),
        ("59 * 31 12 *", "2026-01-01T00:00", ["2026-12-31T00:59", "2026-12-31T01:59"]),
    ],
)
def test_slots(text, first, expected):
    """Slots follow each field, with lists, ranges, steps, names and nicknames."""
    assert expected == slots(text, "UTC", first, len(expected))


@pytest.mark.parametrize(
    ("text", "zone", "first", "expected"),
    [
        # Berlin has no 02:30 on 29 March 2026, and two on 25 October.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T00:00",
            ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        # Four slots in a skipped hour become one, even together with a slot that exists.
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        # A slot every half hour continues through both changes.
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:30",
            ["2026-03-29T01:00", "2026-03-29T01:30"],
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:59",
            ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"],
        ),
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        # The clocks of Lord Howe Island change by half an hour.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        # Cairo has no midnight on 24 April 2026.
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T00:00", ["2026-04-23T22:00", "2026-04-24T21:00"]),
        # Samoa skipped 30 December 2011.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-29T19:00", "2011-12-30T10:00", "2011-12-30T19:00"]),
    ],
)
def test_daylight_saving(text, zone, first, expected):
    """A skipped time runs once, at the next valid time; a repeated time runs once, at its first occurrence."""
    assert expected == slots(text, zone, first, len(expected))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
@pytest.mark.parametrize("text", ["30 2 * * *", "0 0 * * *", "*/7 1-3 * * *", "5 */6 * * 1-5", "15 * * * *"])
def test_a_year_of_slots(zone, text):
    """From any time between two slots the next slot is the same, and slots never go back."""
    parsed, where = cron.parse(text), cron.zone_of(zone)
    at, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    found = []
    while at < end:
        at = parsed.after(at, where)
        found.append(at)
    for one, following in list(pairwise(found))[:: max(1, len(found) // 60)]:
        assert one < following
        for moment in (one, one + (following - one) / 2, following - timedelta(microseconds=1)):
            assert following == parsed.after(moment, where)
    if text == "0 0 * * *":
        assert 365 == len(found) - 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected five fields (minute hour day month weekday), got 0"),
        ("* * * *", "expected five fields (minute hour day month weekday), got 4"),
        ("0 3 * * * 2026", "got 6"),
        ("60 3 * * *", "minute (field 1): expected 0 to 59, got '60'"),
        ("0 24 * * *", "hour (field 2): expected 0 to 23, got '24'"),
        ("0 3 0 * *", "day of the month (field 3): expected 1 to 31, got '0'"),
        ("0 3 * 13 *", "month (field 4): expected 1 to 12, or jan to dec, got '13'"),
        ("0 3 * * funday", "day of the week (field 5): expected 0 to 7, or sun to sat, got 'funday'"),
        ("0 3 * * 5-1", "day of the week (field 5): the range '5-1' goes backwards"),
        ("*/0 3 * * *", "minute (field 1): expected 1 to 60, got '0'"),
        ("1, 3 * * *", "minute (field 1): expected 0 to 59, got ''"),
        ("-1 3 * * *", "minute (field 1): expected 0 to 59, got ''"),
        ("0 3 L * *", "got 'l'"),
        ("0 3 \u0661 * *", "day of the month (field 3)"),
        ("@often", "expected one of @hourly, @daily"),
        ("0 3 31 2,4 *", "none of the given months has a day 31"),
        ("x" * 5000, "expected five fields"),
        ("1" * 5000 + " 3 * * *", "expected five fields"),
    ],
)
def test_invalid_schedules(text, said):
    """The error names the field, says what was found and expected, and gives an example."""
    with pytest.raises(UsageError) as caught:
        cron.parse(text)

    assert said in caught.value.message
    assert "example: '0 3 * * 1-5'" in caught.value.hint or "28" in caught.value.hint
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("name", ["Europe/Berlni", "", "../etc/passwd", "/etc/localtime", "x" * 5000, "a\0b"])
def test_unknown_zones(name):
    """An unknown zone is an error that suggests a similar name."""
    with pytest.raises(UsageError, match="unknown time zone"):
        cron.zone_of(name)


def test_a_similar_zone():
    """A misspelled city gives a suggestion of the intended zone."""
    with pytest.raises(UsageError, match="did you mean Europe/Berlin"):
        cron.zone_of("Europe/Berlni")
