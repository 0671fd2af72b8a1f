"""Events of a run, which carry its id, and records of the logging module for them."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from kosmolua.gate.entry import Entry
from kosmolua.host.hints import resolvable
from kosmolua.host.options import Stream

if TYPE_CHECKING:
    from kosmolua.host.result import Result
    from kosmolua.runtime.frames import Output

Kind = Literal["begun", "output", "call", "ended"]
LOGGER = "kosmolua.calls"


@resolvable(globals())
class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of the run with that id: the run began, printed text, completed a call, or ended.

    ``at`` is in Unix seconds. ``stream`` and ``text`` belong to "output", ``entry`` to "call", ``result`` to "ended".
    """

    run: str
    kind: Kind
    at: float
    tags: Mapping[str, str] = {}
    stream: Stream | None = None
    text: str = ""
    entry: Entry | None = None
    result: Result | None = None


class Events:
    """Reports the events of one run. The listeners must not raise."""

    def __init__(self, run: str, tags: Mapping[str, str], listeners: list[Callable[[Event], None]]) -> None:
        self.wanted = bool(listeners)
        self._run = run
        self._tags = tags
        self._listeners = listeners

    def tell(self, kind: Kind, **facts: Any) -> None:
        if self.wanted:
            event = Event(run=self._run, kind=kind, at=time.time(), tags=self._tags, **facts)
            for listener in self._listeners:
                listener(event)

    def observing(self, output: Output) -> Output:
        """The output, wrapped so that printed text is also reported as events."""
        return _Observed(output, self) if self.wanted else output

    def calls(self, on_call: Callable[[Entry], None] | None) -> Callable[[Entry], None] | None:
        """A function that reports each completed call: to the callback, as an event, and to the log if the program uses
        logging.
        """
        # Importing logging takes longer than the rest of this module. Another thread may be importing it just now.
        get_logger = getattr(sys.modules.get("logging"), "getLogger", None)
        if on_call is None and not self.wanted and get_logger is None:
            return None
        logger = get_logger(LOGGER) if get_logger else None

        def report(entry: Entry) -> None:
            entry.run = self._run
            if logger and logger.isEnabledFor(20):  # the level INFO
                _log(logger, entry, self._tags)
            self.tell("call", entry=entry)
            if on_call:
                on_call(entry)

        if on_call:
            report.__module__ = str(getattr(on_call, "__module__", ""))  # the callback raises from there
        return report


def _log(logger: Any, entry: Entry, tags: Mapping[str, str]) -> None:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    outcome = entry.code or entry.outcome
    logger.info(
        "%s %s", entry.function, outcome, extra={"kosmolua": {**fields, **({"tags": dict(tags)} if tags else {})}}
    )


class _Observed:
    """Passes output on, and also reports it as text."""

    def __init__(self, output: Output, events: Events) -> None:
        self._output = output
        self._events = events
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        whole = self._decoders[stream - 1].decode(text)  # a character may arrive in two parts
        self._events.tell("output", stream="stdout" if stream == 1 else "stderr", text=whole)
        self._output.write(stream, text)
