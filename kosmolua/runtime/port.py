"""The host side of the frames between a Lua state and its host."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from kosmolua.errors import ArgumentError, JournalError, KosmoError, LimitError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import (
    FRAME,
    NOTHING,
    Call,
    Cancel,
    Clock,
    Done,
    Frame,
    Handler,
    Output,
    Print,
    Request,
    Sleep,
    Time,
    Wait,
    answer,
    checked,
    decoded,
)
from kosmolua.runtime.limits import Limits, fixed, reached
from kosmolua.runtime.pending import PATIENCE, Note, Pending, nothing

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter
    from kosmolua.runtime.parking import Parking, Waiting, Watch
    from kosmolua.runtime.tape import Journal, Tape

MAX_LINES = 1_000_000  # the maximum number of a script's print calls
MAX_ARGUMENTS, MAX_RESULTS = 100_000, 1_000_000  # maximum values; one byte may become an object of 80 bytes


class Parked(Exception):  # noqa: N818 - not an error: only waits are open, so that the child has nothing to do
    """Raised in the loop that serves a run, to end the run's child."""


class Port:
    """The host side of one run: handles a state's frames, returns the answers, stores the result.

    Requests that are not ``alone`` are carried out in other threads; `take` returns their answers. After `stop` no
    further call starts, sleeps end at once, and further frames raise ``failure``. ``lane`` returns the lane of a
    function. The ``meter`` counts the CPU time of the threads that carry out calls. ``watch`` watches for the events
    that calls wait for. With ``parking``, `take` raises `Parked` when the script has only waited for long enough.
    """

    def __init__(
        self,
        handler: Handler,
        output: Output,
        clock: Clock | None = None,
        limits: Limits | None = None,
        lane: Callable[[str], str] | None = None,
        journal: Journal[Any] | None = None,
        meter: Meter | None = None,
        watch: Watch | None = None,
        parking: Parking | None = None,
    ) -> None:
        self.done: Done | None = None
        self.failure: KosmoError | None = None
        self._handler = handler
        self._output = output
        self._clock = clock
        self._lane = lane or (lambda _: "")
        self._stopped = threading.Event()
        self._limits = limits or Limits()
        self._printed = self.lines = 0
        self._parking = parking
        self.spent: Callable[[], float] = float  # CPU seconds that the child has used
        self._blocked = False  # whether the script waits for an answer
        self._quiet = 0.0  # since when the script waits, by time.monotonic
        self.pending = Pending(clock, meter)
        self._tape: Tape[Any] | None = None  # replays and records the journal
        if journal:
            from kosmolua.runtime.tape import Tape

            limited = self._limits.time is not None
            dues = parking.dues if parking else None
            self._tape = Tape(
                journal, self.pending, self._carry_out, self._lane, limited=limited, watch=watch, dues=dues
            )

    def submit(self, frame: bytes) -> bytes | None:
        """Handle one frame. Returns the answer for the state; None if there is no answer, or if it comes later."""
        found = self._checked(frame)
        # The usual case first. With a time limit no call may block this loop.
        if type(found) is Call and found.alone and self._tape is None and self._limits.time is None:
            if not found.after:
                return self._reply(found)
            if self._clock:
                self._clock.sleep(found.after)
                return self._reply(found)
        return self._handle(found)

    def _handle(self, frame: Frame) -> bytes | None:
        match frame:
            case Print(stream, text):
                self._print(stream, text)
            case Done() as done:
                if self._tape:
                    self._tape.end(ok=done.ok)
                self._end(done)
            case Wait(dropped):
                self._wait(dropped=dropped)
            case Cancel(identifier):
                self.pending.cancel(identifier, marshal.encode(("ok", identifier, None)))
            case request if self._tape:
                return self._recorded(self._tape, request)
            case Call() as call:
                self._begin(call)
            case Sleep() as sleep if not (sleep.alone and self._clock):  # meanwhile the child is watched
                self.pending.sleep(checked(sleep), answer(sleep, True, NOTHING))
            case request:
                return self._reply(request)
        return None

    def _begin(self, call: Call) -> None:
        def action() -> tuple[bytes, Note]:
            return self._reply(call), nothing

        size, lane = len(call.arguments), self._lane(call.function)
        if call.after:
            self.pending.call_after(call.after, call.id, action, size, lane)
        else:
            self.pending.call(action, size, lane)

    def _reply(self, request: Request) -> bytes:
        """Carry out a request. Returns the frame that answers it."""
        ok, data = self._outcome(request)
        return marshal.encode(("ok" if ok else "error", request.id, data))

    def take(self) -> list[bytes]:
        """The answers since the last call. Raises the error that ended the run, if any."""
        self.check()
        answers = self.pending.take()
        if answers:
            self._blocked = False
        elif self._blocked and self._parking:
            self._park(self._parking)
        return answers

    def waiting(self) -> list[Waiting]:
        """The waiting requests of a run with a journal."""
        return self._tape.waiting() if self._tape else []

    def _wait(self, *, dropped: bool) -> None:
        if self._tape:
            self._tape.wait(dropped=dropped)
            self._block()

    def _recorded(self, tape: Tape[Any], request: Request) -> bytes | None:
        """The answer to a request in a run with a journal, if it is available at once."""
        self._blocked = False
        found = tape.request(request)
        if found is None and request.alone:
            self._block()
        return found

    def rests_until(self) -> float | None:
        """When a resting run has something to do even if nothing arrives, by `time.monotonic`: a sleep ends, or the run
        parks.
        """
        sleep, now = self.pending.timeout(), time.monotonic()
        parks = self._quiet + self._parking.after if self._blocked and self._parking else now
        moments = [*([] if sleep is None else [now + sleep]), *([parks] if parks > now else [])]
        return min(moments, default=None)

    def _block(self) -> None:
        self._blocked, self._quiet = True, time.monotonic()

    def _park(self, parking: Parking) -> None:
        if self._tape and self._tape.only_asks and parking.can_leave:
            if self.pending.is_idle(0.0):
                raise Parked
        elif parking.only_asks:
            return
        elif time.monotonic() - self._quiet >= parking.after:
            from kosmolua.runtime.parking import REPLAY, SOON

            if self.pending.is_idle(min(SOON, parking.after)) and self.spent() < REPLAY:
                raise Parked

    def check(self) -> None:
        """Raise the error that ended the run, if any."""
        if self._stopped.is_set() and self.failure:
            raise self.failure

    def close(self, waits: Callable[[float], bool] | None = None) -> None:
        """Wait for running calls: without limit after a successful run, otherwise as long as ``waits``, given the
        seconds waited so far, returns true (by default for `PATIENCE` seconds).
        """
        well = self.done is not None and self.done.ok

        def wait_on(seconds: float) -> bool:
            wanted = waits(seconds) if waits else seconds < PATIENCE
            return well or wanted

        self.pending.close(wait_on)

    def stop(self, failure: KosmoError | None = None) -> None:
        """End the run, from any thread. Only the first error counts."""
        if not self._stopped.is_set():
            self.failure = failure
            self._stopped.set()
            self.pending.wake()

    def _checked(self, frame: bytes) -> Frame:
        if self._stopped.is_set() or self.done:
            raise self.failure or ScriptError(
                "the script process continued after the end of its script", code="script_crashed"
            )
        return decoded(FRAME, frame)

    def _carry_out(self, request: Request, ticket: Any = None) -> tuple[bool, bytes]:
        """Like `_outcome`, with the answer or error as MessagePack."""
        ok, data = self._outcome(request, ticket)
        return ok, marshal.encode(data)

    def _outcome(self, request: Request, ticket: Any = None) -> tuple[bool, Any]:
        """Carry out a request: ``(True, answer)`` or ``(False, error)``."""
        if isinstance(request, Time):
            return True, self._clock.time() if self._clock else time.time()
        if isinstance(request, Sleep):
            self._pause(checked(request))
            return True, None
        try:
            given = bytes(request.arguments)
            if len(given) > MAX_ARGUMENTS and marshal.holds_more(given, MAX_ARGUMENTS):
                raise ArgumentError(f"{request.function}: the arguments hold more than {MAX_ARGUMENTS} values")
            if ticket is None:
                return True, self._handler(request.function, request.account, given)
            return True, self._handler(request.function, request.account, given, ticket)
        except (LimitError, JournalError):
            raise
        except KosmoError as error:
            if error.code == "interrupted":  # the run has ended, so its script gets no further answers
                raise
            return False, error.to_dict()

    def _print(self, stream: Literal[1, 2], text: bytes) -> None:
        self.lines += 1
        if self.lines > MAX_LINES:
            raise fixed(
                "lines",
                f"the script printed {MAX_LINES} times, the maximum",
                "print more text with each call",
                MAX_LINES,
            )
        limit = self._limits.output
        if self._parking and self.lines <= self._parking.printed:
            self._count(len(text))
            return
        self._output.write(stream, text if limit is None else text[: max(0, limit - self._printed)])
        self._count(len(text))

    def _end(self, done: Done) -> None:
        """Store the result. The returned values count toward the output limit."""
        self._count(len(done.value) if done.ok else 0)
        if marshal.holds_more(done.value, MAX_RESULTS):
            raise fixed("results", f"the script returned more than {MAX_RESULTS} values", "return fewer", MAX_RESULTS)
        self.done = done

    def _count(self, size: int) -> None:
        self._printed += size
        if self._limits.output is not None and self._printed > self._limits.output:
            raise reached("output", self._limits)

    def _pause(self, seconds: float) -> None:
        if self._clock:
            self._clock.sleep(seconds)
        elif self._stopped.wait(seconds) and self.failure:
            raise self.failure
