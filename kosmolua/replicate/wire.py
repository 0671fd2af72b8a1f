"""The HTTP request and answer that client and transports exchange. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from msgspec import Struct

Fields = tuple[tuple[str, str], ...]
"""Header fields in the order in which they are sent."""


Sending = Callable[[], AbstractContextManager[object]]
"""A request is sent inside ``with sending()``, which raises if sending is no longer allowed."""


class ExtraHeader(NamedTuple):
    """A header of every request to the API's origin, for a gateway in front of it. A ``secret`` value is removed from
    answers, as the token is.
    """

    name: str
    value: str
    secret: bool = True


class Origin(NamedTuple):
    """The target of a connection. ``host`` is as in the URL, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int


class Upload(Protocol):
    """A body that is read while it is sent, and again for a retry."""

    size: int

    def pieces(self) -> Iterator[bytes]:
        """The bytes, ``size`` in total."""


class Request(Struct, frozen=True):
    """``target`` is the path with its query; ``fields`` contain Host, but not Content-Length or Transfer-Encoding.
    ``timeout`` is in seconds without a byte. The caller reads a ``piecewise`` answer itself; of other answers at most
    ``most`` bytes are read, and one more if they are longer.
    """

    method: str
    origin: Origin
    target: str
    fields: Fields
    body: bytes | Upload | None = None
    timeout: float = 30.0
    piecewise: bool = False
    most: int = 0


class Response(Protocol):
    """An answer. Header names are in lower case; values of a repeated field are joined with a comma."""

    @property
    def status(self) -> int:
        """The status, 200 to 999."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields."""

    def pieces(self) -> Iterator[bytes]:
        """The streamed body, still encoded; can be read once. Raises a `WireError` if it is truncated."""

    def close(self) -> None:
        """Discard the rest of the body. Another thread may call `close` to end `pieces`."""


class Whole:
    """An answer whose body has been read."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def pieces(self) -> Iterator[bytes]:
        return iter((self.body,))

    def close(self) -> None:
        """Do nothing."""


class Transport(Protocol):
    """Sends requests. Thread-safe."""

    def send(self, request: Request) -> Response:
        """Send a request. Raises a `WireError` if no answer starts to arrive."""

    def close(self) -> None:
        """Close idle connections."""


class WireError(Exception):
    """No complete answer arrived. ``sent``: a byte of the request may have been sent; ``final``: a retry would fail the
    same way; ``untrusted``: the server's certificate was not accepted; ``hint``: what to do, if known.
    """

    def __init__(
        self, reason: str, *, sent: bool, final: bool = False, untrusted: bool = False, hint: str = ""
    ) -> None:
        super().__init__(reason)
        self.hint = hint
        self.reason = reason
        self.sent = sent
        self.final = final or untrusted
        self.untrusted = untrusted
