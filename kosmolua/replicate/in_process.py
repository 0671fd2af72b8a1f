"""Requests to a WSGI application in this process, without a socket (PEP 3333)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any
from urllib.parse import unquote_to_bytes

from kosmolua.replicate.connection import lost
from kosmolua.replicate.wire import Request, Sending

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class InProcessTransport:
    """Calls ``application`` for each request; closing it closes the application. An OSError from the application counts
    as a lost connection; other exceptions pass through. ``sending`` may refuse to send.
    """

    def __init__(self, application: Any, sending: Sending = nullcontext) -> None:
        self._application = application
        self._sending = sending

    def send(self, request: Request) -> InProcessAnswer:
        environment = _environment(request)
        with self._sending():
            pass  # the request is sent at once; the application may delay its answer for a long time
        try:
            return InProcessAnswer(self._application, environment)
        except OSError as error:
            raise lost(error) from None

    def close(self) -> None:
        self._application.close()


class InProcessAnswer:
    """The application's answer; its body is streamed."""

    def __init__(self, application: Application, environment: dict[str, Any]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._body = application(environment, self._start)
        self._pieces = iter(self._body)
        # An application may delay the start of its answer until the first piece.
        self._first = b"" if self.status else next(self._pieces, b"")

    def pieces(self) -> Iterator[bytes]:
        try:
            yield self._first
            yield from self._pieces
        except OSError as error:
            raise lost(error) from None
        finally:
            self.close()

    def close(self) -> None:
        closing = getattr(self._body, "close", None)
        if closing:
            closing()

    def _start(self, status: str, headers: list[tuple[str, str]], _failure: object = None) -> Callable[[bytes], None]:
        self.status = int(status.partition(" ")[0])
        for name, value in headers:
            key = name.lower()
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value
        return self._write

    def _write(self, piece: bytes) -> None:
        self._first += piece


def _environment(request: Request) -> dict[str, Any]:
    path, _, query = request.target.partition("?")
    body = request.body
    content = b"" if body is None else body if isinstance(body, bytes) else b"".join(body.pieces())
    environment: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.origin.scheme,
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": request.origin.host,
        "SERVER_PORT": str(request.origin.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
    }
    if body is not None:
        environment["CONTENT_LENGTH"] = str(len(content))
    for name, value in request.fields:
        key = name.upper().replace("-", "_")
        environment[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environment
