"""The approvals of runs without a database: a SQLite file in the state directory, which scripts cannot reach."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from kosmolua.errors import ConfigurationError, JournalError, WaitingError
from kosmolua.gate.approval import Decision
from kosmolua.journal import runs
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
from kosmolua.journal.lock import holder_of
from kosmolua.settings import paths
from kosmolua.settings.approvers import Rules
from kosmolua.settings.config import Approving

if TYPE_CHECKING:
    from kosmolua.gate.approval import Ask
    from kosmolua.gate.run import Ticket
    from kosmolua.journal.journal import Journal

T = TypeVar("T")
NAME = "approvals.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS approvals (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, script TEXT NOT NULL, journal TEXT NOT NULL, task INTEGER NOT NULL,
  request INTEGER NOT NULL, function TEXT NOT NULL, account TEXT NOT NULL, access TEXT NOT NULL,
  arguments TEXT NOT NULL, digest TEXT NOT NULL, estimate REAL, why TEXT NOT NULL, rule TEXT, submitted_by TEXT,
  asked_at REAL NOT NULL, expires_at REAL NOT NULL, decision TEXT, decided_by TEXT, acting TEXT, decided_at REAL,
  reason TEXT, used_at REAL, approvers TEXT, own INTEGER, narrowed TEXT);
CREATE INDEX IF NOT EXISTS approvals_place ON approvals (run, task, request, digest);
"""
_SHOWN = """
SELECT id, run, script, journal, task, request, function, account, access, arguments, digest, estimate, why, rule,
  submitted_by, asked_at, expires_at,
  CASE WHEN decision IS NULL AND expires_at <= :now THEN 'expired' ELSE decision END,
  decided_by, acting, decided_at, reason, used_at, approvers, own FROM approvals
"""
# Columns that files of earlier versions lack. ``narrowed`` is the list that narrowed the approvers when the run asked.
_ADDED = {"approvers": "TEXT", "own": "INTEGER", "narrowed": "TEXT"}
_ASKED = (
    "id, run, script, journal, task, request, function, account, access, arguments, digest, estimate, why, rule, "
    "submitted_by, asked_at, expires_at, approvers, own, narrowed"
)
_JOURNAL = 3  # the column that is replaced by the state of the run


class ApprovalFile:
    """The file of one user. Each method opens it again. Raises a `ConfigurationError`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.path = os.path.join(paths.state_directory(environment), NAME)

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The file, in a transaction."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10.0)) as file:
                file.executescript(_TABLE)
                file.execute("BEGIN IMMEDIATE")
                try:
                    _complete(file)
                    yield file
                except BaseException:
                    file.execute("ROLLBACK")
                    raise
                file.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigurationError(
                f"cannot use {self.path}: {why}", hint="check that the disk has room and that the file may be written"
            ) from None

    def listed(self, *, decided: bool = False, run: str | None = None, limit: int = 1000) -> list[Approval]:
        """The newest open approvals of all runs or of one, oldest first; with ``decided``, also the approvals that are
        no longer open.
        """
        where = "" if run is None else "WHERE run = :run"
        text = f"SELECT * FROM ({_SHOWN} {where}) ORDER BY asked_at DESC, id LIMIT :limit"  # noqa: S608 - constants
        found = self._found(text, {"run": run, "limit": limit if decided else -1})
        return [each for each in reversed(found) if decided or each.status == "open"][-limit:]

    def find(self, identifier: str) -> Approval:
        """Raises a `UsageError`."""
        found = self._found(_SHOWN + "WHERE id = :id", {"id": identifier})
        if not found:
            raise unknown(identifier)
        return found[0]

    def decide(
        self,
        identifiers: Sequence[str],
        verdict: Verdict,
        by: str,
        *,
        acting: str | None = None,
        reason: str | None = None,
    ) -> list[Approval]:
        """Decide these approvals, all or none of them. Raises a `UsageError` if one is not open."""
        wanted = list(dict.fromkeys(identifiers))
        for identifier in wanted:
            if error := undecidable(self.find(identifier)):
                raise error
        text = "UPDATE approvals SET decision = ?, decided_by = ?, acting = ?, reason = ?, decided_at = ? WHERE id = ?"
        texts = [storable(each) for each in (by, acting, reason)]
        with self.opened() as file:
            for identifier in wanted:
                values = (verdict, *texts, time.time(), identifier)
                if not file.execute(f"{text} AND decision IS NULL", values).rowcount:
                    raise JournalError(f"approval {identifier} was decided meanwhile; nothing was changed")
        return [self.find(identifier) for identifier in wanted]

    def decided(self, identifiers: list[str]) -> list[str]:
        """The ids of those questions that are decided or expired."""
        text = "SELECT 1 FROM approvals WHERE id = ? AND (decision IS NOT NULL OR expires_at <= ?)"
        with self.opened() as file:
            return [each for each in identifiers if file.execute(text, (each, time.time())).fetchone()]

    def _found(self, text: str, values: dict[str, Any]) -> list[Approval]:
        if not os.path.exists(self.path):
            return []
        with self.opened() as file:
            rows = file.execute(text, {**values, "now": time.time()}).fetchall()
        states: dict[tuple[str, str], str] = {}
        found = []
        for row in rows:
            place = (str(row[_JOURNAL]), str(row[1]))
            if place not in states:
                states[place] = _state_of(*place)
            found.append(self.approval(row, states[place]))
        return found

    def narrowed(self, run: str) -> list[str] | None:
        """The list that narrowed the approvers of a run when it last asked; None if there was none."""
        if not os.path.exists(self.path):
            return None
        text = "SELECT narrowed FROM approvals WHERE run = ? AND narrowed IS NOT NULL ORDER BY rowid DESC LIMIT 1"
        with self.opened() as file:
            row = file.execute(text, (run,)).fetchone()
        return self._checked(list[str], lambda: msgspec.json.decode(row[0])) if row else None

    def approval(self, row: Sequence[Any], state: str) -> Approval:
        """The approval in a row, whose values SQLite does not check."""
        one = of_row([*row[:_JOURNAL], state, *row[_JOURNAL + 1 : -2], None, None])
        names, own = row[-2:]

        def fields() -> dict[str, Any]:
            listed = None if names is None else msgspec.json.decode(names)
            return {**msgspec.structs.asdict(one), "approvers": listed, "own": None if own is None else bool(own)}

        return self._checked(Approval, fields)

    def _checked(self, kind: type[T], read: Callable[[], Any]) -> T:
        try:
            return msgspec.convert(read(), kind)
        except (msgspec.MsgspecError, TypeError) as error:
            raise ConfigurationError(
                f"cannot use {self.path}: invalid approval: {error}",
                hint=f"another program wrote into it; move it away: mv {self.path} {self.path}.damaged",
            ) from None


def _state_of(journal: str, run: str) -> str:
    """The state of the run with that id, in the words of submitted runs."""
    try:
        with runs.readable(journal) as store:
            if store.facts()["id"] != run:
                return "canceled"  # another run uses the journal now
            end = store.summaries().end
    except JournalError:
        return "canceled"
    if holder_of(journal) is not None:
        return "running"
    if end is None or (end[2] or "").startswith("waiting:"):
        return "waiting"
    return "done" if end[1] else "failed"


def _complete(file: sqlite3.Connection) -> None:
    """Add the columns that a file of an older version lacks."""
    found = {name for _, name, *_ in file.execute("PRAGMA table_info(approvals)")}
    for name, kind in _ADDED.items():
        if name not in found:
            file.execute(f"ALTER TABLE approvals ADD COLUMN {name} {kind}")


def _json(names: list[str] | None) -> str | None:
    return None if names is None else msgspec.json.encode(names).decode()


class Waiting(Protocol):
    """A waiting request: for this ``decision`` if that is not None."""

    @property
    def decision(self) -> str | None: ...


class LocalQuestions:
    """The `kosmolua.gate.approval.Approvals` of one run of this machine. ``tell`` gets each new question. ``approvers``
    narrows who may decide, besides what narrowed it when the run asked before.
    """

    def __init__(
        self,
        file: ApprovalFile,
        journal: Journal,
        *,
        submitted_by: str,
        timeout: float = TIMEOUT,
        tell: Callable[[Approval], None] = lambda _: None,
        settings: Approving,
        approvers: list[str] | None = None,
    ) -> None:
        self._file = file
        self._journal = journal
        self._submitted_by = submitted_by
        self._timeout = timeout
        self._tell = tell
        before = file.narrowed(journal.facts["id"])
        self._rules = local_rules(settings, approvers, before)
        self._narrowed = local_rules(Approving(groups=settings.groups), approvers, before).names
        self._given: set[str] = set()
        self._watches = Watches(file.decided)
        self._lock = threading.Lock()

    def watch(self, identifier: str, ready: Callable[[], None]) -> Callable[[], None]:
        return self._watches.add(identifier, ready)

    def close(self) -> None:
        """Note in the approval file which decisions the run has used; the run's journal has them on disk already."""
        self._watches.close()
        used = [each for each in self._given if self._journal.is_used(each)]
        if used:
            with self._file.opened() as file:
                text = "UPDATE approvals SET used_at = coalesce(used_at, ?) WHERE id = ?"
                file.executemany(text, [(time.time(), each) for each in used])

    def decision(self, ask: Ask, ticket: Ticket) -> Decision:
        with self._lock, self._file.opened() as file:
            found = self._found(file, ask, ticket)
            if found is None:
                check_anybody(ask.function, self._rules, self._submitted_by)
            new = None if found else self._put(file, ask, ticket)
        if new:
            self._tell(self._file.find(new))
            return Decision(id=new, state="open", left=self._timeout)
        if found is None:
            return Decision(id="", state="open")
        if found.state != "open":
            self._given.add(found.id)
        return accepted(found, self._rules, self._submitted_by, "the configuration")

    def leave(self, waiting: Sequence[Waiting], _: int) -> bool:
        """The `kosmolua.runtime.parking.Parking` of the run: ends the run if it waits only for people."""
        ids = [each.decision for each in waiting if each.decision]
        if len(ids) < len(waiting):
            return False
        raise waits_for([self._file.find(each) for each in ids])

    def _found(self, file: sqlite3.Connection, ask: Ask, ticket: Ticket) -> Decision | None:
        """The decision at this place that has not been used yet, or that an interrupted attempt used."""
        now = time.time()
        values = {"run": self._journal.facts["id"], "digest": ask.digest.hex(), "now": now}
        place = dict(zip(("task", "request"), ticket.place, strict=True))
        text = _SHOWN + "WHERE run = :run AND task = :task AND request = :request AND digest = :digest "
        for row in file.execute(text + "ORDER BY asked_at DESC, rowid DESC", {**values, **place}).fetchall():
            one = self._file.approval(row, "")
            used = one.used_at is not None or self._journal.is_used(one.id)
            if one.decision == "superseded" or (used and not (ticket.open and one.decision == "approved")):
                continue
            left = max(0.0, one.expires_at - now)
            return Decision(
                id=one.id,
                state=one.decision or "open",
                by=one.decided_by,
                acting=one.acting,
                reason=one.reason,
                left=left,
            )
        return None

    def _put(self, file: sqlite3.Connection, ask: Ask, ticket: Ticket) -> str:
        facts, now, new = self._journal.facts, time.time(), new_id()
        file.execute(
            "UPDATE approvals SET decision = 'superseded', used_at = ? WHERE run = ? AND task = ? AND request = ? "
            "AND function = ? AND digest <> ? AND decision IS NULL",
            (now, facts["id"], *ticket.place, ask.function, ask.digest.hex()),
        )
        text = "SELECT count(*) FROM approvals WHERE run = ? AND decision IS NULL AND expires_at > ?"
        check_open(file.execute(text, (facts["id"], now)).fetchone()[0])
        where = (new, facts["id"], facts["script"], os.path.abspath(self._journal.path), *ticket.place)
        what = (ask.function, ask.account, ask.access, ask.arguments, ask.digest.hex(), ask.estimate, ask.why, ask.rule)
        when = (self._submitted_by, now, now + self._timeout)
        who = (_json(self._rules.names), self._rules.submitters, _json(self._narrowed))
        marks = ", ".join("?" * len(where + what + when + who))
        text = f"INSERT INTO approvals ({_ASKED}) VALUES ({marks})"  # noqa: S608 - constants
        file.execute(text, (*where, *what, *when, *who))
        return new


def local_rules(settings: Approving, *narrowed: list[str] | None) -> Rules:
    """Who may decide the approvals of local runs: by default their user, too."""
    return Rules(settings, tuple(each for each in narrowed if each is not None), own=True)


def waits_for(asked: Sequence[Approval]) -> WaitingError:
    """The error that ends a run that waits only for the answers to these questions."""
    first, one = asked[0], len(asked) == 1
    costs = [each.estimate for each in asked if each.estimate is not None]
    cost = f", estimated cost {sum(costs):g}" if costs else ""
    names = " and ".join(dict.fromkeys(each.function for each in asked))
    what = f"approval {first.id}" if one else f"{len(asked)} approvals"
    see = f"kosmo approvals show {first.id}" if one else "kosmo approvals list"
    return WaitingError(
        f"{names}: waiting for {what}{cost}",
        hint=f"look at it: {see}; decide: kosmo approvals approve {first.id if one else 'ID …'}; "
        f"then run it again: kosmo runs resume {first.run}",
        detail={"run": first.run, "approvals": [summary_of(each) for each in asked]},
    )


def summary_of(one: Approval) -> dict[str, Any]:
    """A question as plain data, for programs."""
    return {
        "id": one.id,
        "function": one.function,
        "account": one.account,
        "arguments": one.arguments,
        "digest": one.digest,
        "estimate": one.estimate,
        "expires_at": one.expires_at,
        "approvers": one.approvers,
        "approve": f"kosmo approvals approve {one.id}",
    }
