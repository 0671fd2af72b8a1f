"""The files that a run has written, which it may overwrite by default.

A file is identified by path, device and inode, noted before it gets its name. With a record, a file of JSON lines next
to the journal, a resumed run also knows the files that the run wrote before it was killed.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import msgspec
from msgspec import Struct

MAX_RECORD = 64 * 1024 * 1024  # bytes of a record that are read


class _Note(Struct, frozen=True):
    path: str
    device: int
    inode: int
    source: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        return self.path, self.device, self.inode


class WrittenFiles:
    """The written files, each with a digest of its source. Thread-safe."""

    def __init__(self, record: str | None = None) -> None:
        self._record = record
        self._lock = threading.Lock()
        self._sources: dict[tuple[str, int, int], str] = {}
        if record:
            self._load(record)

    def note(self, path: str, found: os.stat_result, source: str) -> None:
        """Note a file before it gets its name. Raises an OSError if the record cannot be written."""
        note = _Note(path, found.st_dev, found.st_ino, digest_of(source))
        with self._lock:
            self._sources[note.key] = note.source
            if self._record:
                os.makedirs(os.path.dirname(self._record), mode=0o700, exist_ok=True)
                _append(self._record, msgspec.json.encode(note) + b"\n")

    def has(self, path: str, found: os.stat_result, source: str | None = None) -> bool:
        """Whether this run wrote the file; with a ``source``, whether it wrote it from that source."""
        known = self._sources.get((path, found.st_dev, found.st_ino))
        return known is not None and (source is None or known == digest_of(source))

    def _load(self, record: str) -> None:
        with suppress(OSError), open(record, "rb") as file:
            for line in file.read(MAX_RECORD).splitlines():
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # a truncated line
                    note = msgspec.json.decode(line, type=_Note)
                    self._sources[note.key] = note.source


def digest_of(source: str) -> str:
    import hashlib  # loads OpenSSL: 3 ms

    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def _append(path: str, line: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)
