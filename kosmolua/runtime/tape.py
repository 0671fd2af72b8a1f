"""Replays a run from its journal: recorded requests are answered in their recorded order, new ones are recorded.

The path of a script depends only on the answers it gets and their order, so answers are given in the order of the
journal. A request that is not in the journal starts only after all recorded answers were given: a script that diverges
from its journal is detected before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from kosmolua.errors import ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import NOTHING, Call, Request, Sleep, answer, checked
from kosmolua.runtime.parking import LONG, Handoff, Waiting
from kosmolua.runtime.pending import MAX_OPEN, Pending, Waits
from kosmolua.runtime.rate import Rate

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError
    from kosmolua.runtime.parking import Watch


T = TypeVar("T")  # the ticket of the request that is being carried out
CarryOut = Callable[[Request, T | None], tuple[bool, bytes]]
"""Whether the request succeeded, and its answer or error as MessagePack."""


class JournalRequest(Struct, frozen=True):
    """A request as the journal identifies it: its position and content. ``input`` is the number of a prompt's input."""

    task: int
    number: int
    function: str
    account: str = ""
    arguments: bytes = NOTHING
    input: int = 0


class RecordedAnswer(Protocol):
    """A recorded answer; ``order`` is its position among all answers. ``value`` is None for an answer that is not
    stored, such as a secret; its request is carried out again.
    """

    @property
    def order(self) -> int: ...

    @property
    def ok(self) -> bool: ...

    @property
    def value(self) -> bytes | None: ...


class Journal(Protocol[T]):
    """The recorded answers, from earlier runs and from this one. ``last`` is the order of the last recorded answer, or
    0.
    """

    @property
    def last(self) -> int: ...

    def start(self) -> dict[str, float]:
        """Values for the start of the script: the ``seed`` of its random numbers, and when the first run ``began``."""

    def recall(self, asked: JournalRequest, turn: int) -> RecordedAnswer | None:
        """The recorded answer to this request; ``turn`` is the order of the next answer. Raises a `JournalError` if the
        journal has a different request at this position.
        """

    def begin(self, asked: JournalRequest, seen: int) -> T:
        """A ticket for a request that starts now, after the script has got ``seen`` answers."""

    def finish(self, ticket: T, value: bytes, *, ok: bool) -> None:
        """Record the next answer. Raises a `JournalError` on failure."""

    def differs(self, order: int, asked: JournalRequest | None) -> KosmoError | None:
        """The error for a script that diverges at that answer: it requests ``asked`` instead, or nothing. None if the
        rest of the journal was discarded, so that the run continues without it.
        """


class Tape(Generic[T]):
    """Answers the requests of one run. ``carry_out`` returns ``(ok, answer)``; ``lane`` and ``watch`` are the same as
    in `Port`. If the run's time is ``limited``, calls never block the loop. ``dues`` maps the positions of earlier
    sleeps to their ends.
    """

    def __init__(
        self,
        journal: Journal[T],
        pending: Pending,
        carry_out: CarryOut[T],
        lane: Callable[[str], str],
        *,
        limited: bool = False,
        watch: Watch | None = None,
        dues: dict[tuple[int, int], float] | None = None,
    ) -> None:
        self._watch = watch
        self._dues = {} if dues is None else dues
        self._waiting: dict[tuple[int, int], JournalRequest] = {}
        self._decisions: dict[tuple[int, int], Waits] = {}  # open decisions, by the position of the request
        self._journal = journal
        self._pending = pending
        self._carry_out = carry_out
        self._lane = lane
        self._limited = limited
        self._next = 1  # order of the next answer
        self._held: dict[int, tuple[Request, JournalRequest, RecordedAnswer]] = {}
        self._later: list[tuple[Request, JournalRequest]] = []
        self._given = self._waits = 0  # numbers of answers to requests that were not alone, and of waits for one
        self._alone = 0
        self._rate = Rate()

    def request(self, frame: Request) -> bytes | None:
        """Carry out a request, or answer it from the journal. None if the answer comes later."""
        asked = self._asked(frame)
        recorded = self._journal.recall(asked, self._next)
        if frame.alone and self._next <= self._journal.last and (recorded is None or recorded.order != self._next):
            self._stop(asked)
            recorded = None
        if recorded is None and self._next > self._journal.last:
            self._start_open()
            return self._begin(frame, asked)
        if frame.alone and recorded:
            self._advance()
            self._alone += 1
            return self._replayed(frame, recorded)
        self._hold(frame, asked, recorded)
        return None

    def wait(self, *, dropped: bool = False) -> None:
        """Note that the script waits for the next answer, or ``dropped`` its last wait because of an interrupt."""
        if dropped:
            self._waits -= 1
            return
        self._waits += 1
        if self._waits > self._given and self._next <= self._journal.last:
            self._stop(self._later[0][1] if self._later else None)
            self._start_open()

    def end(self, *, ok: bool) -> None:
        """Note the end of the script. Raises a `JournalError` if the journal has further answers."""
        if ok and self._next <= self._journal.last:
            self._stop(None)

    def _hold(self, frame: Request, asked: JournalRequest, recorded: RecordedAnswer | None) -> None:
        if len(self._held) + len(self._later) >= MAX_OPEN:
            raise ScriptError(f"the script has more than {MAX_OPEN} open requests")
        if recorded:
            self._held[recorded.order] = frame, asked, recorded
        else:
            self._later.append((frame, asked))
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the next recorded answers. After the last one, start the requests that have no recorded answer."""
        while self._next in self._held and self._may_give:
            frame, _, recorded = self._held.pop(self._next)
            self._given += 1
            self._advance()
            self._pending.put(self._replayed(frame, recorded))
        if self._next > self._journal.last:
            self._start_open()

    @property
    def _may_give(self) -> bool:
        """Whether the script gets the next recorded answer."""
        return True

    def _advance(self) -> None:
        self._next += 1

    def _start_open(self) -> None:
        """Start all open requests, since the journal has no further answers."""
        begun = [*((frame, asked) for frame, asked, _ in self._held.values()), *self._later]
        self._held, self._later = {}, []
        for frame, asked in sorted(begun, key=lambda item: item[0].id):
            self._begin(frame, asked)

    def _replayed(self, frame: Request, recorded: RecordedAnswer) -> bytes:
        if recorded.value is None:
            return answer(frame, *self._carry_out(frame, None))
        return answer(frame, recorded.ok, recorded.value)

    def _begin(self, frame: Request, asked: JournalRequest) -> bytes | None:
        if not isinstance(frame, Call):
            self._rate.wait()
        ticket = self._journal.begin(asked, self._seen())
        self._alone += frame.alone
        self._given += not frame.alone
        if isinstance(frame, Sleep) and self._parks(frame):
            self._sleep(frame, asked, ticket)
            return None
        if isinstance(frame, Call) and self._begin_waiting(frame, asked, ticket):
            return None
        if not frame.alone or (self._limited and isinstance(frame, Call)):
            self._begin_threaded(frame, asked, ticket)
            return None
        try:
            ok, value = self._tried(frame, asked, ticket)
        except Waits as waits:
            self._pending.call_later(waits.watch, self._action(frame, asked, ticket), len(asked.arguments))
            return None
        self._journal.finish(ticket, value, ok=ok)
        return answer(frame, ok, value)

    def waiting(self) -> list[Waiting]:
        """The requests that are waiting now: sleeps, and calls that wait for an event."""
        found = []
        for at, asked in list(self._waiting.items()):
            waits = self._decisions.get(at)
            found.append(
                Waiting(
                    *at,
                    asked.function,
                    asked.arguments,
                    self._dues.get(at),
                    waits.identifier if waits else None,
                    waits.left if waits else 0.0,
                )
            )
        return found

    @property
    def only_asks(self) -> bool:
        """Whether all waiting requests wait for a person."""
        return bool(self._decisions) and len(self._decisions) == len(self._waiting)

    def _parks(self, sleep: Sleep) -> bool:
        """Whether the sleep may outlast the child."""
        return self._watch is not None and (not sleep.alone or sleep.seconds > LONG)

    def _sleep(self, frame: Sleep, asked: JournalRequest, ticket: T) -> None:
        at, seconds = (asked.task, asked.number), checked(frame)
        self._waiting[at] = asked
        due = self._dues.setdefault(at, time.monotonic() + seconds)
        note = partial(self._end_wait, at, ticket, NOTHING, ok=True)
        self._pending.sleep(max(0.0, min(seconds, due - time.monotonic())), answer(frame, True, NOTHING), note)

    def _begin_waiting(self, frame: Call, asked: JournalRequest, ticket: T) -> bool:
        """Whether the call waits for an event. If so, begin to watch for the event."""
        if not self._watch:
            return False
        came = Handoff()
        leave = self._watch(frame.function, asked.arguments, came.come)
        if leave is None:
            return False
        at = (asked.task, asked.number)
        self._waiting[at] = asked

        def watch(ready: Callable[[], None]) -> Callable[[], None]:
            came.give(ready)
            return leave

        self._pending.call_later(
            watch, self._action(frame, asked, ticket), len(frame.arguments), self._lane(frame.function)
        )
        return True

    def _action(
        self, frame: Request, asked: JournalRequest, ticket: T
    ) -> Callable[[], tuple[bytes, Callable[[], None]]]:
        """A function that carries out a request that may wait, and returns its answer with a function that records
        it.
        """
        at = (asked.task, asked.number)

        def action() -> tuple[bytes, Callable[[], None]]:
            ok, value = self._tried(frame, asked, ticket)
            return answer(frame, ok, value), partial(self._end_wait, at, ticket, value, ok=ok)

        return action

    def _tried(self, frame: Request, asked: JournalRequest, ticket: T) -> tuple[bool, bytes]:
        """Carry out a request. Raises `Waits` if a person has to decide about it first."""
        try:
            return self._carry_out(frame, ticket)
        except Waits as waits:
            at = (asked.task, asked.number)
            self._decisions[at] = waits
            self._waiting[at] = asked
            raise

    def _end_wait(self, at: tuple[int, int], ticket: T, value: bytes, *, ok: bool) -> None:
        self._journal.finish(ticket, value, ok=ok)
        self._waiting.pop(at, None)
        self._dues.pop(at, None)
        self._decisions.pop(at, None)

    def _begin_threaded(self, frame: Request, asked: JournalRequest, ticket: T) -> None:
        call = self._action(frame, asked, ticket)
        match frame:
            case Call():
                self._pending.call(call, len(frame.arguments), self._lane(frame.function))
            case Sleep():
                note = partial(self._journal.finish, ticket, NOTHING, ok=True)
                self._pending.sleep(checked(frame), answer(frame, True, NOTHING), note)
            case _:
                self._pending.put(*call())

    def _seen(self) -> int:
        """The number of answers that the script has got so far."""
        return self._alone + self._waits

    def _asked(self, frame: Request) -> JournalRequest:
        return _asked(frame)

    def _stop(self, asked: JournalRequest | None) -> None:
        error = self._journal.differs(self._next, asked)
        if error:
            raise error


def _asked(frame: Request) -> JournalRequest:
    if frame.at is None:
        raise ScriptError("the script process sent a request without its position", code="script_crashed")
    match frame:
        case Call():
            return JournalRequest(*frame.at, frame.function, frame.account, bytes(frame.arguments))
        case Sleep():
            return JournalRequest(*frame.at, "host.sleep", arguments=marshal.encode({"seconds": frame.seconds}))
    return JournalRequest(*frame.at, "host.time")
