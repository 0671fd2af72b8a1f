"""Files while they are being written: a file appears under its name when complete, and is deleted otherwise.

On Linux an unfinished file has no name, so that even a killed process leaves nothing. If the file system does not
support that, the file is called ``.NAME.HEX.part`` until it is complete.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from kosmolua.errors import UsageError

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED: int = getattr(os, "O_TMPFILE", 0)


class Parts:
    """The files that a run is writing. After `close` no file appears. Thread-safe."""

    def __init__(self, *, unnamed: bool = True) -> None:
        self._unnamed = unnamed and bool(_UNNAMED)
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}  # temporary name -> directory
        self._closed = False

    @contextmanager
    def create(
        self,
        directory: int,
        name: str,
        choose: Callable[[], Iterable[tuple[str, bool]]] | None = None,
        note: Callable[[os.stat_result, str], None] = lambda *_: None,
    ) -> Iterator[BinaryIO]:
        """A file to write to. It appears as ``name`` in an open directory when the block succeeds.

        ``choose`` then yields the names to try instead, each with whether it may replace a file; ``note`` is called
        before each attempt. Raises a FileExistsError if no name is free.
        """
        temporary = f".{name[:100]}.{os.urandom(6).hex()}.part"
        file = self._begin(directory, temporary)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                with self._lock:
                    self.check_open()
                    for chosen, replaces in choose() if choose else [(name, True)]:
                        note(os.fstat(file.fileno()), chosen)
                        if self._publish(file, directory, temporary, chosen, replaces=replaces):
                            return
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        finally:
            self._forget(temporary)

    def close(self) -> None:
        """Delete unfinished files, from any thread."""
        with self._lock:
            self._closed = True
            left = list(self._open)
        for temporary in left:
            self._forget(temporary)

    def _begin(self, directory: int, temporary: str) -> BinaryIO:
        if self._unnamed:
            with suppress(OSError):  # the file system has no unnamed files
                file = os.open(".", os.O_WRONLY | _UNNAMED | os.O_CLOEXEC, 0o666, dir_fd=directory)
                if os.path.exists(f"/proc/self/fd/{file}"):  # needed to link the file
                    return os.fdopen(file, "wb")
                os.close(file)
        with self._lock:
            self.check_open()
            file = os.open(temporary, _CREATE, 0o666, dir_fd=directory)
            self._open[temporary] = os.dup(directory)
        return os.fdopen(file, "wb")

    def _publish(self, file: BinaryIO, directory: int, temporary: str, name: str, *, replaces: bool) -> bool:
        """Give a file its name. False if that name is taken and may not be replaced."""
        if not replaces:
            try:
                self._link(file, directory, temporary, name)
            except FileExistsError:
                return False
            except OSError:  # the file system has no hard links: an empty file reserves the name
                if not _claimed(directory, name):
                    return False
            else:
                return True
        if temporary not in self._open:
            self._link(file, directory, temporary, temporary)
            self._open[temporary] = os.dup(directory)
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        return True

    def _link(self, file: BinaryIO, directory: int, temporary: str, name: str) -> None:
        if temporary in self._open:
            os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        else:
            os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=directory, follow_symlinks=True)

    def _forget(self, temporary: str) -> None:
        with self._lock:
            directory = self._open.pop(temporary, None)
        if directory is not None:
            with suppress(OSError):  # the file was already renamed
                os.unlink(temporary, dir_fd=directory)
            os.close(directory)

    def check_open(self) -> None:
        """Raise a `UsageError` after `close`."""
        if self._closed:
            raise UsageError("the run has ended; no file is written after that")


def _claimed(directory: int, name: str) -> bool:
    """Create an empty file of that name. False if the name is taken."""
    try:
        os.close(os.open(name, _CREATE, 0o666, dir_fd=directory))
    except FileExistsError:
        return False
    return True
