"""Files while they are being written: each takes its name whole when it is finished, and leaves nothing otherwise.

On Linux an unfinished file has no name at all, so that even a process which is killed leaves none. If the file system
does not offer that, it is ``.NAME.HEX.part`` for as long as it is written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from kosmolua.errors import UsageError

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED: int = getattr(os, "O_TMPFILE", 0)


class Parts:
    """The files that a run is writing. After `close` none takes its name any more. For any number of threads."""

    def __init__(self, *, unnamed: bool = True) -> None:
        self._unnamed = unnamed and bool(_UNNAMED)
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}  # the names of those that have one, with their directories
        self._closed = False

    @contextmanager
    def create(self, directory: int, name: str) -> Iterator[BinaryIO]:
        """A file to write to, which becomes ``name`` in an open directory when the block ends well."""
        temporary = f".{name[:100]}.{os.urandom(6).hex()}.part"
        file = self._begin(directory, temporary)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                self._publish(file, directory, temporary, name)
        finally:
            self._forget(temporary)

    def close(self) -> None:
        """Give up what is unfinished, from any thread."""
        with self._lock:
            self._closed = True
            left = list(self._open)
        for temporary in left:
            self._forget(temporary)

    def _begin(self, directory: int, temporary: str) -> BinaryIO:
        if self._unnamed:
            with suppress(OSError):  # the file system has none
                file = os.open(".", os.O_WRONLY | _UNNAMED | os.O_CLOEXEC, 0o666, dir_fd=directory)
                if os.path.exists(f"/proc/self/fd/{file}"):  # by which it is given its name
                    return os.fdopen(file, "wb")
                os.close(file)
        with self._lock:
            self._check_open()
            file = os.open(temporary, _CREATE, 0o666, dir_fd=directory)
            self._open[temporary] = os.dup(directory)
        return os.fdopen(file, "wb")

    def _publish(self, file: BinaryIO, directory: int, temporary: str, name: str) -> None:
        with self._lock:
            self._check_open()
            if temporary not in self._open:
                self._open[temporary] = os.dup(directory)
                unnamed = f"/proc/self/fd/{file.fileno()}"
                os.link(unnamed, temporary, dst_dir_fd=directory, follow_symlinks=True)
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)

    def _forget(self, temporary: str) -> None:
        with self._lock:
            directory = self._open.pop(temporary, None)
        if directory is not None:
            with suppress(OSError):  # it has its name
                os.unlink(temporary, dir_fd=directory)
            os.close(directory)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the run has ended; nothing more is written")
