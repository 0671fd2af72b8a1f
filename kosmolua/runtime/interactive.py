"""The host side of a child that evaluates inputs typed at a prompt; the child side is `lua/interactive.lua`.

An interrupt ends the input and keeps the Lua state. The child checks a shared byte while it interprets, so no signal is
needed. A call that the host is sending completes, since it may cost money, but its answer is discarded. An input that
does not match the journal ends in the same way.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError, KosmoError, LimitError, ScriptError, failure_of
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import Call, Frame, Request, Sleep, Start, Time, error
from kosmolua.runtime.launch import LIMITS, launch, start_child
from kosmolua.runtime.limits import Limits, reached
from kosmolua.runtime.port import Port
from kosmolua.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kosmolua.runtime.frames import Clock, Done, Handler, Output
    from kosmolua.runtime.inputs import InputJournal, Inputs
    from kosmolua.runtime.isolate import Mode
    from kosmolua.runtime.launch import InteractiveChild

GRACE = 2.0  # seconds that an interrupted input has to end before its process is killed
_INTERRUPTED = {"code": "interrupted", "message": "interrupted"}
PATIENCE = 2.0  # seconds that a running call may take when the interpreter closes


def start(
    functions: Sequence[tuple[str, ...]],
    *,
    provider: str = "replicate",
    accounts: Sequence[str] = (),
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Start:
    """The first frame, which defines what inputs can use."""
    return Start(
        source=b"",
        name=b"",
        provider=provider,
        functions=list(functions),
        accounts=list(accounts),
        args=[os.fsencode(argument) for argument in args],
        env={name: os.fsencode(value) for name, value in (env or {}).items()},
        interactive=True,
    )


class Evaluation(Struct, frozen=True, kw_only=True):
    """The result of an input: previews of its values, made by `lua/preview.lua`, or an error."""

    values: list[Any] = []
    error: KosmoError | None = None
    lost: bool = False  # the Lua process died; globals and locals are lost
    recorded: bool = False  # it made requests, which are in the journal


class Interpreter:
    """Evaluates inputs in one Lua state. For use by one thread; a signal handler in that thread may call `interrupt`.

    The constructor starts the child unless ``child`` is given. ``start`` makes its first frame, sent before the first
    input. If the child dies, a new one replaces it.
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
        child: InteractiveChild | None = None,
        lane: Callable[[str], str] | None = None,
    ) -> None:
        self.limits = limits
        self._isolation = isolation
        self._grace = grace
        self._handler, self._output, self._clock, self._lane = handler, output, clock, lane
        self._start = start
        self._flag, self._child = child or launch(limits, isolation)
        self._number = 0
        self._journal: InputJournal[Any] | None = None
        self._entered = 0  # inputs recorded in the journal
        self._killer: threading.Timer | None = None
        self._broken: KosmoError | None = None
        self._open = self._busy = False
        self._port = self._new_port()

    @property
    def layers(self) -> list[str]:
        return self._child.layers

    def evaluate(self, source: str, name: str | None = None) -> Evaluation:
        """Evaluate one input. Its errors contain ``name``, by default ``in[1]``, ``in[2]``, …"""
        self._number += 1
        port = self._port
        if port.inputs:
            port.inputs.begin(self._entered)
        found = self._evaluated(source, name or f"in[{self._number}]")
        return self._recorded(found, port, port.inputs) if port.inputs else found

    def use_journal(self, journal: InputJournal[Any] | None, *, restart: bool = True) -> None:
        """From the next input on, answer requests from the journal and record new ones in it; None stops recording.
        With ``restart``, the next input is the first one of the journal; otherwise the input count continues.
        """
        self._journal = journal
        self._entered = 0 if restart else self._entered
        self._port.use_journal(journal)

    @property
    def upcoming(self) -> int:
        """The order of the next recorded answer in the journal; 0 if none is left."""
        return self._port.inputs.upcoming(self._entered) if self._port.inputs else 0

    def _evaluated(self, source: str, name: str) -> Evaluation:
        if self._broken:
            return self._lost(self._broken)
        start = [self._journal.start()] if self._journal else []
        try:
            done = self._exchange("evaluate", source.encode(), name.encode(), float(self._number), *start)
            if not done.ok:
                return Evaluation(error=self._with_limit(error(done)))
            return Evaluation(values=msgspec.msgpack.decode(done.value, type=list[Any]))
        except msgspec.MsgspecError as wrong:
            self._child.kill()
            return self._lost(ScriptError(f"the script process sent invalid values: {wrong}", code="script_crashed"))
        except KosmoError as failure:
            return self._lost(failure)

    def _recorded(self, found: Evaluation, port: _Port, inputs: Inputs[Any]) -> Evaluation:
        """The result of an input with a journal: an error if the input differs from the journal. Counts the input if it
        made requests.
        """
        failure = port.journal_error or inputs.mismatch
        if failure:
            return Evaluation(error=failure, lost=found.lost)
        if not inputs.asks:
            return found
        try:
            if (found.lost or port.interrupted) and not inputs.is_cut_off and not inputs.cut_off(port.sent):
                return found
        except JournalError as error:
            port.fail(error)
            return Evaluation(error=error, lost=found.lost)
        self._entered += 1
        return msgspec.structs.replace(found, recorded=True)

    @property
    def number(self) -> int:
        """The number of the last input."""
        return self._number

    def check(self, source: str) -> tuple[str | None, str | None]:
        """Syntax errors of the source, parsed as an expression and as a chunk; None for each that is valid."""
        found = self._query("check", source.encode() + b"\n")
        as_expression, as_chunk = (str(text) if text else None for text in found or (None, None))
        return as_expression, as_chunk

    def names(self, *path: str) -> list[tuple[str, str]]:
        """The names and types of a value's fields; without a path, those of everything in scope (type ``local`` for
        locals).
        """
        return [(str(name), str(kind)) for name, kind in self._query("names", *(step.encode() for step in path)) or ()]

    def interrupt(self) -> None:
        """End the current input; kill the child if the input has not ended after the grace period."""
        if not self._busy:
            return
        self._flag.set(1)
        self._port.interrupt()
        if self._killer is None:
            self._killer = threading.Timer(self._grace, self._child.kill)
            self._killer.daemon = True
            self._killer.start()

    def reset(self) -> None:
        """Replace the Lua state with a new one."""
        self._child.close()
        self._flag.set(0)
        self._broken, self._open = None, False
        self._port, self._child = self._new_port(), start_child(self._flag, self.limits, self._isolation)

    def close(self, waits: Callable[[float], bool] | None = None) -> None:
        """End the state. Wait for running calls as long as ``waits``, given the seconds waited so far, returns true."""
        self._child.close()
        self._port.pending.close(waits or (lambda seconds: seconds < PATIENCE))
        self._flag.close()

    def _new_port(self) -> _Port:
        port = _Port(self._handler, self._output, self._clock, self.limits, self._lane, self.interrupt)
        port.use_journal(self._journal)
        return port

    def _lost(self, failure: KosmoError) -> Evaluation:
        if self._flag.get():
            failure = ScriptError("interrupted: Lua did not stop in time and was killed", code="interrupted")
        self._cancel_kill()
        self.reset()
        return Evaluation(error=failure, lost=True)

    def _with_limit(self, failure: KosmoError) -> KosmoError:
        if self._port.interrupted and failure.message.startswith("interrupted"):  # scripts cannot set this code
            failure.code = "interrupted"
        out_of_memory = failure.code == "limit_reached" and failure.message == "memory"
        return reached("memory", self.limits, getattr(failure, "where", None)) if out_of_memory else failure

    def _query(self, *command: Any) -> Any:
        """The result of a command; None if the child died. The next input reports that."""
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
        try:
            self._converse(marshal.encode(command))
        except KosmoError:
            raise
        except Exception as error:
            raise failure_of(error, "the input") from error
        except BaseException:  # the process was closed, so it must not be used again
            self._broken = ScriptError("interrupted", code="interrupted")
            raise
        if self._port.done is None:
            raise ScriptError("the Lua process ended without a result", code="script_crashed")
        return self._port.done

    def _converse(self, frame: bytes) -> None:
        if not self._open:
            self._child.open(marshal.encode(self._start()), self._port)
            self._open = True
        self._port.begin()
        self._flag.set(0)
        self._busy = True
        try:
            with Watchdog(self.limits, self._port, self._child):
                self._child.exchange(frame, self._port)
        finally:
            self._busy = False
            self._cancel_kill()

    def _cancel_kill(self) -> None:
        if self._killer:
            self._killer.cancel()
        self._killer = None


class _Port(Port):
    """The port of an interactive child. Every request runs in another thread, so that the input can be interrupted."""

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
        self.sent = 0  # the number of answers sent to the input, if there is a journal
        self.journal_error: JournalError | None = None
        self.inputs: Inputs[Any] | None = None
        self._interrupt_input = end
        self._waiting: set[int] = set()

    def use_journal(self, journal: InputJournal[Any] | None) -> None:
        self._tape = self.inputs = None
        if journal:
            from kosmolua.runtime.inputs import Inputs

            self._tape = self.inputs = Inputs(journal, self.pending, self._carry_out, self._lane)

    def begin(self) -> None:
        """Begin a new input; discard the open requests of the previous one."""
        self.done = self.journal_error = None
        self.interrupted = False
        self.sent = 0
        self._waiting.clear()

    def interrupt(self) -> None:
        """Answer open and further requests of the input with an error. May be called from a signal handler."""
        self.interrupted = True
        if self.inputs:
            self.inputs.over = True
        self.pending.wake()

    def submit(self, frame: bytes) -> bytes | None:
        if self.inputs is None:
            return super().submit(frame)
        from kosmolua.runtime.inputs import CutOff

        try:
            answer = super().submit(frame)
        except CutOff:
            pass
        except JournalError as error:
            self.fail(error)
        else:
            if not self.interrupted:
                return answer
        if not self.interrupted:
            self._interrupt_input()
        self.pending.put(self._refusal(0))  # wakes the loop; `take` refuses the open requests
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

    def _outcome(self, request: Request, ticket: Any = None) -> tuple[bool, Any]:
        if isinstance(request, Call) and (self.interrupted or request.id not in self._waiting):
            return False, _INTERRUPTED
        try:
            return super()._outcome(request, ticket)
        except LimitError as limit:  # reached a budget: this ends the input, not the state
            return False, limit.to_dict()

    def fail(self, error: JournalError) -> None:
        """End the input with this error."""
        self.journal_error = self.journal_error or error
        if self.inputs:
            self.inputs.fail(error)

    def _refusal(self, identifier: int) -> bytes:
        return marshal.encode(("error", identifier, _INTERRUPTED))


def _identifier(answer: bytes) -> int:
    """The id of the request that a frame answers."""
    return msgspec.msgpack.decode(answer, type=tuple[str, int, msgspec.Raw])[1]
