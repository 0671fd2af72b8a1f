"""The result of a run, and its printed output."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec import Struct

from kosmolua.errors import KosmoError
from kosmolua.gate.entry import Entry
from kosmolua.host.options import Stream

if TYPE_CHECKING:
    from kosmolua.runtime.frames import Output


class Result(Struct, frozen=True, kw_only=True):
    """The result of a run.

    ``results`` are the returned values, ``output`` the printed text unless a callback got it, and ``error`` the reason
    of a failure. ``duration``, ``cpu`` (of a child) and ``host_cpu`` (of this process, for the run) are in seconds.
    ``memory`` is Lua's memory at the end, in bytes. ``isolation`` is ``{mode, layers, missing}``.

    ``log`` has the first 10,000 calls; ``unlogged`` counts the others. ``spent`` and ``caps`` have the same keys as
    `kosmolua.Caps`; ``guessed`` is the uncertain part of ``spent``. ``created`` are the predictions and trainings that
    the run started, as kind, id and account; ``running`` are those not known to have ended. ``unanswered`` counts
    creations whose result was not found, and ``candidates`` are their possible results. ``not_canceled`` has the id of
    each job that could not be canceled, with the reason. ``run`` is its id in the audit log, None if it made no call.
    """

    results: list[Any] = []
    error: KosmoError | None = None
    output: str = ""
    duration: float
    cpu: float | None = None
    host_cpu: float = 0.0
    memory: int | None = None
    engine: str | None = None
    isolation: dict[str, Any]
    run: str | None = None
    log: list[Entry] = []
    unlogged: int = 0
    spent: dict[str, float] = {}
    caps: dict[str, float] = {}
    created: list[tuple[str, str, str]] = []
    running: list[tuple[str, str, str]] = []
    unanswered: int = 0
    guessed: dict[str, float] = {}
    candidates: list[tuple[str, str, str]] = []
    not_canceled: list[tuple[str, str]] = []

    @property
    def value(self) -> Any:
        """The first returned value, or None."""
        return self.results[0] if self.results else None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data that JSON can hold: bytes are encoded as Base64, and an error becomes its fields."""
        import msgspec

        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "error"}
        error = self.error.to_dict() if self.error else None
        found: dict[str, Any] = msgspec.to_builtins({"success": error is None, "error": error, **fields}, str_keys=True)
        return found

    def raise_for_error(self) -> Self:
        """The result itself if the run succeeded; raises its error otherwise."""
        if self.error:
            raise self.error
        return self


class Forwarded:
    """Passes output on, and records an exception of its receiver."""

    def __init__(self, output: Output) -> None:
        self.raised: BaseException | None = None
        self._output = output

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        try:
            self._output.write(stream, text)
        except BaseException as error:
            self.raised = error
            raise


class Printed:
    """Receives printed output: passes it on, or keeps it if there is no receiver."""

    def __init__(self, tell: Callable[[Stream, str], None] | None) -> None:
        self._tell = tell
        self._kept: list[bytes] = []
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    @property
    def text(self) -> str:
        return b"".join(self._kept).decode(errors="replace")

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        if self._tell:
            whole = self._decoders[stream - 1].decode(text)  # a character may be split between two writes
            self._tell("stdout" if stream == 1 else "stderr", whole)
        elif stream == 1:
            self._kept.append(text)
