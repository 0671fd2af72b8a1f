"""The frames between a Lua state and its host, and the host side.

Frames are MessagePack. The state sends the structs below; the host answers ``["ok", id, value]`` or
``["error", id, fields]``. The host trusts no frame before it is decoded into its type.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from kosmolua.errors import CODES, ArgumentError, JournalError, KosmoError, LimitError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.limits import Limits, fixed, reached
from kosmolua.runtime.pending import PATIENCE, Pending, nothing

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter
    from kosmolua.runtime.parking import Parking, Waiting, Watch
    from kosmolua.runtime.tape import Journal, Tape

MAX_SLEEP = 366 * 24 * 3600.0
NOTHING = marshal.encode(None)
MAX_TEXT = 1 << 16  # characters of an error's text; the Lua side truncates much earlier
MAX_STATUS = 1000
HOSTS_OWN = frozenset({"interrupted", "script_crashed", "exited"})  # error codes that scripts cannot use
MAX_LINES = 1_000_000  # print calls of a script
MAX_ARGUMENTS, MAX_RESULTS = 100_000, 1_000_000  # values; one byte may become a Python object of 80

_Name = Annotated[str, Meta(max_length=200)]


class Start(Struct, kw_only=True):
    """The first frame, from the host: what to run, and what the script can use. ``functions`` has groups of names.

    An ``interactive`` run has no source; `kosmolua.runtime.interactive` sends inputs.
    """

    source: bytes
    name: bytes
    args: list[bytes] = []
    provider: str
    functions: list[tuple[str, ...]]
    accounts: list[str] = []
    env: dict[str, bytes] = {}
    custom: list[str] = []
    named: dict[str, Any] | None = None
    cpu: float | None = None
    memory: int | None = None
    journal: dict[str, float] | None = None
    interactive: bool = False


class _Frame(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A frame from a state. Untrusted: an attacker may have sent it.

    A request that is ``alone`` is the only one its script waits for: it is carried out and answered at once. ``at`` is
    its position in a run with a journal: the number of its task, 0 for the main chunk, and its number in the task, from
    1.
    """


Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Call(_Frame, tag="call", frozen=True):
    id: int
    alone: bool
    account: _Name
    function: _Name
    arguments: Raw
    at: tuple[Count, Count] | None = None


class Print(_Frame, tag="print", frozen=True):
    stream: Literal[1, 2]
    text: bytes


class Sleep(_Frame, tag="sleep", frozen=True):
    id: int
    alone: bool
    seconds: float
    at: tuple[Count, Count] | None = None


class Time(_Frame, tag="time", frozen=True):
    id: int
    alone: bool
    at: tuple[Count, Count] | None = None


class Wait(_Frame, tag="wait", frozen=True):
    """In a run with a journal: the script waits for the next answer, or was interrupted and ``dropped`` that wait."""

    dropped: bool = False


class Done(_Frame, tag="done", frozen=True):
    """The last frame: the returned values or a `Report`, Lua's memory in bytes, the engine, and the status that the
    script gave to `exit`.
    """

    ok: bool
    value: Raw
    memory: Annotated[float, Meta(ge=0, le=2**53)]
    engine: Annotated[str, Meta(max_length=100)]
    status: Annotated[int, Meta(ge=0, le=255)] = 0


class Report(Struct, frozen=True):
    """How a script failed, as reported by the script side."""

    message: str
    code: str = "script_error"
    function: str | None = None
    status: float | str | None = None
    detail: float | str | None = None
    hint: str | None = None
    retry_after: float | str | None = None
    where: str | None = None
    traceback: str = ""


Request = Call | Sleep | Time
Frame = Request | Print | Wait | Done
_decode: Callable[[bytes], Frame] = msgspec.msgpack.Decoder(Frame).decode
_decode_report = msgspec.msgpack.Decoder(Report).decode
_decode_values = msgspec.msgpack.Decoder(list[Any]).decode
_T = TypeVar("_T")


class Clock(Protocol):
    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Return after that time."""


class Output(Protocol):
    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        """Write what a script printed (1) or logged (2), up to its limit."""


class Handler(Protocol):
    """The seam between a Lua state and its host."""

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Any = ..., /) -> Any:
        """Carry out a request, whose ``arguments`` are MessagePack: plain data, or a `KosmoError` raised. In a run that
        keeps a journal it is given the ``ticket`` that the journal has made for the call.
        """


class Parked(Exception):  # noqa: N818 - not an error: only waits are open, so that the child has nothing to do
    """Raised where a run is served, to end its child."""


class Port:
    """The host side of one run: handles a state's frames, returns the answers, stores the result.

    Requests that are not alone run in other threads; `take` returns their answers. After `stop` no further call starts,
    sleeps end at once, and further frames raise ``failure``. ``lane`` returns the lane of a function. The ``meter``
    counts the CPU time of the threads that carry out calls. ``watch`` watches for what calls wait for; with
    ``parking``, `take` raises `Parked` when only waits are open for long enough.
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
        self.spent: Callable[[], float] = float  # CPU seconds of the child
        self._blocked = False  # the script waits for an answer
        self._quiet = 0.0  # since when, by time.monotonic
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
        """Handle one frame. Returns the answer to the state; None if there is none, or if it comes later."""
        found = self._checked(frame)
        # The usual case first; with a time limit no call blocks.
        if type(found) is Call and found.alone and self._tape is None and self._limits.time is None:
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
            case request if self._tape:
                return self._recorded(self._tape, request)
            case Call() as call:
                self.pending.call(lambda: (self._reply(call), nothing), len(call.arguments), self._lane(call.function))
            case Sleep() as sleep if not sleep.alone:
                self.pending.sleep(checked(sleep), answer(sleep, True, NOTHING))
            case request:
                return self._reply(request)
        return None

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
        """The requests that wait, in a run with a journal."""
        return self._tape.waiting() if self._tape else []

    def _wait(self, *, dropped: bool) -> None:
        if self._tape:
            self._tape.wait(dropped=dropped)
            self._block()

    def _recorded(self, tape: Tape[Any], request: Request) -> bytes | None:
        """The answer to a request of a run with a journal, if it is there at once."""
        self._blocked = False
        found = tape.request(request)
        if found is None and request.alone:
            self._block()
        return found

    def _block(self) -> None:
        self._blocked, self._quiet = True, time.monotonic()

    def _park(self, parking: Parking) -> None:
        if time.monotonic() - self._quiet >= parking.after:
            from kosmolua.runtime.parking import REPLAY, SOON

            if self.pending.is_idle(min(SOON, parking.after)) and self.spent() < REPLAY:
                raise Parked

    def check(self) -> None:
        """Raise the error that ended the run, if any."""
        if self._stopped.is_set() and self.failure:
            raise self.failure

    def close(self, waits: Callable[[float], bool] | None = None) -> None:
        """Wait for running calls: without limit after a successful run, otherwise while ``waits``, given the seconds
        waited so far, returns true (by default for `PATIENCE` seconds).
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
        return _decoded(_decode, frame)

    def _carry_out(self, request: Request, ticket: Any = None) -> tuple[bool, bytes]:
        """As `_outcome`, with the answer or error as MessagePack."""
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
            if error.code == "interrupted":  # the run was ended: its script gets no further answers
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
        """Store the result. Returned values count as output."""
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


def checked(sleep: Sleep) -> float:
    """The seconds of a sleep. Raises a `ScriptError` if they are out of range."""
    if not 0 <= sleep.seconds <= MAX_SLEEP:
        raise ScriptError(f"sleep: expected 0 to {MAX_SLEEP:.0f} seconds, got {sleep.seconds}")
    return sleep.seconds


def answer(request: Request, ok: bool, value: bytes) -> bytes:
    """The frame that answers a request."""
    return marshal.encode(("ok" if ok else "error", request.id, Raw(value)))


def _decoded(decode: Callable[[Any], _T], frame: bytes | Raw) -> _T:
    try:
        return decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # msgspec lets some of Python's own through
        raise ScriptError(f"the script process sent an invalid frame: {error}", code="script_crashed") from None


def results(done: Done) -> list[Any]:
    """The values a script returned: JSON data and bytes."""
    values = _decoded(_decode_values, done.value)
    try:
        msgspec.json.encode(values, order="sorted")
    except (TypeError, ValueError, RecursionError) as error:
        raise ScriptError(
            f"the script process returned values that are not plain data: {error}", code="script_crashed"
        ) from None
    return values


def error(done: Done) -> KosmoError:
    """The error of a script. Codes that only the host may set are replaced."""
    report = _decoded(_decode_report, done.value)
    code = report.code if report.code in CODES and report.code not in HOSTS_OWN else "script_error"
    return ScriptError(
        report.message[:MAX_TEXT],
        code=code,
        function=_cut(report.function),
        hint=_cut(report.hint),
        detail=_cut(report.detail),
        status=int(status) if 0 < (status := _number(report.status) or 0) < MAX_STATUS else None,
        retry_after=_number(report.retry_after),
        where=_cut(report.where),
        traceback=report.traceback[:MAX_TEXT] or None,
    )


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) and isfinite(value) else None


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value
