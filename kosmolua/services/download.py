"""Download of one file: resumed after a lost connection, and checked before the file gets its name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from msgspec import Struct

from kosmolua.errors import TransportError

if TYPE_CHECKING:
    from kosmolua.replicate.transfer import Opened

ATTEMPTS = 5  # consecutive attempts without a byte
PER_ATTEMPT = (
    256 * 1024
)  # bytes after which an attempt does not count, to give up on a server that closes after each byte
GRACE, LEAST_RATE = 60.0, 1024  # seconds, and the minimum bytes per second after them
FIRST_DELAY = 0.25  # seconds; doubled after each attempt
_PARTIAL = 206
_LENGTH = re.compile(r"[0-9]{1,18}")

Open = Callable[[Mapping[str, str]], "Opened"]
"""Opens the transfer; takes the arguments besides the URL: `range` and `if_range`."""


class Fetched(Struct, frozen=True):
    """A finished download. ``size`` is in bytes."""

    size: int
    sha256: str
    content_type: str


class Download:
    """One download into ``file``, from its start. ``progress`` gets bytes received, and total bytes if known."""

    def __init__(
        self,
        file: BinaryIO,
        progress: Callable[[int, int | None], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._attempts = attempts
        self._now = now
        self._file = file
        self._progress = progress or (lambda _received, _total: None)
        self._sleep = sleep
        self._received = 0
        self._total: int | None = None
        self._mark: str | None = None  # the ETag that a range request requires
        self._sha256 = hashlib.sha256()
        self._md5: Any = None  # computed only if the server sends an MD5, since it adds half to the time

    def fetch(self, begin: Open, sha256: str | None = None) -> Fetched:
        """Download everything. Raises what ``begin`` raises, and a `TransportError` for an incomplete download."""
        fruitless = attempts = 0
        while True:
            before, attempts = self._received, attempts + 1
            try:
                opened = begin(self._rest())
                self._take(opened)
                break
            except TransportError:
                fruitless = 0 if self._received > before else fruitless + 1
                if fruitless == self._attempts or attempts > self._attempts + self._received / PER_ATTEMPT:
                    raise
                self._sleep(FIRST_DELAY * 2**fruitless)
        self._check(opened.headers, sha256)
        return Fetched(self._received, self._sha256.hexdigest(), opened.headers.get("content-type", ""))

    def _rest(self) -> dict[str, str]:
        """The arguments that request the missing part, if the server supports ranges."""
        if not self._received or not self._mark:
            return {}
        return {"range": f"bytes={self._received}-", "if_range": self._mark}

    def _take(self, opened: Opened) -> None:
        if opened.status != _PARTIAL or not self._continues(opened):
            self._start_over(opened.headers)
        if "content-encoding" not in opened.headers:
            length = opened.headers.get("content-length", "")
            self._total = self._received + int(length) if _LENGTH.fullmatch(length) else None
            etag = opened.headers.get("etag", "")
            self._mark = etag if etag.startswith('"') else None  # a weak ETag does not guarantee equal bytes
        began, before = self._now(), self._received
        for piece in opened:
            self._file.write(piece)
            self._received += len(piece)
            if self._now() - began > GRACE + (self._received - before) / LEAST_RATE:
                opened.close()
                raise TransportError(f"download: the server sent fewer than {LEAST_RATE} bytes per second")
            self._sha256.update(piece)
            if self._md5:
                self._md5.update(piece)
            self._progress(self._received, self._total)
        if self._total is not None and self._received != self._total:
            raise TransportError(f"download: received {self._received} of {self._total} bytes")

    def _continues(self, opened: Opened) -> bool:
        if opened.headers.get("content-range", "").startswith(f"bytes {self._received}-"):
            return True
        opened.close()
        self._mark = None
        raise TransportError("download: the server sent a different range than requested")

    def _start_over(self, headers: Mapping[str, str]) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if _md5(headers) else None

    def _check(self, headers: Mapping[str, str], sha256: str | None) -> None:
        """Compare what was written with every known checksum."""
        found = {"sha256": self._sha256.hexdigest(), "md5": self._md5.hexdigest() if self._md5 else ""}
        told = _md5(headers) if self._md5 and "content-encoding" not in headers else None
        known = {"sha256": sha256 and sha256.lower(), "md5": told}
        for name, expected in known.items():
            if expected and expected != found[name]:
                raise TransportError(
                    f"download: expected {name} {expected}, got {found[name]}; the file was discarded",
                    hint="try again",
                )


def _md5(headers: Mapping[str, str]) -> str | None:
    """The MD5 checksum in an answer's headers, in hexadecimal."""
    values = (item.strip().removeprefix("md5=") for item in headers.get("x-goog-hash", "").split(",") if "md5=" in item)
    text = next(values, headers.get("content-md5", ""))
    try:
        return base64.b64decode(text, validate=True).hex() or None
    except binascii.Error:
        return None
