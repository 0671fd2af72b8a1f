"""The directories that a script may read from or write to. By default there are none.

A path is resolved first and then walked without following links, so that a directory that is swapped meanwhile cannot
lead outside. The opened file is then checked against the reserved files.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate.parts import Parts
from kosmolua.gate.reserved import Reserved, kind_of
from kosmolua.gate.written_files import WrittenFiles
from kosmolua.replicate.structs import FileContent

MAX_READ = 100 * 1024 * 1024  # bytes; the API takes no larger file
MAX_PATH = 4096  # characters; no system opens a longer one, and resolving it is slow
_PIECE = 256 * 1024  # bytes to read at once
MAX_NAMES = 10_000  # names to try until one is free
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe does not wait for another process


Mode = Literal["new", "free", "replace"]
"""If a file exists that this run did not write: raise an error, use another name, or replace it."""


class Target(Struct):
    """A file to write to. ``path`` is its final path."""

    file: BinaryIO
    path: str


class Files:
    """Opens a script's files. ``readable`` and ``writable`` are directories; relative paths start at ``base``.

    Files that `Reserved` knows are always refused. ``environment`` determines where kosmolua keeps its own files.
    """

    def __init__(
        self,
        readable: Sequence[str] = (),
        writable: Sequence[str] = (),
        base: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._base = os.path.abspath(base or os.getcwd())
        self._environment = os.environ if environment is None else environment
        self._readable = [self._directory(path, "--allow-read") for path in readable]
        self._writable = [self._directory(path, "--allow-write") for path in writable]
        self._reserved = Reserved(self._environment, base=self._base)
        self._parts = Parts()
        self._written = WrittenFiles()

    def of_run(self, own: Sequence[tuple[str, str]] = (), record: str | None = None) -> Files:
        """A copy for one run, which the run closes. ``own`` are paths and descriptions of files that the host writes;
        the script may not use them. Written files are noted in the ``record``.
        """
        made = copy(self)
        made._reserved = Reserved(self._environment, own, self._base)  # noqa: SLF001 - its own class
        made._parts = Parts()  # noqa: SLF001
        made._written = WrittenFiles(record)  # noqa: SLF001
        return made

    def close(self) -> None:
        """Discard unfinished files, and refuse further writes."""
        self._parts.close()

    def read(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """A file's content. Raises a `PermissionDeniedError` outside the directories, else a `UsageError`."""
        with self._opened(path) as file:
            return _content(path, file, limit)

    def content(self, path: str, *, limit: int = MAX_READ) -> FileContent:
        """A file's content, to be read later. Raises the errors of `read` now, and again when the content is read."""
        with self._opened(path) as file:
            size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(path, limit)
        return _OpenedContent(path, size, lambda: self._opened(path))

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO]:
        with _refusing(path, "read"), self._parent(path, self._readable, "read from", "--allow-read") as found:
            directory, name = found
            _check_regular(path, os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            with os.fdopen(os.open(name, _READ, dir_fd=directory), "rb") as file:
                _check_regular(path, os.fstat(file.fileno()).st_mode)
                self._reserved.check_file(path, file.fileno(), directory)
                yield file

    @contextmanager
    def create(self, path: str, mode: Mode = "new", source: str = "") -> Iterator[Target]:
        """A file to write to. It appears under its name when the block succeeds, and is deleted otherwise. Missing
        directories are created.

        ``source`` identifies the content: a file that this run wrote from the same source is replaced in any mode.
        """
        with _refusing(path, "write"), self._parent(path, self._writable, "write to", "--allow-write", make=True) as at:
            directory, name = at
            real = os.path.realpath(os.path.join(self._base, path))
            self._reserved.check_target(path, directory, name)
            if mode == "new":
                self._check_new(path, real, directory)

            def choose() -> Iterator[tuple[str, bool]]:
                for chosen in _names(name) if mode == "free" else (name,):
                    found, own = _status(chosen, directory), os.path.join(os.path.dirname(real), chosen)
                    again = found is not None and self._written.has(own, found, source if mode == "free" else None)
                    if mode == "replace" or again or found is None:
                        self._reserved.check_target(path, directory, chosen)
                        yield chosen, mode == "replace" or again

            def note(file: os.stat_result, chosen: str) -> None:
                self._written.note(os.path.join(os.path.dirname(real), chosen), file, source)
                target.path = os.path.join(os.path.dirname(path), chosen)

            with self._parts.create(directory, name, choose, note) as file:
                target = Target(file, path)
                yield target

    def append(self, path: str, content: bytes) -> None:
        """Add to the end of a file, which is created if it is missing."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with _refusing(path, "write"), self._parent(path, self._writable, "write to", "--allow-write", make=True) as at:
            directory, name = at
            self._reserved.check_target(path, directory, name)
            self._parts.check_open()
            is_new = _status(name, directory) is None
            with os.fdopen(os.open(name, flags, 0o666, dir_fd=directory), "ab") as file:
                found = os.fstat(file.fileno())
                _check_regular(path, found.st_mode)
                self._reserved.check_file(path, file.fileno(), directory)
                if is_new:
                    self._written.note(os.path.realpath(os.path.join(self._base, path)), found, "")
                file.write(content)

    def check(self, path: str) -> None:
        """Raise what `create` would raise for a path that the script may not write. Creates nothing."""
        root, inside = self._resolved(path, self._writable, "write to", "--allow-write")
        self._reserved.check_name(path, os.path.join(root, inside))

    def _check_new(self, path: str, real: str, directory: int) -> None:
        found = _status(os.path.basename(real), directory)
        if found is not None and not self._written.has(real, found):
            raise UsageError(
                f"{path!r} exists, and this run did not write it; nothing was written",
                hint="choose another path, or replace it with the option { overwrite = true }",
            )

    @contextmanager
    def _parent(
        self, path: str, roots: list[str], what: str, flag: str, *, make: bool = False
    ) -> Iterator[tuple[int, str]]:
        """The open directory of a file, and the file's name in it."""
        root, inside = self._resolved(path, roots, what, flag)
        self._reserved.check_name(path, os.path.join(root, inside))

        def missing(directory: int, name: str) -> None:
            self._reserved.check_directory(path, directory)
            self._reserved.check_new(path, directory, name)
            with suppress(FileExistsError):  # another process created it first
                os.mkdir(name, dir_fd=directory)

        with _walked(root, inside, missing if make else None) as directory:
            self._reserved.check_directory(path, directory)
            yield directory, os.path.basename(inside)

    def _directory(self, path: str, flag: str) -> str:
        given = os.path.join(self._base, os.path.expanduser(path))
        real = os.path.realpath(given)
        if os.path.isdir(real):
            return real
        if os.path.lexists(given):  # also a link to nothing, since its target is for others to choose
            raise UsageError(f"{flag}: not a directory: {path!r}", hint="choose another directory")
        if flag != "--allow-write" or not os.path.isdir(os.path.dirname(real)):
            raise UsageError(f"{flag}: no such directory: {path!r}", hint=f"create it: mkdir -p {shlex.quote(path)}")
        return real  # the first file creates it

    def _resolved(self, path: str, roots: list[str], what: str, flag: str) -> tuple[str, str]:
        """The allowed directory that contains the path, and the path relative to it."""
        if not path or "\0" in path or len(path) > MAX_PATH:
            raise UsageError(f"expected a file path, got {path[:100]!r}")
        real = os.path.realpath(os.path.join(self._base, path))
        for root in roots:
            if real != root and os.path.commonpath([real, root]) == root:
                return root, os.path.relpath(real, root)
        raise PermissionDeniedError(
            f"{path!r} is not in a directory that the script may {what}",
            hint=f"allow a directory: {flag} DIR" + (f"; allowed now: {', '.join(roots)}" if roots else ""),
        )


@contextmanager
def _walked(root: str, inside: str, missing: Callable[[int, str], None] | None = None) -> Iterator[int]:
    """The file's directory, opened one name at a time from the root. ``missing`` creates missing directories."""
    if missing and not os.path.lexists(root):
        above = os.open(os.path.dirname(root), _WALK)
        try:
            missing(above, os.path.basename(root))
        finally:
            os.close(above)
    current = os.open(root, _WALK)
    try:
        for name in inside.split(os.sep)[:-1]:
            if missing and _status(name, current) is None:
                missing(current, name)
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


def _status(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _names(name: str) -> Iterator[str]:
    """The name and its alternatives: a.png, a-2.png, a-3.png."""
    stem, suffix = os.path.splitext(name)
    yield name
    yield from (f"{stem}-{number}{suffix}" for number in range(2, MAX_NAMES))


def _check_regular(path: str, mode: int) -> None:
    """Refuse a file that is not regular. Called before opening, since opening a device can have effects, and again on
    the opened file.
    """
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path!r} is {kind_of(mode)}, not a regular file")


def _content(path: str, file: BinaryIO, limit: int) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def _too_large(path: str, limit: int) -> UsageError:
    return UsageError(f"{path!r} is larger than {limit} bytes", hint="pass an HTTPS URL of the file instead")


def content_of(path: str) -> FileContent | bytes:
    """The content of a file that a person named; of anything else, such as a pipe, the bytes that can be read now.
    Raises an OSError.
    """
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return file.read(MAX_READ + 1)
    return _OpenedContent(path, found.st_size, lambda: open(path, "rb"))


class _OpenedContent(FileContent, frozen=True):
    """A file that is opened again, with all checks, each time it is read. Once its digest has been computed, for
    example for an approval, every read must find the same content.
    """

    opened: Callable[[], AbstractContextManager[BinaryIO]]
    known: list[str] = msgspec.field(default_factory=list)  # the digest, once computed

    def digest(self) -> str:
        found = super().digest()
        self.known[:] = [found]
        return found

    def pieces(self) -> Iterator[bytes]:
        """The last piece is yielded only after the check, so that a changed file is never sent completely."""
        if not self.known:
            yield from self._read()
            return
        import hashlib  # loads OpenSSL: 3 ms

        found, held = hashlib.sha256(), b""
        for piece in self._read():
            found.update(piece)
            if held:
                yield held
            held = piece
        if found.hexdigest() != self.known[0]:
            raise _changed(self.path)
        if held:
            yield held

    def _read(self) -> Iterator[bytes]:
        left = self.size
        with self.opened() as file:
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
            if left or file.read(1):
                raise _changed(self.path)


def _changed(path: str) -> UsageError:
    return UsageError(f"{path!r} changed while it was read", hint="try again when the file is complete")
