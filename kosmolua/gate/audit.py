"""The record of every call that was decided, over all runs: ``audit.jsonl`` in the state directory.

Who called what, on which account, what was decided by which rule, and what came of it; no inputs, no answers, no
secrets. The file is its owner's alone. Full, it becomes ``audit.jsonl.1``, and the oldest of several goes.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.session import Entry

NAME = "audit.jsonl"
MAX_SIZE = 10 * 1024 * 1024  # bytes
KEPT = 5  # files beside the one that is written to
LOOKS = 160  # how often its size is looked at while one process fills it


class Origin(Struct, frozen=True, omit_defaults=True):
    """What all calls of a run have in common. ``digest`` is that of the script's text."""

    run: str
    script: str | None = None
    digest: str | None = None
    emulated: bool = False


class Audit:
    """Appends entries to the file, whole lines with each write, so that those of many processes stay whole.

    Where it cannot, ``warn`` is told why, once, and the calls go on.
    """

    def __init__(self, path: str, origin: Origin, warn: Callable[[str], None], max_size: int = MAX_SIZE) -> None:
        self._path = path
        self._head = msgspec.json.encode(origin)[:-1] + b","
        self._warn = warn
        self._max_size = max_size
        self._file: int | None = None
        self._unseen = max_size  # bytes that may have been written since its size was looked at
        self._failed = False
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()

    def write(self, entry: Entry) -> None:
        """Append one call. For any number of threads: who comes while another writes leaves the line to that one."""
        self._lines.append(self._head + msgspec.json.encode(entry)[1:] + b"\n")
        while self._lines and self._lock.acquire(blocking=False):
            try:
                self._put([self._lines.popleft() for _ in range(len(self._lines))])
            finally:
                self._lock.release()

    def _put(self, lines: list[bytes]) -> None:
        if self._failed:
            return
        try:
            file = self._open() if self._file is None else self._file
            if self._unseen >= self._max_size // LOOKS:
                self._unseen = 0
                if os.fstat(file).st_size >= self._max_size:
                    file = self._rotate(file)
            self._unseen += os.write(file, b"".join(lines))
        except OSError as error:
            self._failed = True
            self._warn(f"calls are not recorded: cannot write {self._path}: {error.strerror}")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        opened = os.open(self._path, flags, 0o600)
        os.fchmod(opened, 0o600)
        self._close()
        self._file, self._unseen = opened, self._max_size
        return opened

    def _rotate(self, file: int) -> int:
        """Make room, unless another process has done so meanwhile."""
        with open(f"{self._path}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_current(file):
                for number in range(KEPT, 0, -1):
                    older = f"{self._path}.{number}"
                    newer = f"{self._path}.{number - 1}" if number > 1 else self._path
                    if os.path.exists(newer):
                        os.replace(newer, older)
            return self._open()  # under the lock, so that whoever has it next finds the new file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:  # somebody took it away
            return False


def file_of(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), NAME)


def read(path: str) -> Iterator[dict[str, Any]]:
    """Every entry, oldest first. What is no entry, such as a line that was cut, is passed over."""
    for file in (*(f"{path}.{number}" for number in range(KEPT, 0, -1)), path):
        try:
            with open(file, "rb") as opened:
                yield from filter(None, map(_entry, opened))
        except FileNotFoundError:
            continue


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("at"), int | float) else None
