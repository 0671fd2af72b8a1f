"""The head of an HTTP/1.1 answer, read line by line.

http.client hands it to the parser for mail, which takes a fifth of a request's CPU (measured), and takes one that
breaks off for a whole one.
"""

from __future__ import annotations

import http.client
import re

MAX_LINE, MAX_LINES = 65536, 100  # as http.client has them: bytes of a line, and lines
_STATUS = re.compile(rb"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: (.*))?\r?\n")
_INFORMATION = range(100, 200)
_SWITCHING = 101  # to another protocol, which nobody asked for
_MOST_BEFORE = 10  # answers before the answer
_EMPTY = frozenset({204, 304})  # answers without a body
_MAX_DIGITS = 18  # of a length


class Response(http.client.HTTPResponse):
    """http.client's answer with a head that was read here. ``fields`` are the headers, as they came."""

    fields: list[tuple[bytes, bytes]]

    def begin(self) -> None:
        """Read the head. Raises an HTTPException where it is none, or ends in its middle."""
        for _ in range(_MOST_BEFORE):
            minor, status = self._read_status_line()
            self.fields = self._read_fields()
            if status not in _INFORMATION or status == _SWITCHING:
                break
        fields = [(name.lower(), value) for name, value in self.fields]
        first = dict(reversed(fields))  # of several of a name
        if len({value for name, value in fields if name == b"content-length"}) > 1:
            raise http.client.HTTPException("it has two lengths")  # what lies between would be the next answer
        connection = b",".join(value for name, value in fields if name == b"connection").lower()
        self.code = self.status = status
        self.version = 11 if minor else 10
        self.chunked = first.get(b"transfer-encoding", b"").lower() == b"chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(first.get(b"content-length", b""))
        if status in _EMPTY or status in _INFORMATION:
            self.length = 0
        endless = self.length is None and not self.chunked  # but for the end of the connection
        self.will_close = endless or (b"close" in connection if minor else b"keep-alive" not in connection)

    def _read_status_line(self) -> tuple[int, int]:
        """The minor version, and the status."""
        line = self.fp.readline(MAX_LINE + 1)
        if not line:
            raise http.client.RemoteDisconnected("the server closed the connection without an answer")
        found = _STATUS.fullmatch(line)
        if not found:
            raise http.client.BadStatusLine(line[:100].decode("latin-1"))
        self.reason = (found[3] or b"").strip().decode("latin-1")
        return int(found[1]), int(found[2])

    def _read_fields(self) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        for _ in range(MAX_LINES + 1):
            line = self.fp.readline(MAX_LINE + 1)
            if len(line) > MAX_LINE:
                raise http.client.LineTooLong("header line")
            if not line.endswith(b"\n"):
                raise http.client.IncompleteRead(line)
            if not line.strip(b"\r\n"):
                return fields
            name, colon, value = line.partition(b":")
            if fields and line[:1] in b" \t":  # goes on with the one before
                name, before = fields.pop()
                fields.append((name, before + b" " + line.strip()))
            elif colon and name.strip():
                fields.append((name.strip(), value.strip()))
            else:
                raise http.client.HTTPException("a line of its head is no header")
        raise http.client.HTTPException(f"more than {MAX_LINES} headers")


def _length(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= _MAX_DIGITS else None
