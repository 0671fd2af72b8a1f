"""The head of an HTTP/1.1 answer, checked by llhttp (httptools), and where its body ends (RFC 9112, section 6)."""

from __future__ import annotations

import re
from typing import Any, Literal

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from kosmolua.replicate.wire import WireError

MAX_HEAD = 64 * 1024  # bytes; Node.js takes 16 kB, http.client 64 kB a line
MAX_FIELDS = 100  # as http.client
_OTHER_LINES = 3  # the status line, and what follows the last two line ends
_FOLD = re.compile(rb"\r\n[ \t]+")
_NO_BODY = frozenset({204, 304})
_SWITCHING_PROTOCOLS = 101
_INFORMATIONAL = range(100, 200)
_LONGEST = 1 << 62  # bytes of a body

Framing = Literal["none", "length", "chunked", "close"]


class Head(Struct):
    """The head of an answer. ``length`` is in bytes if ``framing`` is "length". The connection is reused only if
    ``keep``.
    """

    status: int
    headers: dict[str, str]
    framing: Framing
    length: int
    keep: bool
    chunks: Chunks | None


class Chunks:
    """Decodes a chunked body with the parser that read its head."""

    def __init__(self) -> None:
        self.over = False
        self.surplus = False  # bytes arrived after the end: the connection cannot be reused
        self._pieces: list[bytes] = []
        self._parser = HttpResponseParser(self)

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_begin(self) -> None:
        self.surplus = self.over

    def on_message_complete(self) -> None:
        self.over = True

    def begin(self, head: bytes) -> int:
        """The status of a head. Raises a `WireError` for an invalid one."""
        self._feed(head)
        self.over = False
        status: int = self._parser.get_status_code()
        return status

    @property
    def version(self) -> str:
        found: str = self._parser.get_http_version()
        return found

    def decoded(self, data: bytes) -> bytes:
        """The part of the body in these bytes. Raises a `WireError` for an invalid chunk."""
        self._feed(data)
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError as error:
            # A signal handler raised an exception during a callback: pass it on. Callbacks themselves do not fail.
            raise error.__context__ or error from None
        except (HttpParserUpgrade, HttpParserError) as error:
            if self.over:  # the answer is complete, and the rest is not another answer
                self.surplus = True
                return
            text = str(error)
            if self._parser.get_status_code() == _SWITCHING_PROTOCOLS:
                raise _switched() from None
            raise invalid(text, final="Content-Length" in text or "Transfer-Encoding" in text) from None


def parse(raw: bytes) -> Head | None:
    """A head, from its status line to the empty line; None for an informational one, which comes before the answer."""
    parser, unfolded = Chunks(), _unfolded(raw)
    status = parser.begin(unfolded)
    version = "1.1" if raw.startswith(b"HTTP/1.1 ") else parser.version
    if version not in ("1.0", "1.1"):
        raise invalid(f"HTTP version {version}")
    if not raw.startswith(b"HTTP/"):  # llhttp reads RTSP and ICE as well, and skips a line end
        raise invalid("it does not begin with HTTP/")
    if b"\0" in raw:
        raise invalid("its head holds a NUL")
    if status < _INFORMATIONAL.stop:
        if status == _SWITCHING_PROTOCOLS:
            raise _switched()
        if status in _INFORMATIONAL:
            return None
    headers = _headers(unfolded)
    framing, length = _framing(status, headers)
    return Head(
        status=status,
        headers=headers,
        framing=framing,
        length=length,
        keep=framing != "close" and _is_kept(headers.get("connection", ""), is_current=version == "1.1"),
        chunks=parser if framing == "chunked" else None,
    )


def invalid(what: str, *, final: bool = False) -> WireError:
    """The error for an invalid answer. ``final``: a retry would get the same framing."""
    return WireError(f"the answer is not valid HTTP: {what}", sent=True, final=final)


def _switched() -> WireError:
    return invalid("status 101, a switch to another protocol", final=True)


def _unfolded(raw: bytes) -> bytes:
    """The head with continued lines joined (RFC 9112, section 5.2)."""
    if b"\n " not in raw and b"\n\t" not in raw:
        return raw
    status, end, fields = raw.partition(b"\r\n")
    if fields[:1] in (b" ", b"\t"):
        raise invalid("white space before the first header")
    return status + end + _FOLD.sub(b" ", fields)


def _headers(head: bytes) -> dict[str, str]:
    """The fields of a head that llhttp has accepted: each is a line with a colon. A callback for each field
    costs more.
    """
    lines = head.decode("latin-1").split("\r\n")
    if len(lines) > MAX_FIELDS + _OTHER_LINES:
        raise invalid(f"more than {MAX_FIELDS} headers")
    found: dict[str, str] = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _framing(status: int, headers: dict[str, str]) -> tuple[Framing, int]:
    """Where the body ends. llhttp has rejected invalid lengths, and a length next to a transfer coding."""
    if status in _NO_BODY:
        return "none", 0
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise invalid(f"its Transfer-Encoding is {coding[:60]!a}", final=True)
        return "chunked", 0
    length = headers.get("content-length")
    if length is None:
        return "close", 0
    if int(length) > _LONGEST:
        raise invalid(f"its Content-Length is {length[:60]!a}", final=True)
    return "length", int(length)


def _is_kept(connection: str, *, is_current: bool) -> bool:
    """Whether the connection is kept. ``is_current``: HTTP/1.1, which keeps connections by default."""
    if not connection or connection == "keep-alive":
        return is_current or bool(connection)
    options: Any = {option.strip().lower() for option in connection.split(",")}
    return "close" not in options if is_current else "keep-alive" in options
