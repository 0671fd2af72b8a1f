"""A journal in PostgreSQL. Each `hold` is a transaction that begins at its first write. Only the worker that holds a
run adds to the run's journal.
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
from kosmolua.worker import statements
from kosmolua.worker.database import UnavailableError, unavailable
from kosmolua.worker.earlier import Before, Last, facts_of

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

    from kosmolua.worker.database import Database, Unit

_SMALL = 4096  # the maximum bytes of an answer that is kept in memory
_MOST_KEPT = 262_144  # the maximum bytes of answers that are kept until they have been counted
BOOT = "postgresql"  # the age of an attempt is measured by this clock


class FencedError(JournalError):
    """Another worker holds the run, or the lease has expired. Nothing was written."""


class Fence(Struct, frozen=True):
    """Lets only this worker write, while its lease lasts and the run has this epoch."""

    worker: UUID
    epoch: int


class PostgresStore:
    """A `kosmolua.journal.store.Store` of one run. Without a ``fence`` anyone may write. What ``before`` holds is not
    read again. Raises a `JournalError`.
    """

    def __init__(
        self, database: Database, run: str, fence: Fence | None = None, *, before: Before | None = None
    ) -> None:
        self._database = database
        self._run = run
        self._fence = fence
        self._lock = threading.RLock()
        self._unit: Unit | None = None
        self._fresh = before is not None and before.fresh
        self._interrupted = before is None or before.interrupted
        self._facts = before.facts if before else None
        self._last = before.last if before else None
        self._meant: set[tuple[int, int]] | None = None  # the places that have an open attempt, if known
        self._sent: list[Sent] | None = None  # what `sent` returns, until a call is added
        self._values: dict[int, bytes] = {}  # the small answers, by number
        self._closed = False
        self.newest_numbers: list[int] = []  # number of the last answer; two numbers if the last commit may have failed

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
        arguments = msgspec.msgpack.decode(args)
        head = Head(script=script, source=source, args=arguments, account=account, emulated=emulated)
        return facts_of(self._run, head, began, seed)

    def begin_run(self, digest: str) -> int:
        self._last = None
        return self._write(statements.START, digest, alone=True)

    def end(self, run: int, error: str | None) -> None:
        self._write(
            f"UPDATE starts SET ended = {statements.NOW}, ok = %s, error = %s FROM held "  # noqa: S608 - a constant
            "WHERE run = held.id AND number = %s RETURNING number",
            error is None,
            None if error is None else _text(error),
            run,
            alone=True,
        )

    def _last_start(self) -> Last | None:
        if self._last is None and not self._fresh:
            text = "SELECT digest, ended, ok, error FROM starts WHERE run = %s ORDER BY number DESC LIMIT 1"
            row = self._do(text, self._run).fetchone()
            return row and Last(*row)
        return self._last

    def last_digest(self) -> str | None:
        last = self._last_start()
        return last.digest if last else None

    def last_end(self) -> tuple[float, bool, str | None] | None:
        last = self._last_start()
        return (last.ended, bool(last.ok), last.error) if last and last.ended is not None else None

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
        """Record the start of a write, with the database's time. It is on disk when this returns."""
        if approvals:
            self._consume(began, approvals)
        fields = list(_fields(began))
        del fields[6]
        if self._meant is not None:
            self._meant.add((began.task, began.request))
        self._write(statements.INTEND, *fields, _text(model), essence, alone=True)

    def finish(
        self,
        began: CallStart,
        model: str | None,
        state: str,
        value: bytes | None,
        *,
        sent: bool,
        takes: str | None = None,
        alone: bool = False,
    ) -> int:
        """Record the outcome of a call. The outcome of a write is on disk when this is committed."""
        fields, place = (*_fields(began), _text(model), state, value, sent), (began.task, began.request)
        self._sent = None
        if takes or self._meant is None or place in self._meant:
            number = self._write(statements.FINISH_WRITE, *place, takes, takes, *fields, alone=alone)
        else:
            number = self._write(statements.FINISH, *fields, alone=alone)
        if self._meant is not None:
            self._meant.discard(place)
        self.newest_numbers = [number]
        return number

    def _consume(self, began: CallStart, approvals: Sequence[str]) -> None:
        """Use each approval for one write only. An interrupted attempt at the same call may have used them already."""
        given = list(approvals)
        row = self._do(
            statements.CONSUME, given, self._run, began.task, began.request, began.task, began.request
        ).fetchone()
        if row is None or row[0] != len(given):
            raise JournalError(f"{began.function}: its approval was already used for another call; nothing was sent")

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
        self._sent = None
        self._write(statements.ONE)
        self._do("UPDATE outcomes SET cut = true WHERE run = %s AND number >= %s", self._run, first)
        self._do("UPDATE intents SET cut = true, open = false WHERE run = %s AND open", self._run)

    def forget_last_error(self) -> None:
        last = self._last_start()
        if last is None or last.ok is not False:
            return  # the run was parked, or its worker died: it continues with its recorded answers
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
            self._interrupted = True
            change = "cut = true, open = false" if state == "error" else "open = true"
            self._do(
                f"UPDATE intents SET {change} WHERE run = %s AND task = %s AND request = %s AND NOT cut",  # noqa: S608
                self._run,
                task,
                request,
            )

    def load(self) -> Loaded:
        if self._fresh:
            self._fresh, self.newest_numbers, self._meant, self._sent = False, [0], set(), []
            return Loaded([], [], [])
        rows, sent, number = list[Row](), list[Sent](), 0
        for *began, number, state, was_sent, cut, model, value, size in self._do(statements.LOAD, _SMALL, self._run):
            if not cut:
                rows.append(Row(number, len(rows) + 1, state, CallStart(*began)))
                if size is not None and size <= _SMALL:
                    self._values[number] = value
            if was_sent:
                sent.append(Sent(number, began[2], began[3], began[5], model, began[6], state, value, cut))
        self.newest_numbers = [number]
        attempts = self._attempts() if self._interrupted else []
        self._interrupted = True  # since the value is loaded again when needed
        self._meant = {(began.task, began.request) for began, _ in attempts}
        self._sent = sent if sum(len(each.value or b"") for each in sent) < _MOST_KEPT else None
        answered = [(each.function, each.value) for each in sent if each.state == "ok" and each.value is not None]
        return Loaded(rows, attempts, answered)

    def _attempts(self) -> list[tuple[CallStart, Intent]]:
        return [
            (CallStart(*fields), Intent(number, fields[6], essence, BOOT, at))
            for *fields, number, essence, at in self._do(statements.LOAD_ATTEMPTS, self._run)
        ]

    def newest(self) -> int:
        row = self._do("SELECT coalesce(max(number), 0) FROM outcomes WHERE run = %s", self._run).fetchone()
        return int(row[0]) if row else 0

    def sent(self, after: int = 0) -> Iterator[Sent]:
        if self._sent is not None:
            yield from [each for each in self._sent if each.number > after]
            return
        names = "number, function, account, arguments, model, at, state, value, cut"
        text = f"SELECT {names} FROM outcomes WHERE run = %s AND sent AND number > %s ORDER BY number"  # noqa: S608
        for row in self._do(text, self._run, after):
            yield Sent(*row)

    def succeeded(self, functions: Sequence[str]) -> list[tuple[str, bytes]]:
        if self._sent is not None:
            found = [one for one in self._sent if one.state == "ok" and not one.cut and one.function in functions]
            return [(one.account, one.value) for one in found if one.value and b"succeeded" in one.value]
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
        """Count open attempts at the same call by other runs: those that are no longer in flight, and those that are.
        An attempt is in flight while the worker that made it holds its run.
        """
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
        row = self._do(
            "SELECT (SELECT count(*) FROM starts WHERE run = %s), count(*) FILTER (WHERE NOT cut), "
            "(SELECT count(DISTINCT (task, request)) FROM intents WHERE run = %s AND open AND NOT cut), max(ended) "
            "FROM outcomes WHERE run = %s",
            *[self._run] * 3,
        ).fetchone()
        runs, answers, left, last = row or (0, 0, 0, None)
        return Counts(runs, answers, left, self.last_end(), last)

    def lines(self, *, answers: bool = True) -> Iterator[Line]:
        value = "value" if answers else "NULL"
        rows = (
            f"SELECT {statements.REQUEST}, model, state, {value}, ended FROM outcomes "  # noqa: S608 - constants
            "WHERE run = %s AND NOT cut ORDER BY number"
        )
        for *began, model, state, kept, ended in self._do(rows, self._run):
            yield Line(CallStart(*began), model, state, kept, ended)
        left = f"SELECT {statements.REQUEST}, model FROM intents WHERE run = %s AND open AND NOT cut ORDER BY number"  # noqa: S608
        for *began, model in self._do(left, self._run):
            yield Line(CallStart(*began), model, "open")

    # ------------------------------------------------------------------------------------------------------------

    def _write(self, text: str, *values: Any, alone: bool = False) -> int:
        """Execute a statement if this worker holds the run and the database still has the latest answer; otherwise
        raise a `FencedError` or an `UnavailableError`. Returns the row's number. A statement that is ``alone`` needs no
        transaction.
        """
        fence = self._fence
        connection = self._reading() if alone else self._writing()
        if fence is None:
            row = connection.execute(statements.FREE + text, (self._run, *values)).fetchone()
        else:
            held = self._run, fence.epoch, fence.worker
            newest = [self.newest_numbers[at] for at in (0, -1)] if self.newest_numbers else []
            chained = statements.INTACT if newest else "true"
            row = connection.execute(statements.HELD.format(chained) + text, (*held, *newest, *values)).fetchone()
            if row is None and connection.execute(statements.HELD.format("true") + statements.ONE, held).fetchone():
                raise unavailable(JournalError(f"it lost answers of run {self._run} when it ended"))
        if row is None:
            raise FencedError(
                f"this worker no longer holds run {self._run}", hint="list the workers: kosmo workers list"
            )
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
    """Add a run that is ready. ``more`` holds the values of further columns."""
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
    connection.execute(f"INSERT INTO runs ({names}, began) VALUES ({places}, {statements.NOW})", list(given.values()))  # noqa: S608


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
