"""One connection to an origin: sends a request, and reads its answer piece by piece."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from kosmolua.replicate.body import GRACE
from kosmolua.replicate.head import MAX_HEAD, Head, invalid, parse
from kosmolua.replicate.wire import Origin, Request, WireError

if TYPE_CHECKING:
    import ssl

PIECE = 256 * 1024  # bytes of one read of a body
# Milliseconds for which the kernel resends unacknowledged data. After that no part of a request can arrive, which
# the search for results of interrupted calls relies on.
UNACKNOWLEDGED = 20_000
_HEAD_PIECE = 64 * 1024
_SMALL = 32 * 1024  # a body up to this size is sent together with its head
_END = b"\r\n\r\n"
_OVERHEAD = 1 << 20  # bytes by which chunk lines may exceed eight times the body
_TOO_LONG = "the answer took too long"


class Connection:
    """A connected socket. ``since`` is when it was last used, by time.monotonic.

    A plain socket blocks with the kernel's time-outs, which saves a poll per read; TLS sockets use Python's time-outs.
    """

    def __init__(self, sock: socket.socket, *, secure: bool) -> None:
        self.since = 0.0
        self._sock = sock
        self._secure = secure
        self._timeout: float | None = None
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        if not secure:
            sock.settimeout(None)

    def is_quiet(self) -> bool:
        """Whether there is nothing to read: neither the end of the connection nor unexpected bytes."""
        return not self._buffer and not self._poll.poll(0)

    def send(self, head: bytes, request: Request) -> None:
        """Send a request. Raises a `WireError`; part of the request may have been sent by then."""
        self._limit(request.timeout)
        body = request.body
        # A server that refuses an upload may answer and hang up before it has read everything; if there is no answer,
        # reading it fails. The connection is not used again, since it polls as readable.
        try:
            if body is None:
                self._sock.sendall(head)
            elif isinstance(body, bytes):
                self._send_bytes(head, body)
            else:
                self._sock.sendall(head)
                for piece in body.pieces():
                    self._sock.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except (BlockingIOError, TimeoutError):
            raise WireError("sending took too long", sent=True) from None
        except OSError as error:
            raise lost(error) from None

    def read_head(self) -> Head:
        """The head of the answer; informational answers are skipped. Raises a `WireError`."""
        skipped = 0
        while True:
            raw = self._raw_head()
            head = parse(raw)
            if head is not None:
                return head
            skipped += len(raw)
            if skipped > MAX_HEAD:
                raise invalid(f"more than {MAX_HEAD} bytes of informational answers")

    def whole_body(self, head: Head) -> bytes | None:
        """The body if it arrived with the head and nothing follows; None if it has to be read."""
        if head.framing != "length" or len(self._buffer) != head.length:
            return None
        body, self._buffer = self._buffer, b""
        return body

    def read_body(self, head: Head) -> Iterator[bytes]:
        """The body, still encoded. Raises a `WireError` if it is truncated."""
        match head.framing:
            case "length":
                return self._by_length(head.length)
            case "chunked":
                return self._by_chunks(head)
            case "close":
                return self._by_close()
        return iter(())

    def close(self) -> None:
        self._sock.close()

    def abort(self) -> None:
        """Close the connection, even while another thread reads from it; that read then ends."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    # Reading --------------------------------------------------------------------------------------------------------

    def _raw_head(self) -> bytes:
        data = self._buffer or self._receive(_HEAD_PIECE)
        if not data:
            raise WireError("the server closed the connection without an answer", sent=True)
        end = data.find(_END)
        if end < 0:
            data, end = self._rest_of_head(data)
        end += len(_END)
        if end > MAX_HEAD:
            raise invalid(f"its head has more than {MAX_HEAD} bytes")
        self._buffer = data[end:]
        return data[:end]

    def _rest_of_head(self, data: bytes) -> tuple[bytes, int]:
        """A head that did not arrive at once, and its length without the empty line."""
        until, searched = time.monotonic() + GRACE, 0
        while (end := data.find(_END, searched)) < 0:
            if len(data) > MAX_HEAD:
                raise invalid(f"its head has more than {MAX_HEAD} bytes")
            if (
                data.startswith(b"\n")
                or b"\n\n" in data
                or b"\n\r\n" in data
                or not data.startswith(b"HTTP/"[: len(data)])
            ):
                parse(data + _END)  # raises an error that names the problem
                raise invalid("lines end with a bare LF")
            piece = self._receive(_HEAD_PIECE)
            if not piece:
                raise _cut_off()
            if time.monotonic() > until:
                raise WireError("the answer arrives too slowly", sent=True)
            searched = max(0, len(data) - len(_END))
            data += piece
        return data, end

    def _by_length(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._taken(left) or self._receive(min(left, PIECE))
            if not piece:
                raise _cut_off()
            left -= len(piece)
            yield piece

    def _by_chunks(self, head: Head) -> Iterator[bytes]:
        chunks, overhead, body = head.chunks, 0, 0
        while chunks and not chunks.over:
            data = self._taken(PIECE) or self._receive(PIECE)
            if not data:
                raise _cut_off()
            piece = chunks.decoded(data)
            body += len(piece)
            overhead += len(data) - len(piece)
            if overhead > _OVERHEAD + 8 * body:
                raise invalid("tiny chunks")
            if chunks.surplus:
                head.keep = False
            if piece:
                yield piece

    def _by_close(self) -> Iterator[bytes]:
        while piece := self._taken(PIECE) or self._receive(PIECE):
            yield piece

    def _taken(self, most: int) -> bytes:
        """Up to ``most`` bytes that arrived with the head."""
        taken, self._buffer = self._buffer[:most], self._buffer[most:]
        return taken

    def _receive(self, most: int) -> bytes:
        try:
            return self._sock.recv(most)
        except (BlockingIOError, TimeoutError):
            raise WireError(_TOO_LONG, sent=True) from None
        except OSError as error:
            raise lost(error) from None

    # Sending --------------------------------------------------------------------------------------------------------

    def _send_bytes(self, head: bytes, body: bytes) -> None:
        if len(body) <= _SMALL:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)

    def _limit(self, seconds: float) -> None:
        if seconds == self._timeout:
            return
        self._timeout = seconds
        if self._secure:
            self._sock.settimeout(seconds)
            return
        whole, fraction = divmod(seconds, 1)
        limit = struct.pack("ll", int(whole), int(fraction * 1_000_000))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def connected(origin: Origin, seconds: float, context: ssl.SSLContext | None) -> Connection:
    """A new connection, verified by ``context`` if the origin is https. Raises a `WireError` with ``sent`` False."""
    deadline = time.monotonic() + seconds
    try:
        host: str | bytes = origin.host.encode() if origin.host.isascii() else origin.host  # bytes skip IDNA: 1 ms
        sock = socket.create_connection((host, origin.port), seconds)  # type: ignore[arg-type]
    except TimeoutError:
        raise WireError("connecting took too long", sent=False) from None
    except OSError as error:
        final = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        raise WireError(words(error), sent=False, final=final) from error
    except UnicodeError:  # a host name that IDNA cannot encode
        raise WireError(f"{origin.host[:100]!a} is not a valid host name", sent=False, final=True) from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
        if context is None:
            return Connection(sock, secure=False)
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        return Connection(context.wrap_socket(sock, server_hostname=origin.host), secure=True)
    except BaseException as error:
        sock.close()
        raise _unconnected(error) from error


def lost(error: OSError) -> WireError:
    return WireError(words(error), sent=True)


def words(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _unconnected(error: BaseException) -> BaseException:
    """Convert a TLS handshake failure, before any byte of the request was sent; other errors are unchanged."""
    if isinstance(error, TimeoutError):
        return WireError("connecting took too long", sent=False)
    if not isinstance(error, OSError | ValueError):
        return error
    return WireError(words(error), sent=False, untrusted=type(error).__name__ == "SSLCertVerificationError")


def _cut_off() -> WireError:
    return WireError("the server closed the connection in the middle of its answer", sent=True)
