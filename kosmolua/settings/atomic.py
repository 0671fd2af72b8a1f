"""Changes a file so that nobody sees half of it, and so that of two who change it at once neither is lost."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kosmolua.errors import ConfigurationError


def rewrite(path: str, change: Callable[[bytes], bytes]) -> None:
    """Replace a file's content by what ``change`` makes of it; a file that is not there is empty.

    The file is its owner's alone where it is new, and keeps its mode where it is not. What ``change`` raises leaves
    it as it was. Raises a `ConfigurationError` where the file cannot be written.
    """
    path = os.path.realpath(path)  # a link, as those who keep such files elsewhere have, stays one
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with _locked(path):
            old, mode = _content(path)
            new = change(old)
            if new != old or mode is None:
                replace(path, new, mode or 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check who owns the directory, and that the disk has room"
        ) from None


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Alone, for as long as it takes. The lock is a file beside: the file itself is replaced."""
    directory, name = os.path.split(path)
    lock = os.open(os.path.join(directory, f".{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _content(path: str) -> tuple[bytes, int | None]:
    try:
        with open(path, "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mode & 0o777
    except FileNotFoundError:
        return b"", None


def replace(path: str, content: bytes, mode: int) -> None:
    """Write a file whole, or not at all. Raises an OSError."""
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
