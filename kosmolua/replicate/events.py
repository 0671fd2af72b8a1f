"""Server-sent events, decoded on bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6).

A line ends with CR, LF or CRLF and with nothing else: text may hold U+2028, U+0085 and other ends of lines.
"""

from __future__ import annotations

import re

from msgspec import Struct

from kosmolua.errors import TransportError

MAX_EVENT = 64 * 1024 * 1024  # bytes
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Event(Struct, frozen=True):
    """One event. ``id`` is the last that the stream has told, and what it is resumed after."""

    event: str
    data: str
    id: str


class Decoder:
    """Takes a stream's bytes as they come, cut anywhere, and gives the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = self._returned = False
        self._event, self._id = "", ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes. What breaks off before its empty line is none.

        Raises a `TransportError` for one that is longer than `MAX_EVENT`.
        """
        events = []
        for line in self._lines(piece):
            event = self._take(line)
            if event:
                events.append(event)
        return events

    def _lines(self, piece: bytes) -> list[bytes]:
        text = self._rest + piece
        if not self._begun and len(text) >= len(_BOM):
            self._begun = True
            text = text.removeprefix(_BOM)
        if self._returned:
            text = text.removeprefix(b"\n")  # the second half of an end of line
        self._returned = text.endswith(b"\r") or (self._returned and not text)
        *lines, self._rest = _LINE_END.split(text)
        if sum(map(len, self._data)) + len(self._rest) > MAX_EVENT:
            raise TransportError(f"an event of the stream is longer than {MAX_EVENT} bytes")
        return lines

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._finish()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        return None

    def _finish(self) -> Event | None:
        event, data = self._event, self._data
        self._event, self._data = "", []
        if not data:
            return None
        return Event(event or "message", b"\n".join(data).decode(errors="replace"), self._id)
