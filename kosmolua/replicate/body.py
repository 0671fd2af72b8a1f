"""The body of an answer: limited in bytes, pieces and values before it is processed, and decoded piece by piece. The
server may be hostile or broken. Memory and time are bounded by the bytes that were received.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping

MAX_ANSWER = 64 * 1024 * 1024  # bytes; also the limit of one value passed to a script
MAX_FILE = 256 * 1024 * 1024  # bytes of an answer that is a file's content
MAX_PROBLEM = 256 * 1024  # bytes to read of an error answer
MAX_CONTAINERS = 250_000  # objects and lists in an answer; one takes up to 230 bytes
MAX_VALUES = 1_000_000  # values in an answer; one takes up to 100 bytes
LARGE = 1024 * 1024  # bytes in memory; larger answers are held one at a time
ROOM_PATIENCE = 60.0  # seconds to wait for other large answers
GRACE, LEAST_RATE = 60.0, 16 * 1024  # seconds for an answer, and the minimum bytes per second after them
_CONTAINER, _VALUE = 64, 32  # minimum bytes in memory of each piece
FEW = 16 * 1024  # bytes; smaller answers are not counted
_PIECES, _PIECE = 100_000, 64  # maximum pieces of an answer, unless their average size is at least this many bytes
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_DECODED = 256 * 1024  # bytes that are decoded at once
_MAX_MEMBERS = 1000  # maximum members of a gzip file
_GZIP = b"\x1f\x8b"


class TooMuch(Exception):  # noqa: N818 - its text is shown after the function's name
    """An answer exceeds a limit, which the text names."""


class Garbled(Exception):  # noqa: N818 - as above
    """An answer has an invalid or unsupported Content-Encoding."""


class Room:
    """Admits one large answer at a time, from reading until its data has been passed on. Thread-safe. `enter` and
    `leave` may be nested; the outermost `leave` admits the next answer.
    """

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._mine = _ThreadState()

    def enter(self) -> None:
        self._mine.depth += 1

    def leave(self) -> None:
        mine = self._mine
        mine.depth -= 1
        if mine.held and not mine.depth:
            mine.held = False
            self._free.release()

    @property
    def is_held(self) -> bool:
        """Whether this thread holds a large answer."""
        return self._mine.held

    def take(self) -> None:
        """Wait until no other thread holds a large answer. Call this only between `enter` and `leave`."""
        if not self._mine.held:
            if not self._free.acquire(timeout=ROOM_PATIENCE):
                raise TooMuch("the answer is large, and other large answers are being read")
            self._mine.held = True


class _ThreadState(threading.local):
    depth = 0
    held = False


def gathered(pieces: Iterable[bytes], most: int, room: Room | None = None, *, cut: bool = False) -> bytes:
    """The pieces joined. Raises `TooMuch` for more than ``most`` bytes; with ``cut``, returns the first ``most`` bytes
    instead. Raises a TimeoutError if the pieces arrive too slowly.
    """
    began = time.monotonic()
    found: bytes | bytearray = b""
    for count, piece in enumerate(pieces, 1):
        if not found:
            found = piece
        else:
            found = bytearray(found) if isinstance(found, bytes) else found
            found += piece
        if count > 1 and time.monotonic() - began > GRACE + len(found) / LEAST_RATE:
            raise TimeoutError("the answer arrives too slowly")
        if len(found) > most:
            if cut:
                return bytes(found[:most])
            raise TooMuch(f"the answer is longer than {most} bytes")
        if count > _PIECES and len(found) < count * _PIECE:
            raise TooMuch(f"the answer has more than {_PIECES} tiny pieces")
        if room and len(found) > LARGE:
            room.take()
    return bytes(found)


def check_values(body: bytes, room: Room | None = None) -> None:
    """Raise `TooMuch` for JSON with too many values, before it is decoded."""
    if len(body) <= FEW:
        return
    containers, values = _counts(body)
    if containers > MAX_CONTAINERS or values > MAX_VALUES:
        containers, values = _counts(_STRING.sub(b"", body))  # commas and brackets in strings do not count
        if containers > MAX_CONTAINERS:
            raise TooMuch(f"the answer has more than {MAX_CONTAINERS} objects and lists")
        if values > MAX_VALUES:
            raise TooMuch(f"the answer has more than {MAX_VALUES} values")
    if room and len(body) + _CONTAINER * containers + _VALUE * values > LARGE:
        room.take()


def _counts(body: bytes) -> tuple[int, int]:
    containers = body.count(b"{") + body.count(b"[")
    return containers, containers + body.count(b",")


# Content-Encoding -------------------------------------------------------------------------------------------------


def decoded(pieces: Iterable[bytes], headers: Mapping[str, str]) -> Iterator[bytes]:
    """The content, decoded from gzip or deflate. Raises `Garbled` for other codings."""
    coding = headers.get("content-encoding", "").strip()
    match coding.lower():
        case "" | "identity":
            return iter(pieces)
        case "gzip" | "x-gzip":
            return _inflated(pieces, _Gzip())
        case "deflate":
            return _inflated(pieces, _Deflate())
    raise Garbled(f"unsupported Content-Encoding {coding[:60]!a}")


def _inflated(pieces: Iterable[bytes], decoder: _Gzip | _Deflate) -> Iterator[bytes]:
    try:
        for piece in pieces:
            for start in range(0, len(piece), _DECODED):  # zlib copies the unused rest of each piece
                yield from decoder.feed(piece[start : start + _DECODED])
    except zlib.error as error:
        raise Garbled(f"cannot decompress the answer: {error}") from None
    if not decoder.complete:
        raise Garbled("the compressed answer is truncated")


class _Gzip:
    """A gzip file with one or more members; data after the last member is ignored, as gzip does."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._members = 1
        self._begun = self._over = False
        self._head = b""  # bytes after a member, until it is clear whether another begins

    @property
    def complete(self) -> bool:
        return self._over or self._member.eof or not self._begun

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(piece)
        while piece and not self._over:
            if self._member.eof:
                piece = self._next(piece)
                continue
            yield from _pieces(self._member, piece)
            piece = self._member.unused_data

    def _next(self, piece: bytes) -> bytes:
        head = self._head + piece
        if len(head) < len(_GZIP):
            self._head = head
            return b""
        self._head, self._members = b"", self._members + 1
        self._over = not head.startswith(_GZIP) or self._members > _MAX_MEMBERS
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return head


class _Deflate:
    """The zlib format of the standard, or raw deflate, which some servers send."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._stream is None or self._stream.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if not piece:
            return
        if self._stream is None:
            is_zlib = piece[0] & 15 == 8 and piece[0] >> 4 <= 7  # noqa: PLR2004 - RFC 1950, 2.2: method, window
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        if not self._stream.eof:
            yield from _pieces(self._stream, piece)


def _pieces(stream: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """The decompressed content of a piece, in bounded parts."""
    while piece and not stream.eof:
        found = stream.decompress(piece, _DECODED)
        if found:
            yield found
        piece = stream.unconsumed_tail
        if len(found) == _DECODED and not piece:  # the window may hold more
            while more := stream.decompress(b"", _DECODED):
                yield more
