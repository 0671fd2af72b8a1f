"""The file that keeps the modules of ``lua/`` as bytecode, and the checks that nobody else has written it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

NONE, MAKE = "none", "make"  # first argument of the child, if it is not a descriptor
MADE = b"modules "  # prefix of the frame with new bytecode, which a child sends before its greeting
DIRECTORY = "lua"
_MOST = 8  # the maximum number of files, for installations that share the directory
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BytecodeFile:
    """The file of this installation below a cache directory. Every failure counts as a missing file."""

    def __init__(self, cache: str) -> None:
        self._cache = cache
        package = os.stat(_PACKAGE)
        self._name = f"{package.st_dev:x}-{package.st_ino:x}.bytecode"

    def open(self) -> int | None:
        """A descriptor of the file; None if the file is missing or others may have written it."""
        with suppress(OSError):
            directory = self._directory()
            try:
                return self._opened(directory)
            finally:
                os.close(directory)
        return None

    def store(self, content: bytes) -> None:
        """Replace the file atomically."""
        with suppress(OSError):
            directory = self._directory()
            try:
                self._write(directory, content)
                self._prune(directory)
            finally:
                os.close(directory)

    def _directory(self) -> int:
        """The directory, created if necessary. Only this user owns it and can enter it."""
        path = os.path.join(self._cache, DIRECTORY)
        with suppress(FileExistsError):
            os.makedirs(path, mode=0o700)
        opened = os.open(path, _READ | os.O_DIRECTORY)
        try:
            _claim(opened)
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _opened(self, directory: int) -> int:
        opened = os.open(self._name, _READ | os.O_NONBLOCK, dir_fd=directory)
        if not _is_own(os.fstat(opened)):
            os.close(opened)
            raise PermissionError(self._name)
        return opened

    def _write(self, directory: int, content: bytes) -> None:
        new = f"{self._name}.{os.getpid()}.{os.urandom(4).hex()}.new"
        with open(os.open(new, _NEW, 0o600, dir_fd=directory), "wb") as file:
            file.write(content)
        os.replace(new, self._name, src_dir_fd=directory, dst_dir_fd=directory)

    def _prune(self, directory: int) -> None:
        """Delete the oldest files of other installations if there are too many."""
        names = os.listdir(directory)
        if len(names) > _MOST:
            names.sort(key=lambda name: os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime)
            for name in names[:-_MOST]:
                os.unlink(name, dir_fd=directory)


def _claim(directory: int) -> None:
    """Delete files that others may have written. Raises a PermissionError if the directory belongs to another user."""
    found = os.fstat(directory)
    if found.st_uid != os.geteuid():
        raise PermissionError
    if stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004 - a mode
        os.fchmod(directory, 0o700)
        for name in os.listdir(directory):
            os.unlink(name, dir_fd=directory)


def _is_own(found: os.stat_result) -> bool:
    """Whether this is a regular file with a single hard link that only this user can read or write."""
    regular = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return regular and found.st_uid == os.geteuid() and not found.st_mode & 0o077
