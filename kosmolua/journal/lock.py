"""Allows one writer per file, by a lock file next to it that names the process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from kosmolua.errors import JournalError, UsageError


class Holder:
    """Holds ``path`` until `close`. Raises a `JournalError` that names the process that holds it."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}-lock"
        try:
            self._file = self._take(path)
        except OSError as error:
            raise UsageError(
                f"cannot write {self._path}: {error.strerror}", hint="choose a path in a writable directory"
            ) from None

    def close(self) -> None:
        """Release the lock. Its file is removed while it is still held, so that no process locks a removed file."""
        if self._file is not None:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._file)
            self._file = None

    def _take(self, path: str) -> int | None:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                who = os.pread(file, 20, 0).decode(errors="replace").strip() or "unknown"
                os.close(file)
                raise _held(path, who) from None
            if _is_there(self._path, file):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return file
            os.close(file)


def holder_of(path: str) -> int | None:
    """The process that holds the lock now."""
    try:
        file = os.open(f"{path}-lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.pread(file, 20, 0).strip()
        return int(who) if who.isdigit() else 0
    finally:
        os.close(file)
    return None


def _is_there(path: str, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _held(path: str, who: str) -> JournalError:
    return JournalError(
        f"another run holds the journal {path}: process {who}", hint="wait for it to end, or choose another journal"
    )
