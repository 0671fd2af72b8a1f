"""Files while they are being written: each takes its name whole when it is finished, and leaves nothing otherwise.

On Linux an unfinished file has no name at all, so that even a process which is killed leaves none. If the file system
does not offer that, it is ``.NAME.HEX.part`` for as long as it is written.
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
    """The files that a run is writing. After `close` none takes its name any more. For any number of threads."""

    def __init__(self, *, unnamed: bool = True) -> None:
        self._unnamed = unnamed and bool(_UNNAMED)
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}  # the names of those that have one, with their directories
        self._closed = False

    @contextmanager
    def create(
        self,
        directory: int,
        name: str,
        choose: Callable[[], Iterable[tuple[str, bool]]] | None = None,
        note: Callable[[os.stat_result, str], None] = lambda *_: None,
    ) -> Iterator[BinaryIO]:
        """A file to write to, which becomes ``name`` in an open directory when the block ends well.

        ``choose`` gives, at that time, the names to try instead, each with whether it may replace a file; ``note`` is
        told each before it is tried. Raises a FileExistsError if none of them is free.
        """
        temporary = f".{name[:100]}.{os.urandom(6).hex()}.part"
        file = self._begin(directory, temporary)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                with self._lock:
                    self._check_open()
                    for chosen, replaces in choose() if choose else [(name, True)]:
                        note(os.fstat(file.fileno()), chosen)
                        if self._publish(file, directory, temporary, chosen, replaces=replaces):
                            return
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
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

    def _publish(self, file: BinaryIO, directory: int, temporary: str, name: str, *, replaces: bool) -> bool:
        """Give a file its name. False if there is one of that name, which it may not replace."""
        if not replaces:
            try:
                self._link(file, directory, temporary, name)
            except FileExistsError:
                return False
            except OSError:  # the file system has no second names: an empty file holds the place
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
            with suppress(OSError):  # it has its name
                os.unlink(temporary, dir_fd=directory)
            os.close(directory)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the run has ended; nothing more is written")


def _claimed(directory: int, name: str) -> bool:
    """Whether the name was free, and is now taken by an empty file."""
    try:
        os.close(os.open(name, _CREATE, 0o666, dir_fd=directory))
    except FileExistsError:
        return False
    return True
