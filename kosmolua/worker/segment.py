"""One segment of a run: from when this worker claims the run until it ends or waits without a process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import KosmoError, ScriptError
from kosmolua.gate.approval import Asking
from kosmolua.gate.budget import Caps
from kosmolua.gate.described import by_name
from kosmolua.host.host import Host
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Facts, Head, Lookup
from kosmolua.replicate import catalogue
from kosmolua.replicate.ids import id_of
from kosmolua.runtime.parking import Parking, Waiting
from kosmolua.settings import paths
from kosmolua.worker import approvals, events, statements, triggers
from kosmolua.worker.database import Database, DatabaseError, UnavailableError
from kosmolua.worker.earlier import Before, Last, facts_of
from kosmolua.worker.lease import Lease
from kosmolua.worker.runs import enqueue, wake
from kosmolua.worker.store import BOOT, Fence, FencedError, PostgresStore

if TYPE_CHECKING:
    from kosmolua.host.result import Result
    from kosmolua.host.script import ScriptRun
    from kosmolua.journal.ticket import Ticket

TAKEOVERS = 3  # how often a run may lose its worker without progress


class Claimed(Struct, frozen=True):
    """A run that this worker holds. ``began`` and ``seed`` are those of `Facts`."""

    id: str
    head: Head
    caps: Caps
    fence: Fence
    takeovers: int
    began: float
    seed: int
    named: dict[str, Any] | None = None  # the arguments by name, if a trigger started the run

    @property
    def facts(self) -> Facts:
        return facts_of(self.id, self.head, self.began, self.seed)


class _Earlier(Struct, frozen=True, kw_only=True):
    """What earlier segments left: when each sleep ends, the number of the last print, whether there were waits and
    interrupted calls, and the last start.
    """

    dues: dict[tuple[int, int], float] = {}
    printed: int = 0
    waited: bool = False
    interrupted: bool = False
    last: Last | None = None


class _Written(Struct, frozen=True):
    """What a segment wrote: the number of its last answer, of its last print, and of its start if that ends with the
    run.
    """

    newest: list[int]
    printed: int
    start: int | None


class Segments:
    """Runs segments, each in the thread that calls it. Thread-safe. ``point`` is called with the name of each step that
    another worker may have to continue from.
    """

    def __init__(
        self,
        database: Database,
        host: Host,
        lease: Lease,
        *,
        settling: float,
        after: float,
        asks: approvals.Asks,
        point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._point = point
        self._database = database
        self._host = host
        self._lease = lease
        self._settling = settling
        self._after = after
        self._asks = asks
        self._lock = threading.Lock()
        self._running: dict[str, ScriptRun] = {}
        self._outputs: dict[str, _Prints] = {}
        self._busy: set[str] = set()  # the runs that threads are working on
        self._draining = False

    def __len__(self) -> int:
        return len(self._busy)

    def run(self, run: str) -> None:
        """Continue a run, unless another worker holds it."""
        with self._lock:
            if self._draining or run in self._busy:
                return
            self._busy.add(run)
        try:
            self._continue(run)
        finally:
            with self._lock:
                self._busy.discard(run)
                self._outputs.pop(run, None)

    def _continue(self, run: str) -> None:
        claimed = self._claim(run)
        if claimed is None:
            return
        if claimed.takeovers > TAKEOVERS:
            self._end(claimed, "failed", f"script_crashed: its worker died {claimed.takeovers} times without progress")
            return
        try:
            self._carry_out(claimed)
        except KosmoError as error:
            self._settle(claimed, error, None)

    def drain(self) -> None:
        """End the running segments; another worker continues the runs."""
        with self._lock:
            self._draining = True
            running = list(self._running.values())
        for each in running:
            each.stop("the worker is being stopped")

    def cancel(self, runs: list[str]) -> None:
        with self._lock:
            found = [self._running[run] for run in runs if run in self._running]
        for each in found:
            each.stop("the run was canceled")

    def flush(self) -> None:
        """Write what the scripts have printed so far. If that fails, it is tried again later."""
        with self._lock:
            outputs = list(self._outputs.values())
        for each in outputs:
            with suppress(KosmoError):
                each.flush()

    def held(self) -> list[str]:
        with self._lock:
            return list(self._busy)

    def _claim(self, run: str) -> Claimed | None:
        rows = self._database.rows(statements.CLAIM, {"me": self._lease.id, "run": run})
        if not rows:
            return None
        self._point("claimed")
        _note(run, "running")
        script, source, args, account, emulated, caps, epoch, takeovers, started_by, began, seed, _ = rows[0]
        arguments = msgspec.msgpack.decode(args, type=list[str])
        head = Head(script=script, source=source, args=arguments, account=account, emulated=emulated)
        packed = msgspec.msgpack.decode(caps, type=Caps) if caps else Caps()
        named = triggers.named_of(arguments) if triggers.started(started_by) else None
        return Claimed(run, head, packed, Fence(self._lease.id, epoch), takeovers, began, seed, named)

    def _carry_out(self, claimed: Claimed) -> None:
        fresh = claimed.fence.epoch == 1
        earlier = _Earlier() if fresh else self._earlier(claimed)
        before = Before(facts=claimed.facts, fresh=fresh, interrupted=earlier.interrupted, last=earlier.last)
        store = PostgresStore(self._database, claimed.id, claimed.fence, before=before)
        lookup = Lookup(settling=self._settling, uptime=lambda: (BOOT, self._database.now()))
        place = os.path.join(paths.state_directory(os.environ), "worker", claimed.id)
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        questions = approvals.Questions(self._database, claimed.id, claimed.fence, self._asks)
        journaled = _RunJournal(place, claimed.head, lookup=lookup, store=store)
        with closing(journaled) as journal, closing(questions):
            journal.cancel, journal.point, journal.is_taken = self._cancel_fenced, self._point, self._is_taken
            parking = Parking(
                journal,
                self._after,
                leave=lambda waiting, _: self._leave(claimed, output, waiting, waited=earlier.waited),
                dues=earlier.dues,
                printed=earlier.printed,
                elsewhere=True,
            )
            journal.is_parked = lambda: parking.left
            output = self._outputs[claimed.id] = _Prints(self._database, claimed, earlier.printed)
            script = self._host.script(
                claimed.head.source,
                _arguments(claimed),
                name=claimed.head.script,
                output=output,
                journal=journal,
                account=claimed.head.account,
                caps=claimed.caps,
                parking=parking,
                keep_outputs=False,
                asking=Asking(questions),
                identifier=claimed.id,
            )
            result = self._result(claimed.id, script)
        if not parking.left:
            output.flush()
            written = _Written(store.newest_numbers, output.number, None if result.error else journal.run)
            self._settle(claimed, result.error, result, written)

    def _result(self, run: str, script: ScriptRun) -> Result:
        with self._lock:
            self._running[run] = script
            if self._draining:
                script.stop("the worker is being stopped")
        try:
            return script.result()
        finally:
            with self._lock:
                self._running.pop(run, None)

    def _earlier(self, claimed: Claimed) -> _Earlier:
        rows = self._database.rows(statements.EARLIER, (claimed.id,))
        dues, waited = dict[tuple[int, int], float](), False
        for *_, task, request, kind, left, account, ended in rows:
            waited = waited or task is not None
            if kind == "sleep":
                dues[task, request] = time.monotonic() + left
            if ended:
                self._host.note_end(ended, account=account)
        printed, interrupted, *start = rows[0][:6]
        last = Last(*start) if start[0] else None
        return _Earlier(dues=dues, printed=printed, waited=waited, interrupted=interrupted, last=last)

    def _leave(self, claimed: Claimed, output: _Prints, waiting: list[Waiting], *, waited: bool) -> bool:
        """Park the run: from now on it exists only as rows in the database."""
        output.flush()
        self._point("before_park")
        rows = [(each.task, each.number, *_wait_of(each, claimed)) for each in waiting]
        values = (*_of(claimed), *([row[column] for row in rows] for column in range(6)))
        questions = [each.decision for each in waiting if each.decision]
        with self._database.explained(), self._database.unit() as unit:
            connection = unit.begun(durable=True) if waited or questions else unit.connection
            if waited:
                connection.execute("DELETE FROM waits WHERE run = %s", (claimed.id,))
            if not connection.execute(statements.LEFT, values).fetchone():
                raise FencedError(f"this worker no longer holds run {claimed.id}")
            if questions and approvals.any_decided(connection, questions):
                wake(connection, [claimed.id])
        with suppress(KosmoError), self._database.explained(), self._database.unit() as unit:
            events.wake_if_ended(unit.connection, claimed.id)
        _note(claimed.id, "waiting")
        self._point("parked")
        return True

    def _settle(
        self, claimed: Claimed, error: KosmoError | None, result: Result | None, written: _Written | None = None
    ) -> None:
        """Record how a segment ended. An interrupted run is continued later, perhaps by another worker."""
        if isinstance(error, FencedError):
            return
        if error and (error.code == "interrupted" or isinstance(error, UnavailableError | DatabaseError)):
            self._give_back(claimed)
        elif error:
            self._end(claimed, "failed", f"{error.code}: {error.message}", None, written)
        elif result:
            self._end(claimed, "done", None, result, written)

    def _give_back(self, claimed: Claimed) -> None:
        """Release the run to the next worker, unless it was canceled."""
        text = (
            "UPDATE runs SET worker = NULL, state = CASE WHEN cancel THEN 'canceled' ELSE 'ready' END, "
            "ended = CASE WHEN cancel THEN clock_timestamp() END "
            "WHERE id = %s AND worker = %s AND epoch = %s RETURNING state, account"
        )
        with suppress(KosmoError), self._database.explained(), self._database.transaction() as connection:
            row = connection.execute(text, _of(claimed)).fetchone()
            if row and row[0] == "ready":
                enqueue(connection, [(claimed.id, row[1])])
        _note(claimed.id, "given back")

    def _end(
        self,
        claimed: Claimed,
        state: str,
        error: str | None,
        result: Result | None = None,
        written: _Written | None = None,
    ) -> None:
        results = None if result is None else msgspec.msgpack.encode(result.results)
        error = None if error is None else error.encode(errors="replace").decode().replace("\0", "\ufffd")[:4000]
        newest, printed, start = (written.newest, written.printed, written.start) if written else (None, 0, None)
        values = state, error, results, *_of(claimed), newest, newest, printed, start
        if not self._database.rows(statements.ENDED, values):
            self._give_back(claimed)
            return
        _note(claimed.id, state, error)

    def _is_taken(self, identifier: str) -> bool:
        """Whether any run has taken that prediction. This run counts too: its new worker may have found the
        prediction.
        """
        return bool(self._database.rows("SELECT 1 FROM taken WHERE id = %s", (identifier,)))

    def _cancel_fenced(self, kind: str, identifier: str, account: str) -> None:
        """Cancel a job that was created after another worker took over the run."""
        with closing(self._host.session("kosmo worker")) as session:
            session.host_calls.cancel(kind, identifier, account, "fenced")


class _RunJournal(Journal):
    """A journal that notices when another worker has taken over its run."""

    cancel: Callable[[str, str, str], None]
    point: Callable[[str], None]
    is_taken: Callable[[str], bool]
    is_parked: Callable[[], bool]

    def end(self, error: KosmoError | None) -> None:
        """Record a failure, except if the run was interrupted: then it continues with its recorded answers. A parked
        run has not ended; the success of a run is recorded together with its results.
        """
        if self.is_parked() or error is None:
            return
        super().end(None if error.code == "interrupted" else error)

    def intend(self, ticket: Ticket, reserve: Callable[[], None] = lambda: None) -> None:
        def reserve_here() -> None:
            reserve()
            self.point("reserved")

        self.point("before_intent")
        super().intend(ticket, reserve_here)
        self.point("after_intent")

    def finish(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        write = ticket.sent and ticket.began.function.startswith("create")
        if write:
            self.point("answered")
            if ticket.afterwards:
                ticket.afterwards.append(lambda: self.point("settled"))
            else:  # nothing to settle
                self.point("settled")
        try:
            super().finish(ticket, value, ok=ok)
        except FencedError:
            self._undo(ticket, value, ok=ok)
            raise
        if write:
            self.point("recorded")

    def _undo(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        operation = catalogue.find(ticket.began.function)
        identifier = id_of(msgspec.msgpack.decode(value)) if ok and operation and operation.starts else None
        if identifier and operation and operation.starts and not self.is_taken(identifier):
            self.cancel(operation.starts, identifier, ticket.began.account or self.facts["account"])


class _Prints:
    """The output of the script, added to the database in batches."""

    SECONDS, BYTES = 0.5, 64 * 1024

    def __init__(self, database: Database, claimed: Claimed, printed: int) -> None:
        self._database = database
        self._claimed = claimed
        self.number = printed
        self._kept: list[tuple[int, int, bytes]] = []
        self._size = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        with self._lock:
            self._since = self._since if self._kept else time.monotonic()
            self.number += 1
            self._kept.append((self.number, stream, text))
            self._size += len(text)
        if self._size > self.BYTES or time.monotonic() - self._since > self.SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the batch. Raises a `ScriptError` if the run was taken over or earlier output was lost, and a
        `ConfigurationError` if the database is unavailable.
        """
        with self._lock:
            kept = self._kept
            if kept:
                self._add(kept)
                self._kept, self._size = [], 0

    def _add(self, kept: list[tuple[int, int, bytes]]) -> None:
        with self._database.explained(), self._database.transaction() as connection:
            text = (
                "SELECT (SELECT coalesce(max(number), 0) FROM prints WHERE run = r.id) FROM runs r "
                "WHERE id = %s AND worker = %s AND epoch = %s FOR SHARE"
            )
            row = connection.execute(text, _of(self._claimed)).fetchone()
            if row is None:
                raise ScriptError("another worker holds the run", code="interrupted")
            if row[0] < kept[0][0] - 1:
                raise ScriptError("the database lost output of the run", code="interrupted")
            connection.cursor().executemany(
                "INSERT INTO prints VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(self._claimed.id, *row) for row in kept],
            )


def _note(run: str, state: str, error: str | None = None) -> None:
    """Log what became of a run."""
    logging.getLogger("kosmolua.worker").info(
        "run %s is %s", run, state, extra={"kosmolua": {"run": run, "state": state, "error": error}}
    )


def _of(claimed: Claimed) -> tuple[Any, ...]:
    return claimed.id, claimed.fence.worker, claimed.fence.epoch


class _Awaited(Struct):
    id: str
    kind: str = "prediction"
    account: str = ""
    deadline: float | None = None


def _wait_of(waiting: Waiting, claimed: Claimed) -> tuple[str, str | None, str, float | None]:
    """A wait's kind, job and account, and the seconds until it ends at the latest."""
    if waiting.decision is not None:
        return "approval", None, claimed.head.account, waiting.left
    if waiting.due is not None:
        return "sleep", None, claimed.head.account, waiting.due - time.monotonic()
    asked = msgspec.msgpack.decode(waiting.arguments, type=_Awaited)
    left = None if asked.deadline is None else asked.deadline - time.time()
    return asked.kind, asked.id, asked.account or claimed.head.account, left


def _arguments(claimed: Claimed) -> dict[str, Any] | list[str]:
    """The run's arguments. They are named if a trigger gave them or if the script's header declares arguments."""
    head = claimed.head
    named = by_name(head.source, head.args, head.script) if claimed.named is None else claimed.named
    return head.args if named is None else named
