"""Replays the inputs of a prompt from its journal, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import Request
from kosmolua.runtime.pending import Pending
from kosmolua.runtime.tape import CarryOut, Journal, JournalRequest, Tape

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError

T = TypeVar("T")
INTERRUPT = "host.interrupt"  # function of an interrupted input's entry; its argument is the number of answers


class InputJournal(Journal[T], Protocol[T]):
    """The journal of a prompt. ``answers`` is how many answers it holds now; ``failure`` is why it can record no
    more.
    """

    @property
    def failure(self) -> KosmoError | None: ...

    @failure.setter
    def failure(self, error: KosmoError) -> None: ...

    @property
    def answers(self) -> int: ...

    def at(self, order: int) -> tuple[int, str, bytes]:
        """The answer with that order: the number of its input, its function and its arguments."""


class CutOff(Exception):  # noqa: N818 - not an error: replays an interrupt
    """Raised because the recorded input was interrupted at this point, so the replay ends it here."""


class Inputs(Tape[T]):
    """Replays the inputs of a prompt. Inputs that made requests are numbered. An interrupted input has an entry with
    the number of answers that it got; later answers to it were discarded, and the replay discards them too.
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
        self.asks = False  # whether the input made a request
        self.over = False  # whether the input gets no more answers
        self.mismatch: KosmoError | None = None  # how the input differs from the journal
        self._first = 1  # order of the first answer that may belong to the current input
        self._cut_off: dict[int, tuple[int, int]] = {}  # input -> order of its entry, number of answers
        for order in range(1, journal.last + 1):
            number, function, arguments = journal.at(order)
            if function == INTERRUPT:
                self._cut_off[number] = order, _answers(arguments)

    @property
    def live(self) -> bool:
        """Whether all recorded answers have been given, so that new requests are sent."""
        return self._next > self._journal.last

    @property
    def is_cut_off(self) -> bool:
        """Whether the recorded input was interrupted, and the replay has given it all the answers that it got then."""
        order, answers = self._cut_off.get(self.input, (0, 0))
        return 0 < order <= self._journal.last and self._given >= answers

    def upcoming(self, number: int) -> int:
        """The order of the first recorded answer for that input or a later one; 0 if there is none."""
        order = self._from(self._first, number - 1)
        return order if order <= self._journal.last else 0

    def begin(self, number: int) -> None:
        """Begin the input with that number; discard the open requests of the previous one."""
        self.input, self.asks, self.over, self.mismatch = number, False, False, None
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
        if self.is_cut_off and not dropped and self._waits >= self._given:
            raise CutOff
        super().wait(dropped=dropped)

    def end(self, *, ok: bool) -> None:
        """End the input. Sets ``mismatch`` if the journal has further answers for it."""
        if not ok or not self.asks or self.over or self.live or self.is_cut_off:
            return
        if self._journal.at(self._next)[0] == self.input:
            try:
                self._stop(None)
            except JournalError as error:
                self.mismatch = error

    def cut_off(self, sent: int) -> bool:
        """Record that an input was interrupted after ``sent`` answers. False if the input was being replayed: then it
        counts as not entered.
        """
        if not self.live:
            return False
        arguments = marshal.encode({"answers": min(sent, self._waits)})  # it waits before it gets an answer
        ticket = self._journal.begin(JournalRequest(0, 0, INTERRUPT, "", arguments, self.input), self._seen())
        self._journal.finish(ticket, marshal.encode({"code": "interrupted", "message": "interrupted"}), ok=False)
        return True

    def fail(self, error: JournalError) -> None:
        """Record no further entries, since one could not be recorded and the journal must have no gaps."""
        if self.live and self._journal.failure is None:
            self._journal.failure = error

    def _advance(self) -> None:
        self._next = self._from(self._next + 1, self.input - 1)

    @property
    def _may_give(self) -> bool:
        return not self.is_cut_off

    def _from(self, order: int, number: int) -> int:
        """The first order, from ``order`` on, whose answer belongs to an input after ``number``."""
        while order <= self._journal.last and self._journal.at(order)[0] <= number:
            order += 1
        return order

    def _seen(self) -> int:
        return self._journal.answers

    def _asked(self, frame: Request) -> JournalRequest:
        return msgspec.structs.replace(super()._asked(frame), input=self.input)


def _answers(arguments: bytes) -> int:
    """The number of answers in an interrupt's entry; 0 if the entry is invalid, which is possible since anyone may edit
    the file.
    """
    try:
        return msgspec.msgpack.decode(arguments, type=_Interrupt).answers
    except msgspec.MsgspecError:
        return 0


class _Interrupt(Struct):
    answers: int
