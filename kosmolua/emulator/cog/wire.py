"""HTTP to a cog server on this machine, within bounds of bytes and time."""

from __future__ import annotations

import http.client
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kosmolua.errors import UsageError

LARGEST = 256 * 1024 * 1024
"""Bytes of an answer or input: files are inside it, as data URLs."""
PATIENCE = 30.0  # seconds for short requests, and for the rest of an answer that has begun to come
STOPPING = 5.0  # seconds for a cancel, and for the server to be free again after it
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
    """Requests to one server. Each has its own connection, so that any thread may send one."""

    def __init__(self, url: str) -> None:
        self.url, self._host, self._port = _address(url)

    def ask(self, method: str, path: str, timeout: float = PATIENCE) -> CogAnswer:
        """A short request. Raises a CogError."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, path)
            return self._read(connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def predict(self, path: str, body: bytes, *, respond_async: bool, wait: Callable[[], bool]) -> CogAnswer | None:
        """Start a prediction and wait for the answer. ``wait`` is called until then; None if it says to stop."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            connection.request("PUT", path, body, _HEADERS | ({"Prefer": "respond-async"} if respond_async else {}))
            while not _readable(connection, 0.05):
                if not wait():
                    self.stop(path)
                    _readable(connection, STOPPING)  # the server is free again when it answers
                    return None
            return self._read(connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def stop(self, path: str) -> None:
        """Cancel a prediction. It is not an error if the server does not know it, or no longer does."""
        with suppress(CogError):
            self.ask("POST", f"{path}/cancel", STOPPING)

    def _read(self, connection: http.client.HTTPConnection) -> CogAnswer:
        response = connection.getresponse()
        data = bytearray()
        while block := response.read(_BLOCK):
            data += block
            if len(data) > LARGEST:
                raise CogError(f"the answer of cog at {self.url} is larger than {LARGEST >> 20} MiB")
        try:
            return CogAnswer(response.status, msgspec.json.decode(data) if data else None)
        except msgspec.DecodeError as error:
            raise CogError(f"the server at {self.url} is not cog: status {response.status}, not JSON") from error

    def _gone(self, error: Exception) -> CogError:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CogError(f"cog at {self.url} does not answer: {what}")


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
