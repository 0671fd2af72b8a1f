"""HTTP server for the emulator: one thread for each connection, with keep-alive.

werkzeug's server closes the connection after every answer, but most clients keep connections open, and the fault
``drop`` needs one.
"""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from ssl import SSLError
from typing import IO, TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import DechunkedInput
from werkzeug.wsgi import LimitedStream

from kosmolua.emulator import tunnel

if TYPE_CHECKING:
    from ssl import SSLContext

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Application(Protocol):
    """What can be served: the emulator, the player of a cassette, or a recorder."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]: ...

    def close(self) -> None: ...


# The most bytes of a rejected upload that are read, so that the client can read the error.
MOST_DISCARDED = 256 * 1024 * 1024


class _Server(ThreadingMixIn, TCPServer):
    # Not http.server.HTTPServer, which looks up the host name first.
    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = True
    # A thread may wait up to a minute with a delayed answer; closing does not wait for the thread.
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        application: WSGIApplication,
        secure: SSLContext | None = None,
        proxied: SSLContext | None = None,
    ) -> None:
        super().__init__(address, _Connection)
        self.application, self.proxied = application, proxied
        self.scheme = "https" if secure else "http"
        if secure:
            # The handshake is done by the connection's own thread, with its first read.
            self.socket = secure.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else host
        return f"{self.scheme}://{f'[{name}]' if ':' in name else name}:{port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Lost clients are not errors.
        if not isinstance(sys.exception(), ConnectionError | SSLError):
            super().handle_error(request, client_address)


class _ChunkedBody(DechunkedInput):
    """A body in chunks. One that is malformed ends the connection."""

    def readinto(self, buf: bytearray) -> int:  # type: ignore[override]
        try:
            return super().readinto(buf)
        except OSError as error:
            raise ConnectionAbortedError(str(error)) from None


class _Connection(BaseHTTPRequestHandler):
    """One connection, with any number of sequential requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def __getattr__(self, name: str) -> Any:
        # http.server looks for do_GET, do_QUERY and so on; the application handles every method.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def setup(self) -> None:
        super().setup()
        self.scheme = cast("_Server", self.server).scheme

    def finish(self) -> None:
        # Close the socket even if the client has disconnected and data is unsent.
        with contextlib.suppress(ConnectionError, SSLError):
            super().finish()
        self.rfile.close()
        if self.connection is not self.request:  # inside a tunnel
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in http.server
        """Log nothing: the output is for the line with the URL."""

    def do_CONNECT(self) -> None:
        context = None if self.scheme == "https" else cast("_Server", self.server).proxied
        reason = tunnel.refusal(self.path, context)
        self.close_connection = True
        if context is None or reason:
            self.send_response_only(403, reason)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with contextlib.suppress(OSError):  # a client that does not trust the certificate
            tunnel.enter(self, context)
            self.scheme = "https"

    def _serve(self) -> None:
        body = self._body()
        answer = _Answer(self)
        try:
            application = cast("_Server", self.server).application
            answer.send(application(self._environ(body), answer.start))
        except (ConnectionError, ClientDisconnected):
            # Dropped by a fault or by the client: end the connection.
            self.close_connection = True
            return
        self._discard(body)

    def _body(self) -> io.RawIOBase:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return _ChunkedBody(cast("IO[bytes]", self.rfile))
        length = self.headers.get("Content-Length", "0")
        return LimitedStream(cast("IO[bytes]", self.rfile), int(length) if length.isdecimal() else 0)

    def _discard(self, body: io.RawIOBase) -> None:
        discarded = 0
        with contextlib.suppress(Exception):
            while block := body.read(64 * 1024):
                discarded += len(block)
                if discarded > MOST_DISCARDED:
                    break
            else:
                return
        self.close_connection = True

    def _environ(self, body: io.RawIOBase) -> WSGIEnvironment:
        path, _, query = self.path.partition("?")
        host, port = cast("_Server", self.server).server_address[:2]
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        return {
            **headers,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            # WSGI decodes the bytes of the path as Latin-1.
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }


class _Answer:
    """Writes the application's answer, chunked if its length is unknown."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._status = 200
        self._headers: list[tuple[str, str]] = []

    def start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        self._status, self._headers = int(status[:3]), headers
        return self._connection.wfile.write

    def send(self, parts: Any) -> None:
        out = self._connection.wfile
        chunked = self._send_head()
        silent = self._connection.command == "HEAD"
        try:
            for part in parts:
                if part and not silent:
                    out.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                    out.flush()
            if chunked and not silent:
                out.write(b"0\r\n\r\n")
        finally:
            # Also for an answer that is cut short.
            with contextlib.suppress(ConnectionError):
                out.flush()
            if hasattr(parts, "close"):
                parts.close()

    def _send_head(self) -> bool:
        connection = self._connection
        connection.send_response_only(self._status)
        names = {name.lower() for name, _ in self._headers}
        if "date" not in names:  # the emulator sends the Date of its own clock
            connection.send_header("Date", connection.date_time_string())
        for name, value in self._headers:
            connection.send_header(name, value)
        known = "content-length" in names
        bodiless = self._status in {204, 304}
        if not known and not bodiless:
            connection.send_header("Transfer-Encoding", "chunked")
        connection.end_headers()
        return not known and not bodiless


@contextlib.contextmanager
def running(
    application: Application,
    host: str = "127.0.0.1",
    port: int = 0,
    secure: SSLContext | None = None,
    proxied: SSLContext | None = None,
) -> Iterator[str]:
    """Serve the application in a thread inside this context, then close it. Yields its URL, ending in /v1.

    With ``secure`` the server uses HTTPS. With ``proxied``, a TLS context for the API's host name, it is also a proxy
    for that host.
    """
    with _Server((host, port), application, secure, proxied) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
            application.close()


def serve(
    application: Application,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object] | None = None,
    secure: SSLContext | None = None,
    proxied: SSLContext | None = None,
) -> None:
    """Serve until interrupted (Ctrl-C or SIGTERM). ``ready`` is called once with the URL, ending in /v1.

    Raises an OSError if the port is not available.
    """
    served = running(application, host, port, secure, proxied)
    with contextlib.suppress(KeyboardInterrupt), _interrupted_by_sigterm(), served as url:
        if ready:
            ready(url)
        threading.Event().wait()


def _interrupt(*_: object) -> None:
    # Not Event.set: the main thread may hold the event's lock at that moment.
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
