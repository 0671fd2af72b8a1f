"""Changes files atomically: no reader sees a partial file, and no concurrent change is lost."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kosmolua.errors import ConfigurationError


def rewrite(path: str, change: Callable[[bytes], bytes]) -> None:
    """Replace a file's content with the result of ``change``, which gets the old content (empty for a new file).

    A new file has mode 600; an existing one keeps its mode. If ``change`` raises, the file is unchanged. Raises a
    `ConfigurationError` if the file cannot be written.
    """
    path = os.path.realpath(path)  # follow a symbolic link, which is kept
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with _locked(path):
            old, mode = _content(path)
            new = change(old)
            if new != old or mode is None:
                replace(path, new, mode or 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check the owner of the directory and the free disk space"
        ) from None


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock on a separate file, because the file itself is replaced. The holder removes that file."""
    directory, name = os.path.split(path)
    place = os.path.join(directory, f".{name}.lock")
    lock = _locked_file(place)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(place)  # while it is locked: a process that waits for it sees that it was removed
        os.close(lock)


def _locked_file(place: str) -> int:
    """The locked file at this place, created if necessary."""
    while True:
        lock = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(place, lock):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # the previous holder removed it


def _is_at(place: str, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(place), os.fstat(file))
    except FileNotFoundError:
        return False


def _content(path: str) -> tuple[bytes, int | None]:
    try:
        with open(path, "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mode & 0o777
    except FileNotFoundError:
        return b"", None


def replace(path: str, content: bytes, mode: int) -> None:
    """Write a file completely or not at all. Raises an OSError."""
    temporary = f"{path}.{os.getpid()}.new"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(opened.fileno(), mode)
            os.fsync(opened.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
