"""The requests and answers of a run, so that a resumed run can continue where it ended. `store` is the storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from kosmolua.errors import JournalError, KosmoError
from kosmolua.journal import fit
from kosmolua.journal.arguments import digest_of, digested
from kosmolua.journal.bounds import Bounds, Room, unsent
from kosmolua.journal.lock import Holder
from kosmolua.journal.records import (
    AWAIT,
    SPAN,
    CallStart,
    Facts,
    Head,
    Intent,
    Lookup,
    RecordedAnswer,
    Request,
    Row,
    operation_of,
    place_of,
)
from kosmolua.journal.sqlite import SqliteStore, decoded
from kosmolua.journal.store import Store
from kosmolua.journal.ticket import Ticket
from kosmolua.replicate import catalogue
from kosmolua.replicate.ids import id_of

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget
    from kosmolua.replicate.catalogue import Operation

AGAIN = frozenset({"host.require"})  # never recorded, so that a resumed run asks again: a module may have been fixed
_WHOLE = frozenset({"host.interrupt"})  # its argument is always kept: the number of answers of an input
_END = 1 << 62  # beyond the number of any row


class Journal:
    """The journal of one run, or of one session at a prompt, for the one process that may write it and any number of
    its threads.

    With ``cut``, the rest is discarded if the script asks for something other than the journal holds. The journal is in
    the file ``path`` unless a ``store`` is given; ``path`` is then only its name. Raises a `JournalError` for a file
    that cannot be used, or that another process holds.
    """

    facts: Facts

    def __init__(
        self,
        path: str,
        head: Head,
        *,
        cut: bool = False,
        lookup: Lookup | None = None,
        bounds: Bounds | None = None,
        store: Store | None = None,
    ) -> None:
        self.path = path
        self.lookup = lookup or Lookup()
        self._claimed: set[str] = set()
        self.cuts = 0
        self._cut = cut
        self._room = Room(path, bounds or Bounds(), prompt=head.prompt)
        self._prompt = head.prompt
        self._turn = threading.Lock()
        self._store: Store | None = store
        self._held = None if store else Holder(path)
        try:
            self._begin(head)
        except BaseException:
            self.close()
            raise

    def _begin(self, head: Head) -> None:
        store = self._store = self._store or SqliteStore(self.path)
        with store.hold():
            self.facts = store.prepare(head)
            fit.check(self.path, self.facts, head)
            digest = digest_of(head.source)
            self.script_changed = store.last_digest() not in {None, digest}
            end = store.last_end()
            self.finished = end[0] if end and end[1] else None  # when the last run ended, if it succeeded
            store.forget_last_error()
            self._load(store)
            self.run = store.begin_run(digest)

    @property
    def how(self) -> str:
        """The command that continues with the journal; a flag about an interrupted call can be added to it."""
        return f"enter it again after :journal {self.path}" if self._prompt else "resume with"

    @property
    def answers(self) -> int:
        """The number of answers in the journal."""
        return len(self._numbers)

    def at(self, order: int) -> tuple[int, str, bytes]:
        """The input that the ``order``-th answer belongs to, the function that gave the answer, and its arguments."""
        began = self._ordered[order - 1].began
        return began.task // SPAN, began.function, began.arguments

    def description(self, order: int) -> str:
        """A description of the request that got the ``order``-th answer."""
        began = self._ordered[order - 1].began
        return f"{place_of(began.task, began.request, prompt=self._prompt)}: {began}"

    def close(self) -> None:
        if self._store:
            self._store.close()
        if self._held:
            self._held.close()

    def end(self, error: KosmoError | None) -> None:
        """Record that the run has ended: successfully if ``error`` is None. A failure to write is ignored."""
        store = self._opened()
        with suppress(JournalError), store.hold():
            store.end(self.run, f"{error.code}: {error.message}" if error else None)

    # For the runtime --------------------------------------------------------------------------------------------

    def start(self) -> dict[str, float]:
        awaits = {"awaits": 1.0} if self.facts.get("awaits") else {}
        return {"seed": self.facts["seed"], "began": self.facts["began"], **awaits}

    def rewind(self) -> None:
        """Treat what this run has recorded as recorded by an earlier run, because the script starts again."""
        store = self._opened()
        with store.hold():
            self._load(store)

    def recall(self, asked: Request, turn: int) -> RecordedAnswer | None:
        """The recorded answer to this request, None if there is none. The script is at the ``turn``-th answer. Raises a
        `JournalError` if the journal has another request there.
        """
        place = (_task_of(asked), asked.number)
        row, (held, *_) = self._rows.get(place), self._open.get(place, [None])
        was = row.began if row else held
        if was is None:
            return None
        now = self._began(asked)
        if not was.asks_like(now):
            self._diverge(turn, was, now)
            return None
        return self._recorded(row) if row else None

    def begin(self, asked: Request, seen: int) -> Ticket:
        self._room.check()
        began = self._began(asked, time.time(), self._numbers[seen - 1] if 0 < seen <= len(self._numbers) else 0)
        return Ticket(self, began, self._attempts.get((began.task, began.request), ()))

    def finish(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        """Record the next answer. Raises a `JournalError` if it cannot be written."""
        began = ticket.began
        if not (ok or ticket.sent or began.function in _WHOLE):
            began = msgspec.structs.replace(began, arguments=unsent(began.digest))
        operation = catalogue.find(began.function)
        secret = began.function in AGAIN or (operation is not None and operation.secret)
        # If a call fails before the search for an earlier attempt, that attempt remains open.
        unsure = ticket.unsure or (bool(ticket.open) and not ticket.sent)
        state, kept = "ok" if ok else "unsure" if unsure else "error", None if secret else value
        store = self._opened()
        with store.hold(f"the answer to {began.function} is not in it; a resumed run looks for it"):
            if ticket.finished:
                return
            ticket.finished = True
            takes = self._claim(operation, value) if ok and operation else None
            alone = not ticket.approvals and not ticket.afterwards
            self._numbers.append(
                store.finish(began, ticket.model, state, kept, sent=ticket.sent, takes=takes, alone=alone)
            )
            if ticket.approvals:
                store.use(ticket.approvals, self._numbers[-1])
            self._room.take(began.arguments, kept)
            place = (began.task, began.request)
            self._open.pop(place, None)
            self._attempts.pop(place, None)
            for action in ticket.afterwards:
                action()

    def differs(self, order: int, asked: Request | None) -> JournalError | None:
        """The error if the ``order``-th answer does not match: the script makes this request instead, or no request.
        None if the rest of the journal is discarded.
        """
        try:
            self._diverge(order, self._ordered[order - 1].began, self._began(asked) if asked else None)
        except JournalError as error:
            return error
        return None

    # For the gate -----------------------------------------------------------------------------------------------

    def intend(self, ticket: Ticket, reserve: Callable[[], None] = lambda: None) -> None:
        """Record that a write is about to be sent. The record is on disk when this returns. ``reserve`` is called in
        the same transaction.
        """
        store = self._opened()
        with store.hold("nothing of this call was sent"):
            reserve()
            store.intend(ticket.began, ticket.model, ticket.essence, self.lookup.uptime(), ticket.approvals)
            self._room.take(ticket.began.arguments)

    def is_used(self, approval: str) -> bool:
        """Whether a call of this run has used that approval."""
        store = self._opened()
        with store.hold():
            return store.is_used(approval)

    def turn(self) -> AbstractContextManager[object]:
        return self._turn if self._open else nullcontext()

    def ended(self, at: float) -> float:
        """When a run first ended or started after that moment; now if none did."""
        store = self._opened()
        with store.hold():
            found = store.ended_after(at)
        return time.time() if found is None else found

    def alike(self, essence: bytes) -> tuple[int, int]:
        """The number of interrupted requests whose results cannot be told apart, in all journals of the store, and the
        number of such requests that other runs are sending now.
        """
        store = self._opened()
        with store.hold():
            interrupted, in_flight = store.elsewhere(essence)
            return interrupted + sum(each[0].essence == essence for each in self._attempts.values()), in_flight

    def is_claimed(self, identifier: str) -> bool:
        """Whether this id is the answer to another entry, of this journal or another one in the store."""
        store = self._opened()
        if identifier in self._claimed:
            return True
        with store.hold():
            return store.is_taken(identifier)

    def claim(self, identifier: str, *, interrupted: bool) -> bool:
        """Record this id as the answer. False if another run was faster, which is possible only for ``interrupted``
        calls.
        """
        store = self._opened()
        if interrupted:
            with store.hold():
                if not store.take(identifier):
                    return False
        self._claimed.add(identifier)
        return True

    def restore(self, budget: Budget, after: int = 0) -> None:
        """Count the spending of earlier runs in the rows after row number ``after``."""
        store = self._opened()
        with store.hold():
            spent(store, budget, after)

    def predictions(self) -> Iterator[tuple[str, Any]]:
        """The answers in earlier runs that show successful predictions, each with its account."""
        shown = [each for each in catalogue.OPERATIONS if each.job == "prediction" and not each.paged]
        names = [AWAIT, *(name for each in shown for name in each.names)]
        store = self._opened()
        with store.hold():
            found = store.succeeded(names)
            own = self.facts["account"]
            return iter([(account or own, decoded(value)) for account, value in found])

    def newest(self) -> int:
        """The number of the last answer, discarded ones included."""
        store = self._opened()
        with store.hold():
            return store.newest()

    # ------------------------------------------------------------------------------------------------------------

    def _opened(self) -> Store:
        if self._store is None:
            raise JournalError(f"the journal {self.path} is closed")
        return self._store

    def _began(self, asked: Request, at: float = 0.0, seen: int = 0) -> CallStart:
        digest, arguments = digested(asked.arguments)
        return CallStart(_task_of(asked), asked.number, asked.function, asked.account, digest, arguments, at, seen)

    def _recorded(self, row: Row) -> RecordedAnswer:
        store = self._opened()
        with store.hold():
            return RecordedAnswer(row.order, row.state == "ok", store.value(row.number))

    def _diverge(self, turn: int, was: CallStart, now: CallStart | None) -> None:
        """Script and journal diverge: discard the rest of the journal, or raise."""
        if not self._cut:
            raise fit.mismatch(self.path, was, now, prompt=self._prompt)
        store = self._opened()
        with store.hold():
            store.cut(self._numbers[turn - 1] if turn <= self.last else _END)
            self._load(store)
        self.cuts += 1

    def _claim(self, operation: Operation, value: bytes) -> str | None:
        """The id in an answer, if that id is the only proof that the call was executed."""
        if operation.proof and operation.proof.how == "listed" and (identifier := id_of(decoded(value))):
            self._claimed.add(identifier)
            return identifier
        return None

    def _load(self, store: Store) -> None:
        loaded = store.load()
        self._ordered = loaded.rows
        self._numbers = [row.number for row in loaded.rows]
        self._rows = {(row.began.task, row.began.request): row for row in loaded.rows}
        self.last = len(self._numbers)
        self._open: dict[tuple[int, int], list[CallStart]] = {}
        self._attempts: dict[tuple[int, int], list[Intent]] = {}
        for began, intent in loaded.attempts:
            place = (began.task, began.request)
            self._open.setdefault(place, []).append(began)
            self._attempts.setdefault(place, []).append(intent)
        for function, value in loaded.answered:
            operation = catalogue.find(function)
            if operation:
                self._claim(operation, value)


def spent(store: Store, budget: Budget, after: int = 0, now: float | None = None) -> None:
    """Count the spending of a journal's calls in the rows after row number ``after``, including discarded ones. Jobs
    not known to have ended count up to ``now``, in Unix seconds.
    """
    now = time.time() if now is None else now
    own = store.facts()["account"]
    for call in store.sent(after):
        operation = operation_of(call.function)
        if operation and not (call.cut and call.state == "unsure"):
            data = decoded(call.value) if call.state == "ok" and call.value is not None else None
            age = now - call.at
            budget.restore(operation, call.model, call.account or own, age, data, taken=call.state != "error")


def _task_of(asked: Request) -> int:
    return int(asked.input * SPAN + asked.task)
