"""The head of an HTTP/1.1 answer, read line by line.

http.client hands it to the parser for mail, which takes a fifth of a request's CPU (measured), and takes one that
breaks off for a whole one.
"""

from __future__ import annotations

import http.client
import io
import math
import re
import socket
import time
from typing import Any

from kosmolua.replicate.body import GRACE, LEAST_RATE

MAX_LINE, MAX_LINES = 65536, 100  # as http.client has them: bytes of a line, and lines
_STATUS = re.compile(rb"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: (.*))?\r?\n")
_INFORMATION = range(100, 200)
_SWITCHING = 101  # to another protocol, which nobody asked for
_MOST_BEFORE = 100  # answers before the answer
_EMPTY = frozenset({204, 304})  # answers without a body
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class Unframed(http.client.HTTPException):
    """Where the body ends is said in a way that is not taken. The next attempt would be answered in the same way."""


class Response(http.client.HTTPResponse):
    """http.client's answer with a head that was read here. ``fields`` are the headers, as they came."""

    fields: list[tuple[bytes, bytes]]

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(_Opening(sock), *arguments, **options)  # type: ignore[arg-type]  # it asks for a file alone
        self._timed: _Timed = self.fp.raw  # type: ignore[assignment]  # the reader above it knows no type

    def take_any_time(self) -> None:
        """From here on the answer may come as slowly as it likes, as an event stream does."""
        self._timed.until = math.inf

    def begin(self) -> None:
        """Read the head. Raises an HTTPException where it is none, or ends in its middle."""
        for _ in range(_MOST_BEFORE):
            minor, status = self._read_status_line()
            self.fields = self._read_fields()
            if status not in _INFORMATION or status == _SWITCHING:
                break
        else:
            raise http.client.HTTPException(f"more than {_MOST_BEFORE} answers come before the answer")
        fields = [(name.lower(), value) for name, value in self.fields]
        first = dict(reversed(fields))  # of several of a name
        if len({value for name, value in fields if name == b"content-length"}) > 1:
            raise http.client.HTTPException("it has two lengths")  # what lies between would be the next answer
        empty = status in _EMPTY or status in _INFORMATION
        connection = b",".join(value for name, value in fields if name == b"connection").lower()
        self.code = self.status = status
        self.version = 11 if minor else 10
        self.chunked = not empty and _is_chunked([value for name, value in fields if name == b"transfer-encoding"])
        self.chunk_left = None
        self.length = None if self.chunked else _length(first.get(b"content-length"))
        if empty:
            self.length = 0
        endless = self.length is None and not self.chunked  # but for the end of the connection
        torn = self.chunked and b"content-length" in first  # two framings: what follows may be somebody else's answer
        self.will_close = endless or torn or (b"close" in connection if minor else b"keep-alive" not in connection)

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
                fields.append((name, (before + b" " + line.strip()).strip()))
            elif colon and name.strip():
                fields.append((name.strip(), value.strip()))
            else:
                raise http.client.HTTPException("a line of its head is no header")
        raise http.client.HTTPException(f"more than {MAX_LINES} headers")

    # Chunks, stricter than http.client reads them: what one reader passes over another may take for an answer.

    def _get_chunk_left(self) -> int | None:
        """Bytes left of the chunk; None after the last."""
        left = self.chunk_left
        if left:
            return left
        if left is not None and self.fp.read(2) != b"\r\n":
            raise http.client.HTTPException("a chunk does not end where it should")
        line = self.fp.readline(MAX_LINE + 1)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        found = _CHUNK.fullmatch(line)
        if not found:
            raise http.client.HTTPException("a chunk has no size")
        self.chunk_left = int(found[1], 16) or None
        if self.chunk_left is None:
            self._read_fields()
            self._close_conn()  # type: ignore[attr-defined]  # what http.client calls at the end of an answer
        return self.chunk_left


class _Timed(socket.SocketIO):
    """Reads an answer from a socket, as long as it comes with some speed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "r")
        self.until = time.monotonic() + GRACE + (sock.gettimeout() or 0)
        self._receive = sock.recv_into

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self.until:
            raise TimeoutError("the answer comes too slowly")
        received = self._receive(buffer)
        self.until += received / LEAST_RATE
        return received


class _Opening:
    """Opens a socket for http.client as it would do itself."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._sock._io_refs += 1  # noqa: SLF001 - as its own makefile does: the file keeps it open
        return io.BufferedReader(_Timed(self._sock))


def _is_chunked(codings: list[bytes]) -> bool:
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise Unframed(f"its Transfer-Encoding is {b', '.join(codings)[:60]!r}")
    return bool(codings)


def _length(value: bytes | None) -> int | None:
    if value is not None and not _LENGTH.fullmatch(value):
        raise Unframed(f"its Content-Length is {value[:60]!r}")
    return None if value is None else int(value)
