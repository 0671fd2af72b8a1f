"""The standard streams of a command. A closed stream is replaced, so that no other file takes its descriptor. A failed
write to standard output raises an `OutputError`; a failed write to standard error is ignored.
"""

from __future__ import annotations

import io
import os
import select
import sys

from kosmolua.errors import OutputError, UsageError

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from typing import TextIO

_CLOSED, _GONE = 9, 32  # EBADF and EPIPE, without importing errno


def prepare() -> None:
    """Make the three streams safe to use. Call it once, before any file is opened."""
    was_closed = not _is_open(0)
    # Closed output becomes a read-only descriptor, so that writing to it fails.
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        if not _is_open(descriptor):
            os.open(os.devnull, flags)  # opens as the lowest free descriptor, which is this one
    if was_closed or sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Nothing(0, "r", closefd=False)), "utf-8")
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    encoding = before.encoding if before else "utf-8"
    lines = raw.isatty() or raw.fileno() > 1
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=lines)


class _Nothing(io.FileIO):
    """A replacement for closed standard input."""

    def readinto(self, _buffer: object) -> int:
        raise UsageError("standard input is closed", hint="pass the input as an argument, or redirect it: < FILE")

    def readall(self) -> bytes:
        self.readinto(b"")
        return b""


class _Patient(io.FileIO):
    """A file that waits until it can write, even if another process has made its descriptor non-blocking."""

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # of typeshed's buffer type
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _Output(_Patient):
    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # as above
        try:
            return super().write(data)
        except OSError as error:
            known = {_CLOSED: "it is closed", _GONE: "its reader is gone"}
            why = known.get(error.errno or 0) or error.strerror
            failure = OutputError(f"cannot write to standard output: {why}")
            failure.gone = error.errno == _GONE
            raise failure from None


class _Messages(_Patient):
    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]  # as above
        try:
            return super().write(data)
        except OSError:
            return len(data)  # no stream is left for reporting the error
