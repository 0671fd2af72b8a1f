"""A run that keeps a journal: what it asks is answered from there as far as that goes, in the order of the first time,
and written down from then on.

A script's path is a function of the answers it gets and of the order in which it gets them, so the order of the
answers is the order of the journal. What the journal does not hold is not begun before all that it holds was handed
over: a script that asks for something else is found out before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.pending import MAX_OPEN, Pending
from kosmolua.runtime.port import NOTHING, Call, Request, Sleep, answer, checked
from kosmolua.runtime.rate import Rate

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError


T = TypeVar("T")  # the ticket that a journal makes for a request which is carried out now
CarryOut = Callable[[Request, T | None], tuple[bool, bytes]]
"""Whether it was done, and the answer or the error, as MessagePack."""


class Asked(Struct, frozen=True):
    """A request as a journal knows it: where it stands, and what it is. At a prompt ``input`` says of which it is."""

    task: int
    number: int
    function: str
    account: str = ""
    arguments: bytes = NOTHING
    input: int = 0


class Recorded(Protocol):
    """An answer of an earlier time, the ``order``-th of all. Where it is not to be kept, ``value`` is None: it is
    asked for again.
    """

    @property
    def order(self) -> int: ...

    @property
    def ok(self) -> bool: ...

    @property
    def value(self) -> bytes | None: ...


class Journal(Protocol[T]):
    """What was answered in earlier runs, and is now. ``last`` is how many answers it holds, counted from 1."""

    @property
    def last(self) -> int: ...

    def start(self) -> dict[str, float]:
        """What the script's side begins with: ``seed`` of its random numbers, and when it first ``began``."""

    def recall(self, asked: Asked, turn: int) -> Recorded | None:
        """The answer to this request, while that of order ``turn`` is the next. Raises a `JournalError` where it holds
        another request in its place.
        """

    def begin(self, asked: Asked, seen: int) -> T:
        """A ticket for a request that is carried out now, made when the script had seen so many answers."""

    def finish(self, ticket: T, value: bytes, *, ok: bool) -> None:
        """Take the next answer down. Raises a `JournalError` where that cannot be."""

    def differs(self, order: int, asked: Asked | None) -> KosmoError | None:
        """Why the answer of that order does not fit: the script asks for this instead, or for nothing. None where the
        journal has been cut there, and the run goes on from it.
        """


class Tape(Generic[T]):
    """The requests of one run and their answers. ``carry_out`` gives whether it was done, and the answer; ``lane`` is
    that of a `Port`. A run whose time is ``limited`` waits for no call.
    """

    def __init__(
        self,
        journal: Journal[T],
        pending: Pending,
        carry_out: CarryOut[T],
        lane: Callable[[str], str],
        *,
        limited: bool = False,
    ) -> None:
        self._journal = journal
        self._pending = pending
        self._carry_out = carry_out
        self._lane = lane
        self._limited = limited
        self._next = 1  # the order of the answer that is handed over next
        self._held: dict[int, tuple[Request, Asked, Recorded]] = {}
        self._later: list[tuple[Request, Asked]] = []
        self._given = self._waits = 0  # answers that were not alone; and how often the script waited for one
        self._alone = 0
        self._rate = Rate()

    def request(self, frame: Request) -> bytes | None:
        """Carry out a request, or answer it from the journal. None where the answer comes later."""
        asked = self._asked(frame)
        recorded = self._journal.recall(asked, self._next)
        if frame.alone and self._next <= self._journal.last and (recorded is None or recorded.order != self._next):
            self._stop(asked)
            recorded = None
        if recorded is None and self._next > self._journal.last:
            self._go_on()
            return self._begin(frame, asked)
        if frame.alone and recorded:
            self._advance()
            self._alone += 1
            return self._replayed(frame, recorded)
        self._hold(frame, asked, recorded)
        return None

    def wait(self, *, dropped: bool = False) -> None:
        """The script waits for the next answer, or has ``dropped`` the last."""
        if dropped:
            self._waits -= 1
            return
        self._waits += 1
        if self._waits > self._given and self._next <= self._journal.last:
            self._stop(self._later[0][1] if self._later else None)
            self._go_on()

    def end(self, *, ok: bool) -> None:
        """The script has ended, and asks for nothing more."""
        if ok and self._next <= self._journal.last:
            self._stop(None)

    def _hold(self, frame: Request, asked: Asked, recorded: Recorded | None) -> None:
        if len(self._held) + len(self._later) >= MAX_OPEN:
            raise ScriptError(f"the script has {MAX_OPEN} requests under way at once; no more are taken")
        if recorded:
            self._held[recorded.order] = frame, asked, recorded
        else:
            self._later.append((frame, asked))
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the answers whose turn it is, and begin what the journal does not hold once there are no more."""
        while self._next in self._held and self._gives:
            frame, _, recorded = self._held.pop(self._next)
            self._given += 1
            self._advance()
            self._pending.put(self._replayed(frame, recorded))
        if self._next > self._journal.last:
            self._go_on()

    @property
    def _gives(self) -> bool:
        """Whether the script is to have the next answer."""
        return True

    def _advance(self) -> None:
        self._next += 1

    def _go_on(self) -> None:
        """From here on nothing is taken from the journal."""
        begun = [*((frame, asked) for frame, asked, _ in self._held.values()), *self._later]
        self._held, self._later = {}, []
        for frame, asked in sorted(begun, key=lambda item: item[0].id):
            self._begin(frame, asked)

    def _replayed(self, frame: Request, recorded: Recorded) -> bytes:
        if recorded.value is None:
            return answer(frame, *self._carry_out(frame, None))
        return answer(frame, recorded.ok, recorded.value)

    def _begin(self, frame: Request, asked: Asked) -> bytes | None:
        if not isinstance(frame, Call):
            self._rate.wait()
        ticket = self._journal.begin(asked, self._seen())
        self._alone += frame.alone
        self._given += not frame.alone
        if not frame.alone or (self._limited and isinstance(frame, Call)):
            self._begin_beside(frame, ticket)
            return None
        ok, value = self._carry_out(frame, ticket)
        self._journal.finish(ticket, value, ok=ok)
        return answer(frame, ok, value)

    def _begin_beside(self, frame: Request, ticket: T) -> None:
        def call() -> tuple[bytes, Callable[[], None]]:
            ok, value = self._carry_out(frame, ticket)
            return answer(frame, ok, value), partial(self._journal.finish, ticket, value, ok=ok)

        match frame:
            case Call():
                self._pending.call(call, len(frame.arguments), self._lane(frame.function))
            case Sleep():
                note = partial(self._journal.finish, ticket, NOTHING, ok=True)
                self._pending.sleep(checked(frame), answer(frame, True, NOTHING), note)
            case _:
                self._pending.put(*call())

    def _seen(self) -> int:
        """How many answers the script had seen before it asked."""
        return self._alone + self._waits

    def _asked(self, frame: Request) -> Asked:
        return _asked(frame)

    def _stop(self, asked: Asked | None) -> None:
        error = self._journal.differs(self._next, asked)
        if error:
            raise error


# Input after input -------------------------------------------------------------------------------------------------

INTERRUPT = "host.interrupt"  # the entry of an input that got no more answers than its argument says


class InputJournal(Journal[T], Protocol[T]):
    """What was asked at a prompt. ``answers`` is how many it holds by now; ``failure`` is why it can take no more."""

    @property
    def failure(self) -> KosmoError | None: ...

    @failure.setter
    def failure(self, error: KosmoError) -> None: ...

    @property
    def answers(self) -> int: ...

    def at(self, order: int) -> tuple[int, str, bytes]:
        """The input that the answer of that order is for, the function that gave it, and its arguments."""


class Left(Exception):  # noqa: N818 - no error: what happened then happens again
    """An input was left here when it was entered first, and is so again."""


class Inputs(Tape[T]):
    """The same for input after input at a prompt, each of which is a script with a number, counted over those that
    asked for anything. An input that was left in its midst has an entry which says how many answers it was given. Those
    that came later were for nobody, and are so again.
    """

    _journal: InputJournal[T]

    def __init__(
        self,
        journal: InputJournal[T],
        pending: Pending,
        carry_out: CarryOut[T],
        lane: Callable[[str], str],
    ) -> None:
        super().__init__(journal, pending, carry_out, lane)
        self.input = 0
        self.asks = False  # whether the input has asked for anything
        self.over = False  # whether it gets no more answers
        self.parted: KosmoError | None = None  # why it is none that the journal holds
        self._first = 1  # the order of the first answer that may be the input's
        self._left: dict[int, tuple[int, int]] = {}  # input -> where the entry is, and how many answers it tells
        for order in range(1, journal.last + 1):
            number, function, arguments = journal.at(order)
            if function == INTERRUPT:
                self._left[number] = order, _answers(arguments)

    @property
    def live(self) -> bool:
        """Whether nothing more is taken from the journal."""
        return self._next > self._journal.last

    @property
    def is_left(self) -> bool:
        """Whether the input has had all the answers that it was given when it was left in its midst."""
        order, answers = self._left.get(self.input, (0, 0))
        return 0 < order <= self._journal.last and self._given >= answers

    def upcoming(self, number: int) -> int:
        """The order of the first answer for the input of that number, or a later one; 0 where there is none."""
        order = self._from(self._first, number - 1)
        return order if order <= self._journal.last else 0

    def begin(self, number: int) -> None:
        """The input of that number begins. What the one before has left open is for nobody."""
        self.input, self.asks, self.over, self.parted = number, False, False, None
        self._held, self._later = {}, []
        self._given = self._waits = 0
        self._next = self._first = self._from(self._first, number - 1)

    def request(self, frame: Request) -> bytes | None:
        if self.over:
            return None
        if self._journal.failure:
            raise self._journal.failure
        self.asks = True
        return super().request(frame)

    def wait(self, *, dropped: bool = False) -> None:
        if self.over:
            self._waits += -1 if dropped else 1
            return
        if self.is_left and not dropped and self._waits >= self._given:
            raise Left
        super().wait(dropped=dropped)

    def end(self, *, ok: bool) -> None:
        """The input has ended. What the journal holds of it beyond that is told by ``parted``."""
        if not ok or not self.asks or self.over or self.live or self.is_left:
            return
        if self._journal.at(self._next)[0] == self.input:
            try:
                self._stop(None)
            except JournalError as error:
                self.parted = error

    def leave(self, sent: int) -> bool:
        """Take down that the input got no more answers, of which so many were sent to it. False where it was being
        answered from the journal: then it counts as one that was not entered.
        """
        if not self.live:
            return False
        arguments = marshal.encode({"answers": min(sent, self._waits)})  # it waits before it takes one
        ticket = self._journal.begin(Asked(0, 0, INTERRUPT, "", arguments, self.input), self._seen())
        self._journal.finish(ticket, marshal.encode({"code": "interrupted", "message": "interrupted"}), ok=False)
        return True

    def fail(self, error: JournalError) -> None:
        """What is live and could not be kept is no entry, so from there on nothing can be kept."""
        if self.live and self._journal.failure is None:
            self._journal.failure = error

    def _advance(self) -> None:
        self._next = self._from(self._next + 1, self.input - 1)

    @property
    def _gives(self) -> bool:
        return not self.is_left

    def _from(self, order: int, number: int) -> int:
        """From that order on the first whose answer is for an input behind that number."""
        while order <= self._journal.last and self._journal.at(order)[0] <= number:
            order += 1
        return order

    def _seen(self) -> int:
        return self._journal.answers

    def _asked(self, frame: Request) -> Asked:
        return msgspec.structs.replace(super()._asked(frame), input=self.input)


def _answers(arguments: bytes) -> int:
    """What the entry of an input that was left says; the file is its owner's, and may say anything."""
    try:
        return msgspec.msgpack.decode(arguments, type=_Left).answers
    except msgspec.MsgspecError:
        return 0


class _Left(Struct):
    answers: int


def _asked(frame: Request) -> Asked:
    if frame.at is None:
        raise ScriptError("the script's process does not say where its request stands", code="script_crashed")
    match frame:
        case Call():
            return Asked(*frame.at, frame.function, frame.account, bytes(frame.arguments))
        case Sleep():
            return Asked(*frame.at, "host.sleep", arguments=marshal.encode({"seconds": frame.seconds}))
    return Asked(*frame.at, "host.time")
