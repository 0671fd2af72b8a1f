"""A server other than the emulator, which records requests byte by byte and returns prepared answers."""

import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Recorded:
    """A request as it was received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """A prepared answer. With ``cut``, only that many of its bytes are sent before the connection is closed; with
    ``keep``, the connection stays open."""

    status: int = 200
    body: bytes = b'{"id": "made"}'
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    keep: bool = True

    def encode(self):
        head = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
        return f"HTTP/1.1 {self.status} Some Phrase\r\n{lines}\r\n".encode() + self.body


class RecordingServer:
    """A loopback server in a thread. It uses ``answers`` in order, then ``routes`` by path, then ``default``.

    ``swallow`` makes it read that many bytes of the next connection and close without an answer.
    """

    def __init__(self):
        self.requests = []
        self.connections = 0
        self.bytes_seen = 0
        self.answers = deque()
        self.routes = {}
        self.default = Answer()
        self.swallow = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._listener.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join(5)

    def hang_up(self):
        """Close every connection, as a server does with idle connections."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, suppress(OSError):
            if self.swallow is not None:
                self._swallow(connection)
            else:
                reader = connection.makefile("rb")
                with reader:
                    while self._exchange(connection, reader):
                        pass
        self._open.discard(connection)

    def _swallow(self, connection):
        left = self.swallow
        while left > 0:
            piece = connection.recv(left)
            if not piece:
                return
            self.bytes_seen += len(piece)
            left -= len(piece)
        # Closing a connection with unread bytes resets it, which a client handles less easily than an ordinary close.

    def _exchange(self, connection, reader):
        line = reader.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        self.bytes_seen += len(line)
        while (line := reader.readline()) not in (b"\r\n", b""):
            self.bytes_seen += len(line)
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        self.bytes_seen += len(line) + len(body)
        self.requests.append(Recorded(method, target, headers, body))
        routed = self.routes.get(target.partition("?")[0], self.default)
        answer = self.answers.popleft() if self.answers else routed
        data = answer.encode()
        connection.sendall(data if answer.cut is None else data[: answer.cut])
        return answer.keep and answer.cut is None
