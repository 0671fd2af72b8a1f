"""Forwards one request of a recorder to the API, within bounds of bytes and time."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

SILENCE = 120.0  # seconds without a byte; a blocking create is silent for 60
_BLOCK = 64 * 1024
# Headers about one connection, and those that no longer fit once the recorder has changed the body.
_DROPPED = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "content-length", "content-encoding", "accept-encoding", "host", "set-cookie", "expect"),
    }
)


class UpstreamError(Exception):
    """The server could not be reached, or its answer broke off."""


@dataclass
class Passed:
    """The beginning of an answer. Iterate over its body once; `close` it."""

    status: int
    headers: list[tuple[str, str]]
    content_type: str
    _response: http.client.HTTPResponse
    _connection: http.client.HTTPConnection

    @property
    def kind(self) -> str:
        """The content type with its parameters, such as the character set."""
        return self._response.headers.get("Content-Type", self.content_type)

    def __iter__(self) -> Iterator[bytes]:
        try:
            while block := self._response.read1(_BLOCK):
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(f"the answer broke off: {error}") from error

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()


def pass_on(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Passed:
    """Send a request. Raises an UpstreamError. Redirects are answers like others."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.request(method, target, body or None, {**kept(headers), "Accept-Encoding": "identity"})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise UpstreamError(f"{parts.netloc} cannot be reached: {error}") from error
    passed = [*kept(dict(response.getheaders())).items()]
    return Passed(response.status, passed, response.headers.get_content_type(), response, connection)


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _DROPPED}


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=SILENCE)
    from kosmolua.replicate import certificates

    context = certificates.context(os.environ) or certificates.built_in()
    return http.client.HTTPSConnection(host, port, timeout=SILENCE, context=context)
