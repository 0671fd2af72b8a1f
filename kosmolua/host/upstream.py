"""Forwards one request of a recorder to the API, within bounds of bytes and time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kosmolua.replicate.body import Garbled, TooMuch, decoded, gathered
from kosmolua.replicate.transport import SocketTransport
from kosmolua.replicate.wire import Origin, Request, WireError

if TYPE_CHECKING:
    import ssl

    from kosmolua.replicate.wire import Response

SILENCE = 120.0  # seconds without a byte; a blocking create sends nothing for up to 60
_PORTS = {"http": 80, "https": 443}
_TARGET = re.compile(r"/[!-~]*")
# Headers that concern one connection, and headers that are wrong once the recorder has changed the body.
_DROPPED = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "content-length", "content-encoding", "accept-encoding", "host", "set-cookie", "expect"),
    }
)


class UpstreamError(Exception):
    """The server could not be reached, or its answer was cut off, too long or too slow."""


@dataclass
class ForwardedAnswer:
    """An answer whose body has not been read yet. Iterate over the body once, then `close` it."""

    status: int
    headers: list[tuple[str, str]]
    kind: str  # the content type with its parameters, such as the character set
    _method: str
    _response: Response
    _transport: SocketTransport

    @property
    def content_type(self) -> str:
        message = Message()
        message["Content-Type"] = self.kind
        return message.get_content_type()

    def __iter__(self) -> Iterator[bytes]:
        if self._method == "HEAD":
            return
        try:
            yield from decoded(self._response.pieces(), self._response.headers)
        except (WireError, Garbled) as error:
            raise UpstreamError(f"the answer was cut off: {error}") from error

    def whole(self, most: int) -> bytes:
        """The whole body, of at most ``most`` bytes. Raises an UpstreamError if it is longer or arrives too slowly."""
        try:
            return gathered(self, most)
        except (TooMuch, TimeoutError) as error:
            raise UpstreamError(str(error)) from error
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()
        self._transport.close()


class Upstream:
    """Sends each request once, on a new connection."""

    def __init__(self) -> None:
        self._context = cache(_context)

    def forward(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> ForwardedAnswer:
        """Send the request and return the answer. Redirects are not followed. Raises an UpstreamError."""
        parts = urlsplit(url)
        name = parts.netloc.rpartition("@")[2]
        fields = {"Host": name, **kept(headers), "Accept-Encoding": "identity", "Connection": "close"}
        try:
            origin = Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
            request = Request(
                method=method,
                origin=origin,
                target=_target(parts.path or "/", parts.query),
                fields=tuple(fields.items()),
                body=body or None,
                timeout=SILENCE,
                piecewise=True,
            )
            transport = SocketTransport(self._context)
            response = transport.send(request)
        except (WireError, ValueError, KeyError) as error:
            raise UpstreamError(f"{name} cannot be reached: {error}") from error
        kind = response.headers.get("content-type", "text/plain")
        return ForwardedAnswer(response.status, [*kept(response.headers).items()], kind, method, response, transport)


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _DROPPED}


def _target(path: str, query: str) -> str:
    """The request target. Raises a ValueError for characters that could end the request line."""
    found = f"{path}?{query}" if query else path
    if not _TARGET.fullmatch(found):
        raise ValueError("its URL has invalid characters")
    return found


def _context() -> ssl.SSLContext:
    from kosmolua.replicate import certificates

    return certificates.context(os.environ) or certificates.built_in()
