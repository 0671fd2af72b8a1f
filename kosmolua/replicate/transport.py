"""HTTP/1.1 over sockets: keeps connections alive, and reports whether a byte was sent.

One keep-alive GET costs 24 µs of CPU this way; httpx takes 640, http.client with json 108 (two cores, CPython 3.11).
Requests through a proxy use httpx (`kosmolua.replicate.httpx_transport`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

from kosmolua.replicate.connection import Connection, connected
from kosmolua.replicate.head import Head
from kosmolua.replicate.wire import Fields, Origin, Request, Sending, Whole, WireError

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT = 5.0  # seconds
IDLE_SECONDS = 5.0  # a server may close an idle connection while the next request is on its way


class SocketAnswer:
    """An answer whose body is read from its connection. The connection is reused only after a complete read."""

    def __init__(self, transport: SocketTransport, origin: Origin, connection: Connection, head: Head) -> None:
        self.status = head.status
        self.headers = head.headers
        self._transport = transport
        self._origin = origin
        self._connection: Connection | None = connection
        self._head = head

    def pieces(self) -> Iterator[bytes]:
        connection = self._connection
        if connection is None:
            return
        try:
            yield from connection.read_body(self._head)
        except WireError:
            self.close()
            raise
        self._end()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.abort()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection and self._head.keep:
            self._transport.keep(self._origin, connection)
        elif connection:
            connection.close()


class SocketTransport:
    """Sends over sockets. Thread-safe; each request has its own connection. ``context`` returns the TLS context, and is
    called for the first https connection. ``sending`` may refuse to send.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], sending: Sending = nullcontext) -> None:
        self._context = context
        self._made_context: ssl.SSLContext | None = None
        self._sending = sending
        self._idle: dict[Origin, deque[Connection]] = {}
        self._head = lru_cache(maxsize=64)(_head)  # for one operation only the target and the length change

    def send(self, request: Request) -> SocketAnswer | Whole:
        connection = self._take(request.origin) or self._connect(request.origin)
        try:
            before, after = self._head(request.method, request.fields)
            prepared = b"".join((before, request.target.encode("ascii"), after, _length(request)))
            with self._sending():
                connection.send(prepared, request)
            head = connection.read_head()
            body = None if request.piecewise else connection.whole_body(head)
            if body is None:
                return SocketAnswer(self, request.origin, connection, head)
            answer = Whole(head.status, head.headers, body)
            if head.keep:
                self.keep(request.origin, connection)
            else:
                connection.close()
        except BaseException:
            connection.abort()
            raise
        return answer

    def close(self) -> None:
        for waiting in self._idle.values():
            while waiting:
                waiting.pop().close()

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection whose answer was read completely."""
        connection.since = time.monotonic()
        waiting = self._idle.get(origin)
        if waiting is None:
            waiting = self._idle.setdefault(origin, deque())
        waiting.append(connection)

    def _take(self, origin: Origin) -> Connection | None:
        """The last used connection, unless it is too old or closed by the server."""
        waiting = self._idle.get(origin)
        while waiting:
            try:
                connection = waiting.pop()
            except IndexError:  # another thread took the connection
                return None
            try:
                if time.monotonic() - connection.since < IDLE_SECONDS and connection.is_quiet():
                    return connection
            except BaseException:
                connection.abort()
                raise
            connection.close()
        return None

    def _connect(self, origin: Origin) -> Connection:
        if origin.scheme != "https":
            return connected(origin, CONNECT_TIMEOUT, None)
        if self._made_context is None:  # takes 20 ms, for a list of all authorities
            self._made_context = self._context()
        return connected(origin, CONNECT_TIMEOUT, self._made_context)


def _head(method: str, fields: Fields) -> tuple[bytes, bytes]:
    for name, value in fields:
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"header {name} contains a line end")
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} ".encode("ascii"), f" HTTP/1.1\r\n{lines}".encode("latin-1")


def _length(request: Request) -> bytes:
    body = request.body
    if body is None and request.method == "GET":
        return b"\r\n"
    if body is None:
        return b"Content-Length: 0\r\n\r\n" if request.method in ("POST", "PATCH", "PUT") else b"\r\n"
    size = len(body) if isinstance(body, bytes) else body.size
    return b"Content-Length: %d\r\n\r\n" % size
