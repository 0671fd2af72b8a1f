"""The approvals of submitted runs: listing and deciding them. Anyone with the database's URL may do that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kosmolua.journal.approvals import Approval, Verdict, of_row, undecidable, unknown
from kosmolua.worker.runs import wake

if TYPE_CHECKING:
    from kosmolua.worker.database import Database

_SHOWN = """
SELECT a.id, a.run, r.script, r.state, a.task, a.request, a.function, a.account, a.access, a.arguments,
  encode(a.digest, 'hex'), a.estimate, a.why, a.rule, r.submitted_by, extract(epoch FROM a.asked_at)::float8,
  extract(epoch FROM a.expires_at)::float8,
  CASE WHEN a.decision IS NULL AND a.expires_at <= clock_timestamp() THEN 'expired' ELSE a.decision END,
  a.decided_by, a.acting, extract(epoch FROM a.decided_at)::float8, a.reason, extract(epoch FROM a.used_at)::float8
FROM approvals a JOIN runs r ON r.id = a.run
"""
_OPEN = (
    "WHERE a.decision IS NULL AND a.expires_at > clock_timestamp() AND r.state NOT IN ('done', 'failed', 'canceled') "
)
_DECIDE = """
UPDATE approvals SET decision = %s, decided_by = %s, acting = %s, reason = %s, decided_at = clock_timestamp()
WHERE id = ANY(%s) AND decision IS NULL
"""
# Before a run is parked, it locks its row too: a decision is seen then, or wakes it.
_LOCK = "SELECT 1 FROM runs WHERE id IN (SELECT run FROM approvals WHERE id = ANY(%s)) ORDER BY id FOR UPDATE"


def listed(database: Database, *, decided: bool = False, run: str | None = None, limit: int = 1000) -> list[Approval]:
    """The newest open approvals, oldest first; those that are ``decided``, too; of all runs or of one."""
    where = "WHERE true " if decided else _OPEN
    of_run = "AND a.run = %s " if run is not None else ""
    text = f"{_SHOWN} {where} {of_run} ORDER BY a.asked_at DESC, a.id LIMIT %s"
    values = (run, limit) if run is not None else (limit,)
    return [of_row(row) for row in reversed(database.rows(text, values))]


def find(database: Database, identifier: str) -> Approval:
    """Raises a `UsageError`."""
    rows = database.rows(_SHOWN + "WHERE a.id = %s", (identifier,))
    if not rows:
        raise unknown(identifier)
    return of_row(rows[0])


def decide(
    database: Database,
    identifiers: Sequence[str],
    verdict: Verdict,
    by: str,
    *,
    acting: str | None = None,
    reason: str | None = None,
) -> list[Approval]:
    """Decide these approvals, all or none of them, and let their runs continue. Raises a `UsageError` if one is not
    open. Who may decide is for the caller to check: `kosmolua.settings.approvers.check`.
    """
    wanted = list(dict.fromkeys(identifiers))
    with database.explained(), database.transaction() as connection:
        connection.execute("SET LOCAL synchronous_commit = on")
        connection.execute(_LOCK, (wanted,))
        rows = connection.execute(_SHOWN + "WHERE a.id = ANY(%s)", (wanted,)).fetchall()
        found = {row[0]: of_row(row) for row in rows}
        for identifier in wanted:
            if identifier not in found:
                raise unknown(identifier)
            if error := undecidable(found[identifier]):
                raise error
        connection.execute(_DECIDE, (verdict, _text(by), _text(acting), _text(reason), wanted))
        for run in dict.fromkeys(each.run for each in found.values()):
            wake(connection, run)
        rows = connection.execute(_SHOWN + "WHERE a.id = ANY(%s)", (wanted,)).fetchall()
    decided = {row[0]: of_row(row) for row in rows}
    return [decided[identifier] for identifier in wanted]


def _text(value: str | None) -> str | None:
    """Text that PostgreSQL can hold, at most 1,000 characters of it."""
    return None if value is None else value.encode(errors="replace").decode().replace("\0", "\ufffd")[:1000]
