"""How a run ended, and what it printed."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec import Struct

from kosmolua.errors import KosmoError
from kosmolua.gate.entry import Entry
from kosmolua.host.options import Stream

if TYPE_CHECKING:
    from kosmolua.runtime.port import Output


class Result(Struct, frozen=True, kw_only=True):
    """How a run ended, and what it did.

    ``results`` are the returned values and ``output`` what was printed, where nobody else took it; ``error`` is why it
    failed. ``duration``, ``cpu`` (of a child) and ``host_cpu`` (of this process, on the run's behalf) are in
    seconds, ``memory`` is what Lua held at the end, in bytes; ``isolation`` is ``{mode, layers, missing}``.

    ``log`` has its calls, the first 10,000, and ``unlogged`` counts the others. ``spent`` and ``caps`` go by the names
    of `kosmolua.Caps`. ``created`` are the predictions and trainings that it started, as kind, id and account, and
    ``running`` those that nobody has seen end; ``unanswered`` counts creations whose answer was lost, also to a look in
    the account, and ``candidates`` may be what came of them, where more fits than was sent; ``not_canceled`` has id and
    reason of what could not be canceled. ``guessed`` is how much of ``spent`` nobody knows for certain. ``run`` is what
    the record of calls knows it by, None where it called nothing.
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
        """The first value that was returned, None where there is none."""
        return self.results[0] if self.results else None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, which JSON can hold: bytes are Base64, an error is its fields."""
        import msgspec

        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "error"}
        error = self.error.to_dict() if self.error else None
        found: dict[str, Any] = msgspec.to_builtins({"success": error is None, "error": error, **fields}, str_keys=True)
        return found

    def raise_for_error(self) -> Self:
        """The result itself where the run ended well; raises its error otherwise."""
        if self.error:
            raise self.error
        return self


class Forwarded:
    """Passes output on, and remembers what its receiver raised."""

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
    """Takes what a script prints: passes it on as it comes, or keeps it where there is nobody to pass it to."""

    def __init__(self, tell: Callable[[Stream, str], None] | None) -> None:
        self._tell = tell
        self._kept: list[bytes] = []
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    @property
    def text(self) -> str:
        return b"".join(self._kept).decode(errors="replace")

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        if self._tell:
            whole = self._decoders[stream - 1].decode(text)  # a character may come in two parts
            self._tell("stdout" if stream == 1 else "stderr", whole)
        elif stream == 1:
            self._kept.append(text)
