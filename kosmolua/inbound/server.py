"""uvicorn with limits on what a client may send before an application sees the request.

Without these limits, a client may send a head of any length, which is kept in memory, and may send it arbitrarily
slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536  # the maximum bytes of a request's head, and of the trailers after its body
SECONDS = 30.0  # seconds in which a request must arrive
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\ncontent-length: 17\r\n"
    b"connection: close\r\n\r\nheaders too long\n"
)


class Server(uvicorn.Server):
    """A server that leaves signal handling to its caller."""

    def __init__(self, app: Any, *, seconds: float = SECONDS, **options: Any) -> None:
        """A request has to arrive within ``seconds``; ``options`` are the options of `uvicorn.Config`."""
        protocol: Any = partial(_Bounded, seconds=seconds)
        super().__init__(uvicorn.Config(app, http=protocol, access_log=False, log_level="warning", **options))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Bounded(HttpToolsProtocol):
    """Ends a connection if the head of its request is too long, or if the request does not arrive in time."""

    def __init__(self, *args: Any, seconds: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._seconds = seconds
        self._size = 0  # bytes received since the last complete head or piece of a body
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        super().data_received(data)
        if self._size > MAX_HEAD and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start()

    def on_headers_complete(self) -> None:
        self._size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._size = 0
        self._stop()
        super().on_message_complete()

    def _start(self) -> None:
        self._stop()
        self._due = self.loop.call_later(self._seconds, self.transport.close)

    def _stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
