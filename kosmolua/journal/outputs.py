"""The output files of a run, kept next to its journal: content by SHA-256, and an index of the URLs it came from.

The API removes outputs an hour after their prediction ended. A file is complete and on disk before its line is in the
index, so a killed process leaves no partial entry. Only the owner can read the directory.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import msgspec
from msgspec import Struct

from kosmolua.errors import JournalError
from kosmolua.settings import paths

INDEX = "index"
MAX_INDEX = 64 * 1024 * 1024  # bytes of an index that are read
_PART = ".part"
_OURS = re.compile(rf"[0-9a-f]{{64}}|\.[0-9a-f]{{12}}{re.escape(_PART)}|{INDEX}|{paths.SAVED}")


class OutputBounds(Struct, frozen=True):
    """Maximum bytes: of one file, and of all files of a journal."""

    file: int = 256 * 1024 * 1024
    all: int = 2 * 1024 * 1024 * 1024


class Output(Struct, frozen=True):
    """A kept file: its URL, digest, size and type, when it was kept and, if known, when it was made, in Unix
    seconds.
    """

    url: str
    sha256: str
    size: int
    type: str
    at: float
    made: float | None = None


class Outputs:
    """The outputs of one journal, for the process that holds the journal and any number of its threads."""

    def __init__(self, journal: str, bounds: OutputBounds | None = None) -> None:
        self.directory = paths.outputs_of(journal)
        self.bounds = bounds or OutputBounds()
        self._lock = threading.Lock()
        self._known: dict[str, Output] = {}
        self._load()
        self._size = sum(size for name, size in self._files() if len(name) == hashlib.sha256().digest_size * 2)

    def find(self, url: str) -> Output | None:
        """The file that was at that URL, if it is kept."""
        found = self._known.get(url)
        with suppress(OSError):
            if found and os.stat(self.path_of(found)).st_size == found.size:
                return found
        return None

    def path_of(self, output: Output) -> str:
        return os.path.join(self.directory, output.sha256)

    @property
    def room(self) -> int:
        """The maximum number of bytes that the next file may have."""
        return max(0, min(self.bounds.file, self.bounds.all - self._size))

    @contextmanager
    def begin(self) -> Iterator[tuple[BinaryIO, str]]:
        """A temporary file to write to, and its name. `keep` moves the file to its final place; otherwise it is
        deleted.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        path = os.path.join(self.directory, f".{os.urandom(6).hex()}{_PART}")
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as opened:
                yield opened, path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def keep(self, part: str, url: str, sha256: str, size: int, kind: str, made: float | None) -> None:
        """Keep a complete file as the content of the URL. ``kind`` is its content type."""
        output = Output(url, sha256, size, kind, time.time(), made)
        with self._lock:
            place = self.path_of(output)
            if not os.path.exists(place):
                self._size += output.size
            os.replace(part, place)
            self._append(msgspec.json.encode(output) + b"\n")
            self._known[output.url] = output

    def _append(self, line: bytes) -> None:
        path = os.path.join(self.directory, INDEX)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # a line that was cut off
                line = b"\n" + line
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)

    def _load(self) -> None:
        for name, _ in self._files():
            if name.endswith(_PART):  # left by a process that was killed
                with suppress(OSError):
                    os.unlink(os.path.join(self.directory, name))
        with suppress(OSError), open(os.path.join(self.directory, INDEX), "rb") as file:
            for line in file.read(MAX_INDEX).splitlines():
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    output = msgspec.json.decode(line, type=Output)
                    if re.fullmatch("[0-9a-f]{64}", output.sha256):  # the digest becomes part of a path
                        self._known[output.url] = output

    def _files(self) -> list[tuple[str, int]]:
        with suppress(OSError), os.scandir(self.directory) as entries:
            return [(entry.name, entry.stat(follow_symlinks=False).st_size) for entry in entries]
        return []


def count(journal: str) -> int:
    """How many files are kept next to a journal."""
    directory = paths.outputs_of(journal)
    with suppress(OSError):
        return sum(re.fullmatch("[0-9a-f]{64}", name) is not None for name in os.listdir(directory))
    return 0


def remove(journal: str) -> None:
    """Delete the files kept next to a journal, and no others. Raises an OSError."""
    directory = paths.outputs_of(journal)
    if os.path.islink(directory) or not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        if _OURS.fullmatch(name):
            os.unlink(os.path.join(directory, name))
    with suppress(OSError):  # the directory has other files
        os.rmdir(directory)


def move(journal: str, to: str) -> None:
    """Move the kept files after their journal was moved. Raises a `JournalError`."""
    before, after = paths.outputs_of(journal), paths.outputs_of(to)
    try:
        with suppress(FileNotFoundError):
            os.rename(before, after)
    except OSError as error:
        raise JournalError(f"cannot move {before} to {after}: {error.strerror}") from None
