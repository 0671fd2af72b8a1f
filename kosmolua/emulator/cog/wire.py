"""HTTP to a cog server on this machine, with limits on bytes and time."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kosmolua.emulator.cog.shapes import MOST_DEPTH, is_deep
from kosmolua.errors import UsageError

LARGEST = 256 * 1024 * 1024
"""The most bytes of an answer or input, which contains its files as data URLs."""
PATIENCE = 30.0  # seconds for a short request, and between two parts of an answer
STOPPING = 5.0  # seconds for a cancel, and then for the server to become free
GRACE, LEAST_RATE = 60.0, 16 * 1024  # seconds for any answer; bytes a second that a longer answer must reach
_BLOCK = 1 << 20
_HEADERS = {"Content-Type": "application/json"}


class CogError(Exception):
    """The server cannot be reached, or does not answer as cog does."""


@dataclass(frozen=True)
class CogAnswer:
    status: int
    document: Any

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.document if isinstance(self.document, Mapping) else {}


class Wire:
    """Requests to one server. Each has its own connection, so that any thread may send one. Once an answer has begun,
    its head must arrive within ``grace`` seconds; its body gets another ``grace`` seconds plus time for its size.
    """

    def __init__(self, url: str, *, grace: float = GRACE) -> None:
        self.url, self._host, self._port = _address(url)
        self._grace = grace

    def ask(self, method: str, path: str, timeout: float = PATIENCE) -> CogAnswer:
        """Send a request that is answered quickly. Raises a CogError."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path)
            return self._read(connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def predict(self, path: str, body: bytes, *, respond_async: bool, wait: Callable[[], bool]) -> CogAnswer | None:
        """Start a prediction and wait for the answer, calling ``wait`` again and again. None if it returns False."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            connection.request("PUT", path, body, _HEADERS | ({"Prefer": "respond-async"} if respond_async else {}))
            while not _readable(connection, 0.05):
                if not wait():
                    self.stop(path.rpartition("/")[2])
                    _readable(connection, STOPPING)  # the server is free again when it answers
                    return None
            return self._read(connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def stop(self, job_id: str) -> None:
        """Cancel a job. It is not an error if the server does not know the job.

        A training is canceled below /predictions: below /trainings cog 0.16 answers 500 and continues the training.
        """
        with suppress(CogError):
            self.ask("POST", f"/predictions/{job_id}/cancel", STOPPING)

    def _read(self, connection: http.client.HTTPConnection) -> CogAnswer:
        with _ended_after(connection, self._grace):
            response = connection.getresponse()
        data, began = bytearray(), time.monotonic()
        while block := response.read1(_BLOCK):
            data += block
            if len(data) > LARGEST:
                raise CogError(f"the answer of cog at {self.url} is larger than {LARGEST >> 20} MiB")
            if time.monotonic() - began > self._grace + len(data) / LEAST_RATE:
                raise CogError(f"the answer of cog at {self.url} arrives too slowly")
        if response.length:
            raise CogError(f"the answer of cog at {self.url} broke off")
        try:
            document = msgspec.json.decode(data) if data else None
        except (ValueError, RecursionError) as error:
            raise CogError(f"the server at {self.url} is not cog: status {response.status}, not JSON") from error
        if is_deep(document):
            raise CogError(f"the answer of cog at {self.url} is nested more than {MOST_DEPTH} levels deep")
        return CogAnswer(response.status, document)

    def _gone(self, error: Exception) -> CogError:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CogError(f"cog at {self.url} does not answer: {what}")


@contextmanager
def _ended_after(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Hang up if the head of an answer, including informational answers before it, takes more than ``seconds``."""
    sock, late = connection.sock, threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():  # http.client treats a partial head as complete
        raise TimeoutError("the answer arrives too slowly")


def _readable(connection: http.client.HTTPConnection, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local or parts.scheme != "http" or parts.path.strip("/") or parts.query:
        raise UsageError(
            f"--cog: expected http:// and a loopback address, got {url}",
            hint="give the address of the cog server, such as owner/name=http://127.0.0.1:5000",
        )
    return f"http://{parts.netloc}", host, port
