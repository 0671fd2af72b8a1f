"""Requests, lists and decides approvals of submitted runs. Anyone with the database's URL may decide; a worker accepts
only decisions of people whom its own configuration allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.gate.approval import Decision
from kosmolua.journal.approvals import (
    TIMEOUT,
    Approval,
    Verdict,
    Watches,
    accepted,
    check_anybody,
    check_open,
    new_id,
    of_row,
    storable,
    undecidable,
    unknown,
)
from kosmolua.settings.approvers import Rules
from kosmolua.settings.config import Approving
from kosmolua.worker.database import unavailable
from kosmolua.worker.runs import wake
from kosmolua.worker.store import FencedError

if TYPE_CHECKING:
    from psycopg import Connection

    from kosmolua.gate.approval import Ask
    from kosmolua.gate.run import Ticket
    from kosmolua.worker.database import Database
    from kosmolua.worker.store import Fence

_SHOWN = """
SELECT a.id, a.run, r.script, r.state, a.task, a.request, a.function, a.account, a.access, a.arguments,
  encode(a.digest, 'hex'), a.estimate, a.why, a.rule, r.submitted_by, extract(epoch FROM a.asked_at)::float8,
  extract(epoch FROM a.expires_at)::float8,
  CASE WHEN a.decision IS NULL AND a.expires_at <= clock_timestamp() THEN 'expired' ELSE a.decision END,
  a.decided_by, a.acting, extract(epoch FROM a.decided_at)::float8, a.reason, extract(epoch FROM a.used_at)::float8,
  a.approvers, a.own
FROM approvals a JOIN runs r ON r.id = a.run
"""
_PAUSE = 0.1  # seconds between checks whether a worker has looked at a question
_OPEN = (
    "WHERE a.decision IS NULL AND a.expires_at > clock_timestamp() AND r.state NOT IN ('done', 'failed', 'canceled') "
)
_DECIDE = """
UPDATE approvals SET decision = %s, decided_by = %s, acting = %s, reason = %s, decided_at = clock_timestamp()
WHERE id = ANY(%s) AND decision IS NULL
"""
# A run that is being parked locks its row too: it either sees this decision, or this decision wakes it.
_LOCK = "SELECT 1 FROM runs WHERE id IN (SELECT run FROM approvals WHERE id = ANY(%s)) ORDER BY id FOR UPDATE"


def listed(database: Database, *, decided: bool = False, run: str | None = None, limit: int = 1000) -> list[Approval]:
    """The newest open approvals of all runs or of one run, oldest first; with ``decided``, also those that are not
    open.
    """
    where = "WHERE true " if decided else _OPEN
    of_run = "AND a.run = %s " if run is not None else ""
    text = f"{_SHOWN} {where} {of_run} ORDER BY a.asked_at DESC, a.id LIMIT %s"
    values = (run, limit) if run is not None else (limit,)
    return [of_row(row) for row in reversed(database.rows(text, values))]


def find(database: Database, identifier: str) -> Approval:
    """The approval with that id. Raises a `UsageError` if there is none."""
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
    """Decide either all of these approvals or none, and let their runs continue. Raises a `UsageError` if one is not
    open. The caller checks who may decide, with `kosmolua.journal.approvals.rules_for`.
    """
    wanted = list(dict.fromkeys(identifiers))
    with database.explained(), database.transaction(durable=True) as connection:
        connection.execute(_LOCK, (wanted,))
        rows = connection.execute(_SHOWN + "WHERE a.id = ANY(%s)", (wanted,)).fetchall()
        found = {row[0]: of_row(row) for row in rows}
        for identifier in wanted:
            if identifier not in found:
                raise unknown(identifier)
            if error := undecidable(found[identifier]):
                raise error
        connection.execute(_DECIDE, (verdict, storable(by), storable(acting), storable(reason), wanted))
        for run in dict.fromkeys(each.run for each in found.values()):
            wake(connection, [run])
        rows = connection.execute(_SHOWN + "WHERE a.id = ANY(%s)", (wanted,)).fetchall()
    decided = {row[0]: of_row(row) for row in rows}
    return [decided[identifier] for identifier in wanted]


def reread(database: Database, one: Approval, seconds: float = 10.0) -> Approval:
    """The question with what the current configuration of the worker says about who may decide it. For that the run is
    woken; if no worker has looked at it in time, the question is as before.
    """
    with database.explained(), database.transaction(durable=True) as connection:
        woken = wake(connection, [one.run])
    until = time.monotonic() + seconds
    while woken and time.monotonic() < until:
        one = find(database, one.id)
        if one.own or one.state == "waiting":
            break
        time.sleep(_PAUSE)
    return one


# Asking -----------------------------------------------------------------------------------------------------------

_HELD = """
SELECT r.submitted_by, r.approvers FROM runs r JOIN workers w ON w.id = r.worker
WHERE r.id = %s AND r.epoch = %s AND r.worker = %s AND w.lease_until > clock_timestamp() FOR SHARE OF r
"""
_STATE = """
SELECT id, CASE WHEN decision IS NULL AND expires_at <= clock_timestamp() THEN 'expired' ELSE decision END, decided_by,
  acting, reason, extract(epoch FROM expires_at - clock_timestamp())::float8 FROM approvals
WHERE run = %s AND task = %s AND request = %s AND digest = %s AND
"""
_SUPERSEDE = """
UPDATE approvals SET decision = 'superseded', used_at = clock_timestamp()
WHERE run = %s AND task = %s AND request = %s AND function = %s AND digest <> %s AND decision IS NULL
"""
_ASK = """
INSERT INTO approvals (id, run, task, request, function, account, access, arguments, digest, estimate, why, rule,
  approvers, own, expires_at, notify_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s),
  CASE WHEN %s THEN clock_timestamp() END)
"""
_RULES = """
UPDATE approvals SET approvers = %s, own = %s
WHERE id = %s AND decision IS NULL AND (approvers IS DISTINCT FROM %s::text[] OR own IS DISTINCT FROM %s)
"""


class Asks(Struct, frozen=True, kw_only=True):
    """How a worker asks: an open question expires after ``timeout`` seconds. ``settings`` reads who may decide and who
    is notified; ``approvers`` narrows who may decide, for all runs of the worker. ``point`` is the same as in
    `kosmolua.worker.segment.Segments`.
    """

    timeout: float = TIMEOUT
    settings: Callable[[], Approving] = Approving
    approvers: list[str] | None = None
    point: Callable[[str], None] = lambda _: None


class Questions:
    """The `kosmolua.gate.approval.Approvals` of one run that this worker holds."""

    def __init__(self, database: Database, run: str, fence: Fence, asks: Asks) -> None:
        self._database = database
        self._run = run
        self._fence = fence
        self._asks = asks
        self._watches = Watches(self._decided)

    def close(self) -> None:
        self._watches.close()

    def watch(self, identifier: str, ready: Callable[[], None]) -> Callable[[], None]:
        return self._watches.add(identifier, ready)

    def decision(self, ask: Ask, ticket: Ticket) -> Decision:
        import psycopg

        try:
            with self._database.transaction(durable=True) as connection:
                row = connection.execute(_HELD, (self._run, self._fence.epoch, self._fence.worker)).fetchone()
                if row is None:
                    raise FencedError(f"this worker no longer holds run {self._run}")
                submitted_by, rules = row[0], self._rules(row[1])
                found = self._found(connection, ask, ticket)
                if found is None:
                    check_anybody(ask.function, rules, submitted_by)
                    self._asks.point("before_question")
                    found = self._put(connection, ask, ticket, rules)
                elif found.state == "open":
                    who = (rules.names, rules.submitters)
                    connection.execute(_RULES, (*who, found.id, *who))
        except psycopg.Error as error:
            raise unavailable(error, "nothing of this call was sent") from None
        if found.state == "open":
            self._asks.point("asked")
        return accepted(found, rules, submitted_by, "this worker")

    def _rules(self, of_run: list[str] | None) -> Rules:
        """Who may decide by the current configuration, narrowed for this worker and for the run."""
        lists = [each for each in (self._asks.approvers, of_run) if each is not None]
        return Rules(self._asks.settings(), tuple(lists))

    def _found(self, connection: Connection[Any], ask: Ask, ticket: Ticket) -> Decision | None:
        """The unused decision for this call, or the one that an interrupted attempt at the call used."""
        place = (self._run, *ticket.place, ask.digest)
        row = connection.execute(_STATE + "used_at IS NULL FOR UPDATE", place).fetchone()
        if row is None and ticket.open:
            text = _STATE + "decision = 'approved' ORDER BY used_at DESC LIMIT 1"
            row = connection.execute(text, place).fetchone()
        if row is None:
            return None
        identifier, state, by, acting, reason, left = row
        if state == "expired":
            text = (
                "UPDATE approvals SET decision = 'expired', decided_at = expires_at WHERE id = %s AND decision IS NULL"
            )
            connection.execute(text, (identifier,))
        return Decision(id=identifier, state=state or "open", by=by, acting=acting, reason=reason, left=max(left, 0.0))

    def _put(self, connection: Connection[Any], ask: Ask, ticket: Ticket, rules: Rules) -> Decision:
        """Store the question. It supersedes an open question of the same call from before the script was changed."""
        connection.execute(_SUPERSEDE, (self._run, *ticket.place, ask.function, ask.digest))
        text = "SELECT count(*) FROM approvals WHERE run = %s AND decision IS NULL AND expires_at > clock_timestamp()"
        check_open((connection.execute(text, (self._run,)).fetchone() or (0,))[0])
        identifier, tells = new_id(), bool(rules.settings.notify)
        texts = (storable(ask.function), storable(ask.account), ask.access, ask.arguments)
        more = (ask.digest, ask.estimate, storable(ask.why), ask.rule, rules.names, rules.submitters)
        connection.execute(_ASK, (identifier, self._run, *ticket.place, *texts, *more, self._asks.timeout, tells))
        return Decision(id=identifier, state="open", left=self._asks.timeout)

    def _decided(self, identifiers: list[str]) -> list[str]:
        with self._database.explained(), self._database.transaction() as connection:
            return any_decided(connection, identifiers)


def any_decided(connection: Connection[Any], identifiers: Sequence[str]) -> list[str]:
    """The ids among these whose questions are decided or expired."""
    text = "SELECT id FROM approvals WHERE id = ANY(%s) AND (decision IS NOT NULL OR expires_at <= clock_timestamp())"
    return [identifier for (identifier,) in connection.execute(text, (list(identifiers),))]
