"""The frames between a Lua state and its host, and the interfaces that the host provides to a state.

Frames are MessagePack. The state sends the structs below; the host answers ``["ok", id, value]`` or ``["error", id,
fields]``. The host trusts no frame until the frame is decoded into one of these types.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from kosmolua.errors import CODES, KosmoError, ScriptError
from kosmolua.runtime import marshal

MAX_SLEEP = 366 * 24 * 3600.0
NOTHING = marshal.encode(None)
MAX_TEXT = 1 << 16  # the maximum characters of an error's text; the Lua side truncates at much fewer
MAX_STATUS = 1000
HOSTS_OWN = frozenset({"interrupted", "script_crashed", "exited", "waiting"})  # error codes that scripts cannot use

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

    A request is ``alone`` if the script waits for nothing else; then it is carried out and answered at once. ``at`` is
    the request's position in a run with a journal: the number of its task (0 for the main chunk) and its number within
    the task, counted from 1.
    """


Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Call(_Frame, tag="call", frozen=True):
    """A function call. It starts ``after`` that many seconds, but at once in a run with a journal."""

    id: int
    alone: bool
    account: _Name
    function: _Name
    arguments: Raw
    at: tuple[Count, Count] | None = None
    after: Annotated[float, Meta(ge=0, le=MAX_SLEEP)] = 0.0


class Cancel(_Frame, tag="cancel", frozen=True):
    """The task that made a request was canceled. If its call has not begun, the host answers it without carrying it
    out.
    """

    id: int


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
    """Sent in a run with a journal: the script waits for the next answer, or was interrupted and ``dropped`` its
    wait.
    """

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
Frame = Request | Cancel | Print | Wait | Done
FRAME: Callable[[bytes], Frame] = msgspec.msgpack.Decoder(Frame).decode
_decode_report = msgspec.msgpack.Decoder(Report).decode
_decode_values = msgspec.msgpack.Decoder(list[Any]).decode
_T = TypeVar("_T")


class Clock(Protocol):
    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""


class Output(Protocol):
    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        """Write what a script printed (1) or logged (2), up to its limit."""


class Handler(Protocol):
    """The interface through which a Lua state's requests reach the host."""

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Any = ..., /) -> Any:
        """Carry out a request, whose ``arguments`` are MessagePack. Returns plain data, or raises a `KosmoError`. In a
        run with a journal, ``ticket`` is the journal's ticket for the call.
        """


def checked(sleep: Sleep) -> float:
    """The seconds of a sleep. Raises a `ScriptError` if they are out of range."""
    if not 0 <= sleep.seconds <= MAX_SLEEP:
        raise ScriptError(f"sleep: expected 0 to {MAX_SLEEP:.0f} seconds, got {sleep.seconds}")
    return sleep.seconds


def answer(request: Request, ok: bool, value: bytes) -> bytes:
    """The frame that answers a request."""
    return marshal.encode(("ok" if ok else "error", request.id, Raw(value)))


def decoded(decode: Callable[[Any], _T], frame: bytes | Raw) -> _T:
    try:
        return decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # msgspec does not convert all exceptions
        raise ScriptError(f"the script process sent an invalid frame: {error}", code="script_crashed") from None


def results(done: Done) -> list[Any]:
    """The values a script returned: JSON data and bytes."""
    values = decoded(_decode_values, done.value)
    try:
        msgspec.json.encode(values, order="sorted")
    except (TypeError, ValueError, RecursionError) as error:
        raise ScriptError(
            f"the script process returned values that are not plain data: {error}", code="script_crashed"
        ) from None
    return values


def error(done: Done) -> KosmoError:
    """The error of a script. Codes that only the host may set are replaced."""
    report = decoded(_decode_report, done.value)
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
