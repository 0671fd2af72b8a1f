"""Schedules: scripts that workers submit at recurring times, by the database's clock.

``next_at`` of a row is its next slot. A worker that finds a slot due adds the run and advances ``next_at`` in one
transaction, with the row locked. The run's key is made of the schedule's name and the slot, so a slot never runs twice.
Of several missed slots only one runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import KosmoError, UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.replicate.token import hidden
from kosmolua.settings import cron
from kosmolua.worker.database import Database
from kosmolua.worker.runs import ENDED, earlier, enqueue
from kosmolua.worker.store import add_run, new_id

if TYPE_CHECKING:
    from psycopg import Connection

Overlap = Literal["skip", "queue", "allow"]
OVERLAPS = ("skip", "queue", "allow")
PREFIX = "schedule:"  # prefix of a run's key and its ``started_by``
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_MOST = 200  # the maximum number of schedules in one round
_ACTIVE = "EXISTS (SELECT 1 FROM runs r WHERE r.started_by = 'schedule:' || s.name AND r.state <> ALL(%(ended)s))"
_DUE = f"""
SELECT s.name FROM schedules s WHERE s.next_at <= clock_timestamp() AND NOT s.paused
AND NOT (s.overlap = 'queue' AND {_ACTIVE}) ORDER BY s.next_at LIMIT {_MOST}
"""  # noqa: S608 - constants
_TAKE = f"""
SELECT s.cron, s.zone, s.script, s.source, s.args, s.account, s.caps, s.added_by, s.overlap, s.next_at,
  clock_timestamp(), {_ACTIVE} FROM schedules s WHERE s.name = %(name)s AND s.next_at <= clock_timestamp()
AND NOT s.paused FOR UPDATE OF s SKIP LOCKED
"""  # noqa: S608 - constants
_FAILED = "UPDATE schedules SET error = %s WHERE name = %s AND error IS DISTINCT FROM %s"
_SHOWN = f"""
SELECT s.name, s.cron, s.zone, s.script, s.args, s.account, s.overlap, s.paused,
  extract(epoch FROM s.next_at)::float8, extract(epoch FROM s.last_slot)::float8, s.last_run,
  (SELECT state FROM runs r WHERE r.id = s.last_run), s.skipped, s.error, {_ACTIVE}
FROM schedules s
"""  # noqa: S608 - constants


class NewSchedule(Struct, frozen=True, kw_only=True):
    """A schedule to add: what it runs, when and how. Its runs count as submitted ``by`` that person."""

    name: str
    cron: str
    head: Head
    zone: str = "UTC"
    caps: Caps = Caps()
    overlap: Overlap = "skip"
    by: str | None = None


class Schedule(Struct, frozen=True, kw_only=True):
    """A schedule and its history. Times are in Unix seconds. ``last_run`` is the newest run, ``skipped`` how many slots
    were skipped because an earlier run had not ended, ``error`` why a worker could not submit a run.
    """

    name: str
    cron: str
    zone: str
    script: str
    args: list[str]
    account: str
    overlap: str
    paused: bool
    next: float
    last_slot: float | None
    last_run: str | None
    last_state: str | None
    skipped: int
    error: str | None
    active: bool


def add(database: Database, new: NewSchedule, *, replace: bool = False) -> str:
    """Add a schedule. Returns "added", "unchanged" or "replaced". Raises a `UsageError` if a different schedule has
    that name, unless ``replace`` is set. A replaced schedule keeps its last run, and remains paused if it was.
    """
    parsed, zone = cron.parse(new.cron), cron.zone_of(new.zone)
    head, args, caps = new.head, msgspec.msgpack.encode(new.head.args), msgspec.msgpack.encode(new.caps)
    script = head.script.encode(errors="replace").decode()
    wanted = (new.cron, new.zone, script, head.source, args, head.account, caps, new.overlap)
    with database.explained(), database.transaction(durable=True) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (new.name,))
        found = connection.execute(
            "SELECT cron, zone, script, source, args, account, caps, overlap FROM schedules WHERE name = %s",
            (new.name,),
        ).fetchone()
        if found == wanted:
            return "unchanged"
        if found and not replace:
            raise UsageError(
                f"there is another schedule {new.name}: {found[0]!r} for {found[2]}",
                hint=f"add --replace, or see it: kosmo schedule list {new.name}",
            )
        connection.execute(
            "INSERT INTO schedules (cron, zone, script, source, args, account, caps, overlap, next_at, name, added_by) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET "
            "cron = excluded.cron, zone = excluded.zone, script = excluded.script, source = excluded.source, "
            "args = excluded.args, account = excluded.account, caps = excluded.caps, overlap = excluded.overlap, "
            "next_at = excluded.next_at, added_by = excluded.added_by, error = NULL",
            (*wanted, parsed.after(_now(connection), zone), new.name, new.by),
        )
    return "replaced" if found else "added"


def listed(database: Database, name: str | None = None) -> list[Schedule]:
    """All schedules sorted by name, or the one with that name, for display: whatever looks like a secret is removed
    from the arguments. Raises a `UsageError` if the schedule does not exist.
    """
    rows = database.rows(
        _SHOWN + "WHERE %(name)s::text IS NULL OR s.name = %(name)s ORDER BY s.name",
        {"name": name, "ended": list(ENDED)},
    )
    if name is not None and not rows:
        raise _unknown(name)
    fields = Schedule.__struct_fields__
    found = [dict(zip(fields, row, strict=True)) for row in rows]
    return [Schedule(**{**one, "args": _shown_args(one["args"])}) for one in found]


def _shown_args(packed: bytes) -> list[str]:
    return [hidden(each) for each in msgspec.msgpack.decode(packed)]


def remove(database: Database, name: str) -> None:
    """Remove a schedule, but keep its runs. Raises a `UsageError` if no schedule has that name."""
    if not database.rows("DELETE FROM schedules WHERE name = %s RETURNING 1", (name,)):
        raise _unknown(name)


def pause(database: Database, name: str) -> None:
    """Submit no runs until the schedule is resumed. Raises a `UsageError` if no schedule has that name."""
    if not database.rows("UPDATE schedules SET paused = true WHERE name = %s RETURNING 1", (name,)):
        raise _unknown(name)


def resume(database: Database, name: str) -> None:
    """Continue with the next slot; slots that were due during the pause are skipped. Raises a `UsageError` like
    `remove`.
    """
    with database.explained(), database.transaction() as connection:
        text = "SELECT cron, zone, paused FROM schedules WHERE name = %s FOR UPDATE"
        row = connection.execute(text, (name,)).fetchone()
        if row is None:
            raise _unknown(name)
        if row[2]:
            connection.execute(
                "UPDATE schedules SET paused = false, next_at = %s WHERE name = %s",
                (cron.parse(row[0]).after(_now(connection), cron.zone_of(row[1])), name),
            )


def run_now(database: Database, name: str) -> str:
    """Submit a run now, in addition to the schedule's slots and even if it is paused. Returns the run's id."""
    with database.explained(), database.transaction(durable=True) as connection:
        text = "SELECT script, source, args, account, caps, added_by FROM schedules WHERE name = %s FOR UPDATE"
        row = connection.execute(text, (name,)).fetchone()
        if row is None:
            raise _unknown(name)
        run = _submitted(connection, name, None, *row)
        connection.execute("UPDATE schedules SET last_run = %s WHERE name = %s", (run, name))
    return run


def fire(connection: Connection[Any]) -> int:
    """Submit a run for each schedule that is due, and return how many. ``connection`` is in autocommit mode. Any number
    of workers may do this at once. Raises a ``psycopg.Error``.
    """
    due = [name for (name,) in connection.execute(_DUE, {"ended": list(ENDED)})]
    return sum(_fire(connection, name) for name in due)


def _fire(connection: Connection[Any], name: str) -> bool:
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        row = connection.execute(_TAKE, {"name": name, "ended": list(ENDED)}).fetchone()
        if row is None:  # another worker has submitted it
            return False
        expression, zone, *what, overlap, slot, now, active = row
        try:
            following = cron.parse(expression).after(now, cron.zone_of(zone))
        except KosmoError as error:  # for example, this machine does not know the time zone
            connection.execute(_FAILED, (error.message, name, error.message))
            return False
        if active and overlap == "queue":  # another run began after the schedule was found due
            return False
        if active and overlap == "skip":
            skipped = "UPDATE schedules SET next_at = %s, skipped = skipped + 1, error = NULL WHERE name = %s"
            connection.execute(skipped, (following, name))
            return False
        run = _submitted(connection, name, slot, *what)
        connection.execute(
            "UPDATE schedules SET next_at = %s, last_slot = %s, last_run = %s, error = NULL WHERE name = %s",
            (following, slot, run, name),
        )
    return True


def _submitted(
    connection: Connection[Any],
    name: str,
    slot: datetime | None,
    script: str,
    source: bytes,
    args: bytes,
    account: str,
    caps: bytes,
    by: str | None,
) -> str:
    """The id of a slot's run. If a schedule of that name was removed and added again, the slot may already have one."""
    key = None if slot is None else f"{PREFIX}{name}:{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    before = earlier(connection, key)
    if before:
        return before[0]
    run, digest = new_id(), hashlib.sha256(msgspec.msgpack.encode((source, args, account, caps))).digest()
    head = Head(script=script, source=source, args=msgspec.msgpack.decode(args), account=account)
    add_run(connection, run, head, key=key, digest=digest, caps=caps, submitted_by=by, started_by=PREFIX + name)
    enqueue(connection, [(run, account)])
    return run


def _now(connection: Connection[Any]) -> datetime:
    row: Sequence[Any] = connection.execute("SELECT clock_timestamp()").fetchone() or (datetime.now(UTC),)
    found: datetime = row[0]
    return found


def _unknown(name: str) -> UsageError:
    return UsageError(f"no schedule {name[:100]!r}", hint="list them: kosmo schedule list")
