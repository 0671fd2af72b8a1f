"""Text that a script reads and writes: files in its directories, and standard input. Each file is logged."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kosmolua.errors import ArgumentError, KosmoError, UsageError
from kosmolua.gate.entry import Entry
from kosmolua.gate.failures import blamed
from kosmolua.replicate.request import MAX_URL
from kosmolua.services.arguments import Arguments

if TYPE_CHECKING:
    from kosmolua.gate.files import Files
    from kosmolua.gate.session import Session

MAX_TEXT = 32 * 1024 * 1024  # bytes of a file; Lua's memory is limited to four times as much by default
MAX_WRITTEN = 1024 * 1024 * 1024  # bytes that a run may write
PIECE = 64 * 1024  # bytes of standard input
LOOK = 0.1  # seconds between checks whether the run has ended

Access = Literal["read", "write"]
Path = Annotated[str, Meta(max_length=MAX_URL)]


class ReadText(Arguments, frozen=True):
    path: Path


class WriteText(Arguments, frozen=True):
    """``text`` is a string of MessagePack, or bytes if it is not UTF-8."""

    path: Path
    text: msgspec.Raw
    mode: Literal["new", "replace", "append"]


class Stdin(Arguments, frozen=True, kw_only=True):
    """``start`` is the number of bytes that the script has read."""

    start: Annotated[int, Meta(ge=0)] = msgspec.field(name="from")


class Texts:
    """The text files and the standard input of one run. ``check`` raises if the run has ended."""

    def __init__(
        self, files: Files, session: Callable[[], Session], check: Callable[[], None], stdin: IO[bytes] | None
    ) -> None:
        self._files = files
        self._session = session
        self._check = check
        self._stdin = stdin
        self._given = 0  # bytes of standard input that were read
        self._reading = threading.Lock()  # else two tasks may see the same bytes, and the second would wait for more
        self._written = 0

    def read(self, asked: ReadText) -> bytes:
        with self._recorded("read_file", "read", asked.path):
            return self._files.read(asked.path, limit=MAX_TEXT)

    def write(self, asked: WriteText) -> dict[str, Any]:
        text, path, appends = _content(asked.text), asked.path, asked.mode == "append"
        with self._recorded("append_file" if appends else "write_file", "write", path) as entry:
            self._count(len(text))
            if self._session().dry_run:
                self._files.check(path)
                entry.outcome = "dry_run"
            elif asked.mode == "append":
                self._files.append(path, text)
            else:
                with self._files.create(path, asked.mode) as target:
                    target.file.write(text)
            return {"path": path, "size": len(text)}

    def _count(self, size: int) -> None:
        self._written += size
        if self._written > MAX_WRITTEN:
            raise UsageError(
                f"the script wrote more than {MAX_WRITTEN} bytes of text, the maximum of a run",
                code="limit_reached",
                hint="write less, or use several runs",
            )

    def stdin(self, asked: Stdin) -> bytes | None:
        """The next bytes of standard input; None at its end. A resumed run skips the bytes that it has read before."""
        if self._stdin is None:
            return None
        with self._turn():
            return self._next(asked)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one task read at a time. If the run ends, so does the wait."""
        while not self._reading.acquire(timeout=LOOK):
            self._check()
        try:
            yield
        finally:
            self._reading.release()

    def _next(self, asked: Stdin) -> bytes | None:
        while self._stdin and self._given < asked.start and not self._stdin.isatty():
            if not self._piece(asked.start - self._given):
                return None
        return self._piece(PIECE) or None

    def _piece(self, size: int) -> bytes:
        """Some bytes; empty at the end. An interrupt or the end of the run ends the wait."""
        file = self._stdin.fileno() if self._stdin else -1
        while not select.select([file], [], [], LOOK)[0]:
            self._check()
        piece = os.read(file, min(size, PIECE))
        self._given += len(piece)
        return piece

    @contextmanager
    def _recorded(self, function: str, access: Access, path: str) -> Iterator[Entry]:
        """Add an entry to the log and the audit log, whether or not the file was written."""
        session = self._session()
        began = time.perf_counter()
        entry = Entry(function, session.account_of(""), access, time.time(), note=path[:200])
        try:
            yield entry
            entry.outcome = "dry_run" if entry.outcome == "dry_run" else "ok"
        except KosmoError as error:
            blamed(entry, error)
            raise
        finally:
            entry.duration_ms = round((time.perf_counter() - began) * 1000, 3)
            session.record.add(entry)


def _content(text: msgspec.Raw) -> bytes:
    try:
        found = msgspec.msgpack.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArgumentError(f"write: {error}") from None
    if not isinstance(found, str | bytes):
        raise ArgumentError(f"write: expected text, got {type(found).__name__}")
    return found.encode() if isinstance(found, str) else found
