"""Adds, lists, wakes and cancels runs in the database. Anyone with the database's URL may do that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError, UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.replicate.token import hidden
from kosmolua.worker.database import Database
from kosmolua.worker.statements import DURABLE
from kosmolua.worker.store import add_run, new_id

if TYPE_CHECKING:
    from psycopg import Connection

TASK = "kosmo.segment"
_LONGEST_QUEUE = 40  # the maximum bytes of an account's name that is also its queue's name
ENDED = ("done", "failed", "canceled")
# The queue's name is the one that `queue_of` returns. Workers that wake the same runs lock them in the same order.
_WAKE = f"""
WITH w AS (UPDATE runs SET state = 'ready', wake_at = NULL WHERE id IN (
    SELECT id FROM runs WHERE id = ANY(%(runs)s) AND state IN ('waiting', 'scheduled') ORDER BY id FOR UPDATE)
  RETURNING id, account, {DURABLE}),
o AS (UPDATE waits SET until = clock_timestamp() FROM w WHERE number = ANY(%(over)s::bigint[]) AND run = w.id)
INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
SELECT CASE WHEN octet_length(account) <= {_LONGEST_QUEUE} THEN account
    ELSE '#' || left(encode(sha256(convert_to(account, 'UTF8')), 'hex'), 32) END,
  %(task)s, id, id, jsonb_build_object('run', id) FROM w ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants


class RunInfo(Struct, frozen=True, kw_only=True):
    """A run and its state: "scheduled", "ready", "running", "waiting", "done", "failed" or "canceled". Times are in
    Unix seconds; ``wakes`` is when a sleep or the schedule wakes the run, ``waits`` how many jobs it waits for,
    ``approvals`` how many of its questions are open. ``started_by`` is "schedule:NAME" or "trigger:NAME". ``approvers``
    narrows who may decide its questions.
    """

    id: str
    key: str | None
    script: str
    args: list[str]
    account: str
    state: str
    began: float
    ended: float | None
    wakes: float | None
    waits: int
    worker: str | None
    error: str | None
    results: list[Any] | None
    calls: int
    submitted_by: str | None = None
    approvals: int = 0
    started_by: str | None = None
    approvers: list[str] | None = None


_LONGEST = 16_384  # the maximum bytes of a run's arguments in a list
_SHOWN = """
SELECT r.id, r.key, r.script, CASE WHEN octet_length(r.args) <= %s THEN r.args END, r.account, r.state,
  r.began, extract(epoch FROM r.ended)::float8,
  extract(epoch FROM coalesce(
    r.wake_at, (SELECT min(until) FROM waits WHERE run = r.id AND r.state = 'waiting')))::float8,
  (SELECT count(*) FROM waits WHERE run = r.id AND job IS NOT NULL AND r.state = 'waiting'),
  (SELECT host || ':' || pid FROM workers w WHERE w.id = r.worker), r.error, r.results,
  (SELECT count(*) FROM outcomes WHERE run = r.id AND sent), r.submitted_by,
  (SELECT count(*) FROM approvals WHERE run = r.id AND decision IS NULL AND r.state IN ('running', 'ready', 'waiting')),
  r.started_by, r.approvers
FROM runs r
"""


def submit(
    database: Database,
    head: Head,
    *,
    key: str | None = None,
    caps: Caps | None = None,
    at: float | None = None,
    by: str | None = None,
    approvers: list[str] | None = None,
) -> tuple[str, bool]:
    """Add a run, ready now or ``at`` a time in Unix seconds, submitted ``by`` a person. ``approvers`` narrows who may
    decide its approvals. Returns its id, and whether it is new: if an earlier run has the same ``key``, its id is
    returned. Raises a `UsageError` if that run has another script or other arguments.
    """
    packed = msgspec.msgpack.encode(caps or Caps())
    asked = (head.source, head.args, head.account, packed, *([approvers] if approvers is not None else []))
    digest = hashlib.sha256(msgspec.msgpack.encode(asked)).digest()
    run, state = new_id(), "ready" if at is None else "scheduled"
    with database.explained(), database.transaction(durable=True) as connection:
        if key is not None:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (key,))
            row = earlier(connection, key)
            if row and row[1] != digest:
                raise UsageError(
                    f"key {key!r} belongs to run {row[0]}, which has another script, arguments, account, budget or "
                    "approvers",
                    hint=f"see it: kosmo runs show {row[0]}; or use another --key",
                )
            if row:
                return row[0], False
        wake_at = None if at is None else datetime.fromtimestamp(at).astimezone()
        more = {"key": key, "digest": digest, "caps": packed, "state": state, "wake_at": wake_at, "submitted_by": by}
        add_run(connection, run, head, approvers=approvers, **more)
        if at is None:
            enqueue(connection, [(run, head.account)])
    return run, True


def earlier(connection: Connection[Any], key: str | None) -> tuple[str, bytes] | None:
    """The id and the digest of the run with that key, even if it has been pruned."""
    text = "SELECT id, digest FROM runs WHERE key = %s UNION ALL SELECT run, digest FROM pruned WHERE key = %s"
    found = connection.execute(text, (key, key)).fetchone()
    return None if found is None else (found[0], bytes(found[1]))


def enqueue(connection: Connection[Any], runs: Sequence[tuple[str, str]]) -> None:
    """Queue each run for a worker of its account. A run that is already queued is not queued again."""
    for run, account in runs:
        connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args) "
            "VALUES (%s, %s, %s, %s, jsonb_build_object('run', %s::text)) ON CONFLICT DO NOTHING",
            (queue_of(account), TASK, run, run, run),
        )


def queue_of(account: str) -> str:
    """The name of an account's queue. It is part of the name of a PostgreSQL channel, which may have 63 bytes."""
    name = account.encode(errors="replace")
    return account if len(name) <= _LONGEST_QUEUE else f"#{hashlib.sha256(name).hexdigest()[:32]}"


def wake(connection: Connection[Any], runs: Sequence[str], over: Sequence[int] = ()) -> int:
    """Continue those of the runs that are waiting, and return how many. The change is on disk once it is committed. The
    waits with the numbers ``over`` have ended, so that their runs do not poll for those jobs again.
    """
    values = {"runs": list(runs), "task": TASK, "over": list(over)}
    return connection.execute(_WAKE, values).rowcount if runs else 0


def listed(database: Database, limit: int = 1000) -> list[RunInfo]:
    """The newest runs, oldest first, without long arguments."""
    rows = database.rows(_SHOWN + "ORDER BY r.began DESC LIMIT %s", (_LONGEST, limit))
    return [_run_info(row) for row in reversed(rows)]


def find(database: Database, name: str) -> RunInfo:
    """The run with that id or key. Raises a `JournalError`."""
    rows = database.rows(_SHOWN + "WHERE r.id = %s OR r.key = %s LIMIT 1", (1 << 30, name, name))
    if not rows:
        raise JournalError(
            f"no run {name[:100]!r} in the database", hint="list the runs: kosmo runs list --database URL"
        )
    return _run_info(rows[0])


def cancel(database: Database, run: str) -> str:
    """Cancel a run: at once if it is waiting, within seconds if it is running. Returns its state."""
    with database.explained(), database.transaction(durable=True) as connection:
        row = connection.execute(
            "UPDATE runs SET cancel = true, "
            "state = CASE WHEN state IN ('scheduled', 'ready', 'waiting') THEN 'canceled' ELSE state END, "
            "ended = CASE WHEN state IN ('scheduled', 'ready', 'waiting') THEN clock_timestamp() ELSE ended END "
            "WHERE id = %s RETURNING state",
            (run,),
        ).fetchone()
    return row[0] if row else "unknown"


def resume(database: Database, run: str) -> bool:
    """Continue a failed or canceled run from its journal. False if the run is in another state."""
    with database.explained(), database.transaction(durable=True) as connection:
        row = connection.execute(
            "UPDATE runs SET state = 'ready', cancel = false, takeovers = 0, error = NULL, ended = NULL "
            "WHERE id = %s AND state IN ('failed', 'canceled') RETURNING account",
            (run,),
        ).fetchone()
        if row:
            enqueue(connection, [(run, row[0])])
    return row is not None


def prints(database: Database, run: str, after: int = 0) -> list[tuple[int, int, bytes]]:
    """Up to 1000 texts that the run printed after the one numbered ``after``: number, stream (1 or 2) and text."""
    text = "SELECT number, stream, text FROM prints WHERE run = %s AND number > %s ORDER BY number LIMIT 1000"
    return [(number, stream, text) for number, stream, text in database.rows(text, (run, after))]


def _run_info(row: Sequence[Any]) -> RunInfo:
    fields = dict(zip(RunInfo.__struct_fields__, row, strict=True))
    results, packed = fields["results"], fields["args"]
    args = ["(long)"] if packed is None else [hidden(one) for one in msgspec.msgpack.decode(packed)]
    return RunInfo(
        **{
            **fields,
            "args": args,
            "results": None if results is None else msgspec.msgpack.decode(results),
        }
    )
