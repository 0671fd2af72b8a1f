"""The directories that a script may read from or write to. Without one it has no files at all.

A path is resolved first and then walked without following a link, so that nothing which is swapped in between leads
out of the directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

from kosmolua.errors import PermissionDeniedError, UsageError

MAX_READ = 100 * 1024 * 1024  # bytes; the API takes no larger file
MAX_PATH = 4096  # characters; no system opens a longer one, and resolving it would take for ever
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe does not wait for its other end
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """Opens a script's files. ``readable`` and ``writable`` are directories; relative paths are seen from ``base``."""

    def __init__(self, readable: Sequence[str] = (), writable: Sequence[str] = (), base: str | None = None) -> None:
        self._base = os.path.abspath(base or os.getcwd())
        self._readable = [self._directory(path, "--allow-read") for path in readable]
        self._writable = [self._directory(path, "--allow-write") for path in writable]

    def read(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """A file's content. Raises a `PermissionDeniedError` outside of the directories, a `UsageError` otherwise."""
        with _refusing(path, "read"):
            root, inside = self._resolved(path, self._readable, "read from", "--allow-read")
            with _parent(root, inside) as directory:
                return _content(path, os.open(os.path.basename(inside), _READ, dir_fd=directory), limit)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """A file to write to. It takes its name when the block ends well, and is gone when it does not."""
        with _refusing(path, "write"), ExitStack() as stack:
            root, inside = self._resolved(path, self._writable, "write to", "--allow-write")
            directory = stack.enter_context(_parent(root, inside))
            name = os.path.basename(inside)
            temporary = f".{name[:100]}.{os.urandom(6).hex()}.part"
            file = os.fdopen(os.open(temporary, _CREATE, 0o666, dir_fd=directory), "wb")
            try:
                with file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                raise

    def _directory(self, path: str, flag: str) -> str:
        real = os.path.realpath(os.path.join(self._base, os.path.expanduser(path)))
        if not os.path.isdir(real):
            raise UsageError(f"{flag}: {path!r} is no directory", hint="name one that exists")
        return real

    def _resolved(self, path: str, roots: list[str], what: str, flag: str) -> tuple[str, str]:
        """The directory that the path is in, and the way from there to it."""
        if not path or "\0" in path or len(path) > MAX_PATH:
            raise UsageError(f"expected the path of a file, got {path[:100]!r}")
        real = os.path.realpath(os.path.join(self._base, path))
        for root in roots:
            if real != root and os.path.commonpath([real, root]) == root:
                return root, os.path.relpath(real, root)
        raise PermissionDeniedError(
            f"{path!r} is in no directory that the script may {what}",
            hint=f"open one for it: {flag} DIR" + (f"; open now: {', '.join(roots)}" if roots else ""),
        )


@contextmanager
def _parent(root: str, inside: str) -> Iterator[int]:
    """The directory that holds the file, opened from the root on, one name at a time."""
    current = os.open(root, _WALK)
    try:
        for name in inside.split(os.sep)[:-1]:
            below = os.open(name, _WALK, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


@contextmanager
def _refusing(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot {what} {path!r}: {error.strerror}") from None


def _content(path: str, descriptor: int, limit: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path!r} is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UsageError(f"{path!r} is larger than {limit} bytes", hint="give the API an HTTPS URL of it instead")
    return content
