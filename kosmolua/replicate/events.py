"""Server-sent events, decoded on bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6).

A line ends with CR, LF or CRLF only: text may contain U+2028, U+0085 and other line ends.
"""

from __future__ import annotations

import re

from msgspec import Struct

from kosmolua.errors import TransportError

MAX_EVENT = 16 * 1024 * 1024  # bytes
MAX_NAME = 256  # bytes of an id or of an event's type; longer ones are ignored
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Event(Struct, frozen=True):
    """One event. ``id`` is the last id of the stream, after which it can be resumed."""

    event: str
    data: str
    id: str


class Decoder:
    """Takes a stream's bytes in pieces of any size, and returns the events that are complete. The time is linear in the
    number of bytes.
    """

    def __init__(self) -> None:
        self._rest = bytearray()  # the start of an incomplete line
        self._begun = self._returned = False
        self._event, self._id = "", ""
        self._data = bytearray()  # the data lines of the event, each with a line end

    @property
    def held(self) -> int:
        """Bytes of the incomplete event."""
        return len(self._data) + len(self._rest)

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes. An event without its final empty line is dropped.

        Raises a `TransportError` for an event that is longer than `MAX_EVENT`.
        """
        events = []
        for line in self._lines(piece):
            event = self._take(line)
            if event:
                events.append(event)
            elif self.held > MAX_EVENT:
                break
        if self.held > MAX_EVENT:
            raise TransportError(f"an event of the stream is longer than {MAX_EVENT} bytes")
        return events

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that the piece completes. Only the piece is searched, since the rest has no line end."""
        if not self._begun:
            piece = bytes(self._rest) + piece
            self._begun = len(piece) >= len(_BOM)
            self._rest = bytearray(b"" if self._begun else piece)
            piece = piece.removeprefix(_BOM) if self._begun else b""
        if not piece:
            return []
        returned, self._returned = self._returned, piece.endswith(b"\r")
        if returned:
            piece = piece.removeprefix(b"\n")  # the second half of a line end
        first, *lines = _LINE_END.split(piece)
        self._rest += first
        if not lines:
            return []
        lines.insert(0, bytes(self._rest))
        self._rest = bytearray(lines.pop())
        return lines

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._finish()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event" and len(value) <= MAX_NAME:
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value and len(value) <= MAX_NAME:
            self._id = value.decode(errors="replace")
        return None

    def _finish(self) -> Event | None:
        event, data = self._event, self._data
        self._event, self._data = "", bytearray()
        if not data:
            return None
        return Event(event or "message", data[:-1].decode(errors="replace"), self._id)
