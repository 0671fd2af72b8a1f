"""A child that takes one input after another, for a person at a prompt: `lua/interactive.lua` and its host's end.

An interrupt ends the input and keeps the state. It is a byte in memory that the child looks at while it interprets, so
that no signal has to reach it. What the host carries out meanwhile goes on to its end, as whatever was begun may cost
money; its answer is for nobody then. An input that does not fit the journal is ended in the same way.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError, KosmoError, LimitError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.begun import LIMITS, begin, child_of
from kosmolua.runtime.limits import Limits, reached
from kosmolua.runtime.port import Call, Frame, Port, Request, Sleep, Start, Time, error
from kosmolua.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kosmolua.runtime.begun import Begun
    from kosmolua.runtime.isolate import Mode
    from kosmolua.runtime.port import Clock, Done, Handler, Output
    from kosmolua.runtime.tape import InputJournal, Inputs

GRACE = 2.0  # seconds that an interrupted input has before its child is killed
_INTERRUPTED = {"code": "interrupted", "message": "interrupted"}
PATIENCE = 2.0  # seconds that a call which is under way at the end may take


def start(
    functions: Sequence[tuple[str, ...]],
    *,
    provider: str = "replicate",
    accounts: Sequence[str] = (),
    args: Sequence[str] = (),
) -> Start:
    """What inputs find, as the first frame says it."""
    return Start(
        source=b"",
        name=b"",
        provider=provider,
        functions=list(functions),
        accounts=list(accounts),
        args=[os.fsencode(argument) for argument in args],
        interactive=True,
    )


class Evaluation(Struct, frozen=True, kw_only=True):
    """What an input came to: previews of its values, as `lua/preview.lua` makes them, or an error."""

    values: list[Any] = []
    error: KosmoError | None = None
    lost: bool = False  # the state: its globals and locals are gone
    kept: bool = False  # whether it asked for anything, and the journal has it


class Interpreter:
    """The state that inputs are evaluated in. For one thread, and for `interrupt` from a signal handler of that one.

    The child starts when this is made, unless one has ``begun``. It is told what there is by ``start`` before its first
    input. Where one dies, the next input finds a fresh one.
    """

    def __init__(
        self,
        handler: Handler,
        output: Output,
        start: Callable[[], Start],
        *,
        limits: Limits = LIMITS,
        isolation: Mode = "standard",
        clock: Clock | None = None,
        grace: float = GRACE,
        begun: Begun | None = None,
        lane: Callable[[str], str] | None = None,
    ) -> None:
        self.limits = limits
        self._isolation = isolation
        self._grace = grace
        self._handler, self._output, self._clock, self._lane = handler, output, clock, lane
        self._start = start
        self._page, self._child = begun or begin(limits, isolation)
        self._number = 0
        self._journal: InputJournal[Any] | None = None
        self._entered = 0  # inputs that the journal knows
        self._killer: threading.Timer | None = None
        self._broken: KosmoError | None = None
        self._open = self._busy = False
        self._port = self._new_port()

    @property
    def layers(self) -> list[str]:
        return self._child.layers

    def evaluate(self, source: str, name: str | None = None) -> Evaluation:
        """Evaluate one input. Errors carry the name, by default ``in[1]``, ``in[2]``, …"""
        self._number += 1
        port = self._port
        if port.inputs:
            port.inputs.begin(self._entered)
        found = self._evaluated(source, name or f"in[{self._number}]")
        return self._kept(found, port, port.inputs) if port.inputs else found

    def keep(self, journal: InputJournal[Any] | None, *, anew: bool = True) -> None:
        """From the next input on answer from that journal what it holds, and take down the rest; None is an end of it.
        The next input is the first of the journal, or where it is not begun ``anew`` the one that would have come.
        """
        self._journal = journal
        self._entered = 0 if anew else self._entered
        self._port.keep(journal)

    @property
    def upcoming(self) -> int:
        """The order of the answer that the journal gives next; 0 where it has given all that it held."""
        return self._port.inputs.upcoming(self._entered) if self._port.inputs else 0

    def _evaluated(self, source: str, name: str) -> Evaluation:
        if self._broken:
            return self._lost(self._broken)
        kept = [self._journal.start()] if self._journal else []
        try:
            done = self._exchange("evaluate", source.encode(), name.encode(), float(self._number), *kept)
            if not done.ok:
                return Evaluation(error=self._blamed(error(done)))
            return Evaluation(values=msgspec.msgpack.decode(done.value, type=list[Any]))
        except msgspec.MsgspecError as wrong:
            self._child.kill()
            return self._lost(ScriptError(f"the state's process sent no values: {wrong}", code="script_crashed"))
        except KosmoError as failure:
            return self._lost(failure)

    def _kept(self, found: Evaluation, port: _Port, inputs: Inputs[Any]) -> Evaluation:
        """What the input came to, where the journal has to do with it; and how it is counted there."""
        wrong = port.misfit or inputs.parted
        if wrong:
            return Evaluation(error=wrong, lost=found.lost)
        if not inputs.asks:
            return found
        try:
            if (found.lost or port.interrupted) and not inputs.is_left and not inputs.leave(port.sent):
                return found
        except JournalError as error:
            port.fail(error)
            return Evaluation(error=error, lost=found.lost)
        self._entered += 1
        return msgspec.structs.replace(found, kept=True)

    @property
    def number(self) -> int:
        """Of the last input."""
        return self._number

    def check(self, source: str) -> tuple[str | None, str | None]:
        """What the parser says of whole lines, as an expression and as a chunk; None where they are fine."""
        found = self._asked("check", source.encode() + b"\n")
        as_expression, as_chunk = (str(text) if text else None for text in found or (None, None))
        return as_expression, as_chunk

    def names(self, *path: str) -> list[tuple[str, str]]:
        """The names within a value, with the type of each; without a path all in scope, where ``local`` is a type."""
        return [(str(name), str(kind)) for name, kind in self._asked("names", *(step.encode() for step in path)) or ()]

    def interrupt(self) -> None:
        """End the input that is being evaluated: soon in good order, and in any case after the grace."""
        if not self._busy:
            return
        self._page.set(1)
        self._port.interrupt()
        if self._killer is None:
            self._killer = threading.Timer(self._grace, self._child.kill)
            self._killer.daemon = True
            self._killer.start()

    def reset(self) -> None:
        """Begin anew with an empty state."""
        self._child.close()
        self._page.set(0)
        self._broken, self._open = None, False
        self._port, self._child = self._new_port(), child_of(self._page, self.limits, self._isolation)

    def close(self, waits: Callable[[float], bool] | None = None) -> None:
        """End the state. What is under way is waited for as long as ``waits`` says of the seconds that were waited."""
        self._child.close()
        self._port.pending.close(waits or (lambda seconds: seconds < PATIENCE))
        self._page.close()

    def _new_port(self) -> _Port:
        port = _Port(self._handler, self._output, self._clock, self.limits, self._lane, self.interrupt)
        port.keep(self._journal)
        return port

    def _lost(self, failure: KosmoError) -> Evaluation:
        if self._page.get():
            failure = ScriptError("interrupted, but Lua could not be stopped in good order", code="interrupted")
        self._calm()
        self.reset()
        return Evaluation(error=failure, lost=True)

    def _blamed(self, failure: KosmoError) -> KosmoError:
        if self._port.interrupted and failure.message.startswith("interrupted"):  # a code of the host's own
            failure.code = "interrupted"
        out_of_memory = failure.code == "limit_reached" and failure.message == "memory"
        return reached("memory", self.limits, getattr(failure, "where", None)) if out_of_memory else failure

    def _asked(self, *command: Any) -> Any:
        """The answer to a question; None where the child has died, which the next input will tell."""
        try:
            done = self._exchange(*command)
            return msgspec.msgpack.decode(done.value) if done.ok else None
        except KosmoError as failure:
            self._broken = self._broken or failure
        except msgspec.MsgspecError:
            self._child.kill()
        return None

    def _exchange(self, *command: Any) -> Done:
        if self._broken:
            raise self._broken
        if not self._open:
            self._child.open(marshal.encode(self._start()), self._port)
            self._open = True
        self._port.begin()
        self._page.set(0)
        self._busy = True
        try:
            with Watchdog(self.limits, self._port, self._child):
                self._child.exchange(marshal.encode(command), self._port)
        finally:
            self._busy = False
            self._calm()
        if self._port.done is None:
            raise ScriptError("the state ended without a word", code="script_crashed")
        return self._port.done

    def _calm(self) -> None:
        if self._killer:
            self._killer.cancel()
        self._killer = None


class _Port(Port):
    """The host's end for input after input. Every request is carried out beside the loop, so that it can be left."""

    def __init__(
        self,
        handler: Handler,
        output: Output,
        clock: Clock | None,
        limits: Limits,
        lane: Callable[[str], str] | None,
        end: Callable[[], None],
    ) -> None:
        super().__init__(handler, output, clock, limits, lane)
        self.interrupted = False
        self.sent = 0  # answers to the input, where a journal is kept
        self.misfit: JournalError | None = None
        self.inputs: Inputs[Any] | None = None
        self._interrupt_input = end
        self._waiting: set[int] = set()

    def keep(self, journal: InputJournal[Any] | None) -> None:
        self._tape = self.inputs = None
        if journal:
            from kosmolua.runtime.tape import Inputs

            self._tape = self.inputs = Inputs(journal, self.pending, self._carry_out, self._lane)

    def begin(self) -> None:
        """Take a new input; what the one before has left open is for nobody."""
        self.done = self.misfit = None
        self.interrupted = False
        self.sent = 0
        self._waiting.clear()

    def interrupt(self) -> None:
        """Answer with an error what is waited for now and what will be asked for; from a signal handler."""
        self.interrupted = True
        if self.inputs:
            self.inputs.over = True
        self.pending.wake()

    def submit(self, frame: bytes) -> bytes | None:
        if self.inputs is None:
            return super().submit(frame)
        from kosmolua.runtime.tape import Left

        try:
            answer = super().submit(frame)
        except Left:
            pass
        except JournalError as error:
            self.fail(error)
        else:
            if not self.interrupted:
                return answer
        if not self.interrupted:
            self._interrupt_input()
        self.pending.put(self._refusal(0))  # nobody's: what is waited for is refused when answers are taken
        return None

    def take(self) -> list[bytes]:
        try:
            answers = super().take()
        except JournalError as error:
            self.fail(error)
            self._interrupt_input()
            answers = []
        if self.interrupted:
            answers = [self._refusal(identifier) for identifier in self._waiting]
            self._waiting.clear()
            self.pending.forget_sleeps()
        elif self.inputs:
            self.sent += sum(_identifier(answer) in self._waiting for answer in answers)
        return answers

    def _checked(self, frame: bytes) -> Frame:
        found = super()._checked(frame)
        if isinstance(found, Call | Sleep) or (self.inputs and isinstance(found, Time)):
            self._waiting.add(found.id)
            return msgspec.structs.replace(found, alone=False)
        return found

    def _carry_out(self, request: Request, ticket: Any = None) -> tuple[bool, bytes]:
        if isinstance(request, Call) and (self.interrupted or request.id not in self._waiting):
            return False, marshal.encode(_INTERRUPTED)
        try:
            return super()._carry_out(request, ticket)
        except LimitError as limit:  # a budget's: it ends the input, and not the state
            return False, marshal.encode(limit.to_dict())

    def fail(self, error: JournalError) -> None:
        """The input ends with that."""
        self.misfit = self.misfit or error
        if self.inputs:
            self.inputs.fail(error)

    def _refusal(self, identifier: int) -> bytes:
        return marshal.encode(("error", identifier, _INTERRUPTED))


def _identifier(answer: bytes) -> int:
    """Of the request that it answers."""
    return msgspec.msgpack.decode(answer, type=tuple[str, int, msgspec.Raw])[1]
