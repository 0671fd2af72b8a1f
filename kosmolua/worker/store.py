"""A journal in PostgreSQL. Each `hold` is a transaction from its first write on. Only the worker that holds a run adds
to its journal.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError
from kosmolua.journal.records import CallStart, Counts, Facts, Head, Intent, Line, Loaded, Row, Sent
from kosmolua.worker.database import UnavailableError, unavailable

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

    from kosmolua.worker.database import Database, Unit

BOOT = "postgresql"  # ages of attempts are counted by its clock
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_REQUEST = "task, request, function, account, digest, arguments, at, seen"
_HELD = """WITH held AS (SELECT r.id, r.epoch FROM runs r JOIN workers w ON w.id = r.worker
  WHERE r.id = %s AND r.epoch = %s AND r.worker = %s AND w.lease_until > clock_timestamp() AND {} FOR SHARE OF r) """
# A database that ends without warning may lose the latest commits. What follows an answer that is lost is not written.
_INTACT = "(SELECT coalesce(max(o.number), 0) FROM outcomes o WHERE o.run = r.id) = ANY(%s)"
_SMALL = 4096  # bytes of an answer that is read with the journal
_ONE = "SELECT 1 FROM held"
_FREE = "WITH held AS (SELECT id, epoch FROM runs WHERE id = %s) "
_INTEND = (
    f"INSERT INTO intents (run, {_REQUEST}, model, essence, epoch) "  # noqa: S608 - a constant
    f"SELECT id, %s, %s, %s, %s, %s, %s, {_NOW}, %s, %s, %s, epoch FROM held RETURNING number"
)
_FINISH = (
    f"INSERT INTO outcomes (run, {_REQUEST}, model, state, value, ended, sent) "  # noqa: S608 - a constant
    f"SELECT id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {_NOW}, %s FROM held RETURNING number"
)

_CONSUME = """WITH u AS (UPDATE approvals a SET used_at = coalesce(used_at, clock_timestamp())
  WHERE id = ANY(%s) AND run = %s AND decision = 'approved' AND task = %s AND request = %s AND (used_at IS NULL
    OR EXISTS (SELECT 1 FROM intents i WHERE i.run = a.run AND i.open AND i.task = %s AND i.request = %s))
  RETURNING 1) SELECT count(*) FROM u"""


class FencedError(JournalError):
    """Another worker holds the run, or the lease has expired. Nothing was written."""


class Fence(Struct, frozen=True):
    """Lets only this worker write, while its lease lasts and the run has this epoch."""

    worker: UUID
    epoch: int


class PostgresStore:
    """A `kosmolua.journal.store.Store` of one run. Without a ``fence`` anyone may write. A ``fresh`` run has no journal
    yet, which saves reading it. Raises a `JournalError`.
    """

    def __init__(self, database: Database, run: str, fence: Fence | None = None, *, fresh: bool = False) -> None:
        self._database = database
        self._run = run
        self._fence = fence
        self._lock = threading.RLock()
        self._unit: Unit | None = None
        self._fresh = fresh
        self._facts: Facts | None = None
        self._values: dict[int, bytes] = {}  # small answers
        self._closed = False
        self.newest_numbers: list[int] = []  # of the last answer; two if the last commit may have failed

    @contextmanager
    def hold(self, what: str = "") -> Iterator[None]:
        import psycopg

        with self._lock:
            if self._closed:
                raise JournalError(f"the journal of run {self._run} is closed" + (f"; {what}" if what else ""))
            if self._unit:
                yield
                return
            before, committed = self.newest_numbers, False
            try:
                with self._database.unit() as self._unit:
                    yield
                committed = True
            except (FencedError, UnavailableError) as error:
                raise type(error)(error.message + (f"; {what}" if what else ""), hint=error.hint) from None
            except (psycopg.Error, UnicodeError, OSError) as error:
                raise unavailable(error, what) from None
            finally:
                self._unit = None
                if not committed:
                    self.newest_numbers = sorted({*before, *self.newest_numbers})

    def close(self) -> None:
        self._closed = True

    # The run ------------------------------------------------------------------------------------------------------

    def prepare(self, head: Head) -> Facts:
        if not self._fence and not self._do("SELECT 1 FROM runs WHERE id = %s", self._run).fetchone():
            add_run(self._writing(), self._run, head)
        return self.facts()

    def facts(self) -> Facts:
        if self._facts is None:
            self._facts = self._read_facts()
        return self._facts

    def _read_facts(self) -> Facts:
        row = self._do(
            "SELECT script, source, args, account, emulated, began, seed FROM runs WHERE id = %s", self._run
        ).fetchone()
        if row is None:
            raise JournalError(f"there is no run {self._run}", hint="list the runs: kosmo runs list --database URL")
        script, source, args, account, emulated, began, seed = row
        return Facts(
            id=self._run,
            script=script,
            source=source,
            args=msgspec.msgpack.decode(args),
            account=account,
            emulated=int(emulated),
            prompt=0,
            directory="",
            began=began,
            seed=seed,
            awaits=1,
        )

    def begin_run(self, digest: str) -> int:
        text = f"INSERT INTO starts (run, at, digest) SELECT id, {_NOW}, %s FROM held RETURNING number"  # noqa: S608
        return self._write(text, digest)

    def end(self, run: int, error: str | None) -> None:
        self._write(
            f"UPDATE starts SET ended = {_NOW}, ok = %s, error = %s FROM held "  # noqa: S608 - a constant
            "WHERE run = held.id AND number = %s RETURNING number",
            error is None,
            None if error is None else _text(error),
            run,
        )

    def last_digest(self) -> str | None:
        if self._fresh:
            return None
        row = self._do("SELECT digest FROM starts WHERE run = %s ORDER BY number DESC LIMIT 1", self._run).fetchone()
        return row[0] if row else None

    def ended_after(self, at: float) -> float | None:
        moments = "SELECT at FROM starts WHERE run = %s UNION ALL SELECT ended FROM starts WHERE run = %s"
        text = f"SELECT min(at) FROM ({moments}) m WHERE at > %s"  # noqa: S608 - a constant
        row = self._do(text, self._run, self._run, at).fetchone()
        return row[0] if row else None

    # Its calls ----------------------------------------------------------------------------------------------------

    def intend(
        self,
        began: CallStart,
        model: str | None,
        essence: bytes,
        boot: tuple[str, float],  # noqa: ARG002 - the clock of the database counts
        approvals: Sequence[str] = (),
    ) -> None:
        """On disk when this returns; its time is the database's."""
        self._do("SET LOCAL synchronous_commit = on")
        if approvals:
            self._consume(began, approvals)
        fields = list(_fields(began))
        del fields[6]
        self._write(_INTEND, *fields, _text(model), essence)

    def finish(self, began: CallStart, model: str | None, state: str, value: bytes | None, *, sent: bool) -> int:
        """The outcome of a write is on disk when this is committed."""
        number = self._write(_FINISH, *_fields(began), _text(model), state, value, sent)
        changed = self._do(
            "UPDATE intents SET open = false WHERE run = %s AND task = %s AND request = %s AND open",
            self._run,
            began.task,
            began.request,
        )
        if changed.rowcount:
            self._do("SET LOCAL synchronous_commit = on")
        self.newest_numbers = [number]
        return number

    def _consume(self, began: CallStart, approvals: Sequence[str]) -> None:
        """Use approvals for a write, once. An interrupted attempt at the same call has used them already."""
        given = list(approvals)
        row = self._do(_CONSUME, given, self._run, began.task, began.request, began.task, began.request).fetchone()
        if row is None or row[0] != len(given):
            raise JournalError(f"{began.function}: an approval of it was used for something else; nothing was sent")

    def use(self, approvals: Sequence[str], outcome: int = 0) -> None:  # noqa: ARG002 - an interrupted run keeps it
        self._do(
            "UPDATE approvals SET used_at = coalesce(used_at, clock_timestamp()) WHERE id = ANY(%s) AND run = %s",
            list(approvals),
            self._run,
        )

    def is_used(self, approval: str) -> bool:
        text = "SELECT 1 FROM approvals WHERE id = %s AND used_at IS NOT NULL"
        return self._do(text, approval).fetchone() is not None

    def value(self, number: int) -> bytes | None:
        if number in self._values:
            return self._values[number]
        row = self._do("SELECT value FROM outcomes WHERE number = %s AND run = %s", number, self._run).fetchone()
        return row[0] if row else None

    def cut(self, first: int) -> None:
        self._write(_ONE)
        self._do("UPDATE outcomes SET cut = true WHERE run = %s AND number >= %s", self._run, first)
        self._do("UPDATE intents SET cut = true, open = false WHERE run = %s AND open", self._run)

    def forget_last_error(self) -> None:
        if self._fresh:
            return
        last = self._do("SELECT ok FROM starts WHERE run = %s ORDER BY number DESC LIMIT 1", self._run).fetchone()
        if last is None or last[0] is not False:
            return  # it was parked, or its worker died: it continues with its recorded answers
        seen = (
            "SELECT coalesce(max(seen), 0) FROM (SELECT seen FROM outcomes WHERE run = %s AND NOT cut "
            "UNION ALL SELECT seen FROM intents WHERE run = %s AND open AND NOT cut) s"
        )
        rows = self._do(
            "SELECT number, task, request, state FROM outcomes WHERE run = %s AND NOT cut "  # noqa: S608 - a constant
            f"AND state IN ('error', 'unsure') AND number > ({seen})",
            *[self._run] * 3,
        ).fetchall()
        for number, task, request, state in rows:
            self._do("UPDATE outcomes SET cut = true WHERE number = %s", number)
            change = "cut = true, open = false" if state == "error" else "open = true"
            self._do(
                f"UPDATE intents SET {change} WHERE run = %s AND task = %s AND request = %s AND NOT cut",  # noqa: S608
                self._run,
                task,
                request,
            )

    def load(self) -> Loaded:
        if self._fresh:
            self._fresh, self.newest_numbers = False, [0]
            return Loaded([], [], [])
        small = "CASE WHEN octet_length(value) <= %s THEN value END"
        kept = f"SELECT {_REQUEST}, number, state, {small} FROM outcomes WHERE run = %s AND NOT cut ORDER BY number"  # noqa: S608
        rows = []
        for order, (*began, number, state, value) in enumerate(self._do(kept, _SMALL, self._run), 1):
            rows.append(Row(number, order, state, CallStart(*began)))
            if value is not None:
                self._values[number] = value
        # A request may have left until its worker was dead, which it was when the run was started next.
        left = "coalesce((SELECT min(s.at) FROM starts s WHERE s.run = i.run AND s.at > i.at), i.at)"
        meant = (
            f"SELECT {_REQUEST}, number, essence, {left} FROM intents i "  # noqa: S608 - a constant
            "WHERE run = %s AND open AND NOT cut ORDER BY number"
        )
        attempts = [
            (CallStart(*fields), Intent(number, fields[6], essence, BOOT, at))
            for *fields, number, essence, at in self._do(meant, self._run)
        ]
        answered = self._do(
            "SELECT function, value FROM outcomes WHERE run = %s AND state = 'ok' AND sent AND value IS NOT NULL",
            self._run,
        ).fetchall()
        self.newest_numbers = [self.newest()]
        return Loaded(rows, attempts, answered)

    def newest(self) -> int:
        row = self._do("SELECT coalesce(max(number), 0) FROM outcomes WHERE run = %s", self._run).fetchone()
        return int(row[0]) if row else 0

    def sent(self, after: int = 0) -> Iterator[Sent]:
        names = "number, function, account, arguments, model, at, state, value, cut"
        text = f"SELECT {names} FROM outcomes WHERE run = %s AND sent AND number > %s ORDER BY number"  # noqa: S608
        for row in self._do(text, self._run, after):
            yield Sent(*row)

    def succeeded(self, functions: Sequence[str]) -> list[tuple[str, bytes]]:
        text = (
            "SELECT account, value FROM outcomes WHERE run = %s AND state = 'ok' AND sent AND NOT cut "
            "AND value IS NOT NULL AND position('succeeded'::bytea in value) > 0 AND function = ANY(%s)"
        )
        return [(account, value) for account, value in self._do(text, self._run, list(functions))]

    # What other runs did --------------------------------------------------------------------------------------------

    def take(self, identifier: str) -> bool:
        return bool(
            self._do(
                "INSERT INTO taken VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET run = taken.run "
                "WHERE taken.run = excluded.run RETURNING id",
                identifier,
                self._run,
            ).fetchone()
        )

    def is_taken(self, identifier: str) -> bool:
        text = "SELECT 1 FROM taken WHERE id = %s AND run <> %s"
        return self._do(text, identifier, self._run).fetchone() is not None

    def elsewhere(self, essence: bytes) -> tuple[int, int]:
        """An attempt is in flight while the worker that made it holds its run."""
        row = self._do(
            "SELECT count(*) FILTER (WHERE NOT flies), count(*) FILTER (WHERE flies) FROM ("
            "SELECT r.epoch = i.epoch AND coalesce(w.lease_until > clock_timestamp(), false) AS flies "
            "FROM intents i JOIN runs r ON r.id = i.run LEFT JOIN workers w ON w.id = r.worker "
            "WHERE i.essence = %s AND i.open AND i.run <> %s) f",
            essence,
            self._run,
        ).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    # For people ---------------------------------------------------------------------------------------------------

    def summaries(self) -> Counts:
        if self._fresh:
            return Counts(0, 0, 0, None, None)
        row = self._do(
            "SELECT (SELECT count(*) FROM starts WHERE run = %s), count(*) FILTER (WHERE NOT cut), "
            "(SELECT count(DISTINCT (task, request)) FROM intents WHERE run = %s AND open AND NOT cut), max(ended) "
            "FROM outcomes WHERE run = %s",
            *[self._run] * 3,
        ).fetchone()
        end = self._do(
            "SELECT ended, ok, error FROM starts WHERE run = %s ORDER BY number DESC LIMIT 1", self._run
        ).fetchone()
        runs, answers, left, last = row or (0, 0, 0, None)
        return Counts(runs, answers, left, end if end and end[0] is not None else None, last)

    def lines(self, *, answers: bool = True) -> Iterator[Line]:
        value = "value" if answers else "NULL"
        rows = (
            f"SELECT {_REQUEST}, model, state, {value}, ended FROM outcomes WHERE run = %s AND NOT cut ORDER BY number"  # noqa: S608
        )
        for *began, model, state, kept, ended in self._do(rows, self._run):
            yield Line(CallStart(*began), model, state, kept, ended)
        left = f"SELECT {_REQUEST}, model FROM intents WHERE run = %s AND open AND NOT cut ORDER BY number"  # noqa: S608
        for *began, model in self._do(left, self._run):
            yield Line(CallStart(*began), model, "open")

    # ------------------------------------------------------------------------------------------------------------

    def _write(self, text: str, *values: Any) -> int:
        """Carry it out if the run is held, and its latest answer is still there. Returns a number; raises a
        `FencedError` or an `UnavailableError` otherwise.
        """
        fence = self._fence
        if fence is None:
            row = self._do(_FREE + text, self._run, *values).fetchone()
        else:
            held = self._run, fence.epoch, fence.worker
            chained, newest = (_INTACT, [self.newest_numbers]) if self.newest_numbers else ("true", [])
            row = self._do(_HELD.format(chained) + text, *held, *newest, *values).fetchone()
            if row is None and self._do(_HELD.format("true") + _ONE, *held).fetchone():
                raise unavailable(JournalError(f"it lost answers of run {self._run} when it ended"))
        if row is None:
            raise FencedError(f"this worker no longer holds run {self._run}", hint="see kosmo workers list")
        return int(row[0])

    def _do(self, text: str, *values: Any) -> Cursor[Any]:
        return (self._reading() if text.startswith("SELECT") else self._writing()).execute(text, values)

    def _reading(self) -> Connection[Any]:
        return self._held().connection

    def _writing(self) -> Connection[Any]:
        return self._held().begun()

    def _held(self) -> Unit:
        if self._unit is None:
            raise JournalError(f"the journal of run {self._run} is closed")
        return self._unit


def add_run(connection: Connection[Any], run: str, head: Head, **more: Any) -> None:
    """Add a run that is ready. ``more`` are other columns."""
    given = {
        "id": run,
        "digest": b"",
        "script": _text(head.script),
        "source": head.source,
        "args": msgspec.msgpack.encode(head.args),
        "account": head.account,
        "emulated": head.emulated,
        "caps": b"",
        "seed": random.SystemRandom().randrange(1 << 52),
        "state": "ready",
        **more,
    }
    names, places = ", ".join(given), ", ".join(["%s"] * len(given))
    connection.execute(f"INSERT INTO runs ({names}, began) VALUES ({places}, {_NOW})", list(given.values()))  # noqa: S608


def new_id() -> str:
    return os.urandom(6).hex()


def _fields(began: CallStart) -> tuple[Any, ...]:
    fields = msgspec.structs.astuple(began)
    return (*fields[:2], _text(fields[2]), _text(fields[3]), *fields[4:])


def _text(value: str | None) -> str | None:
    """Text that PostgreSQL can hold: no NUL, no lone surrogates."""
    if value is None:
        return None
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")
