"""Local files in model inputs: small ones are inlined in the request, larger ones are uploaded once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ArgumentError, PermissionDeniedError
from kosmolua.gate.files import Files
from kosmolua.replicate.structs import FileContent, LocalFile

MAX_INLINE = 256 * 1000  # bytes; https://replicate.com/docs/topics/predictions/input-files


MAX_FILES, MAX_BYTES = 100, 256 * 1024 * 1024  # maximum number and bytes of the files in one call's arguments


class FileLimit:
    """Limits the number and size of local files in one call."""

    def __init__(self) -> None:
        self._count = self._size = 0

    def add(self, content: FileContent) -> FileContent:
        """Count a file. Returns it; raises an `ArgumentError` above the limit."""
        self._count += 1
        self._size += content.size
        if self._count > MAX_FILES or self._size > MAX_BYTES:
            raise ArgumentError(
                f"the input has more than {MAX_FILES} local files, or more than {MAX_BYTES} bytes of them",
                hint="upload them first with replicate.create_file, and pass their URLs",
            )
        return content


class Uploads:
    """Replaces local files with URLs. ``create`` uploads a file, from the arguments of create_file and an account.

    Thread-safe. The same content is uploaded once per account.
    """

    def __init__(self, files: Files | None, create: Callable[[Mapping[str, Any], str], Any]) -> None:
        self._files = files
        self._create = create
        self._lock = threading.Lock()
        self._urls: dict[tuple[str, str], str] = {}
        self._contents: dict[str, str] = {}  # URL -> SHA-256 of what was uploaded

    def replaced(self, arguments: Struct, account: str, *, dry_run: bool = False) -> Struct:
        """The arguments with a URL instead of each file; in a dry run, with the file's path."""
        given = {name: value for name in arguments.__struct_fields__ if type(value := getattr(arguments, name)) is dict}
        holding = {name: value for name, value in given.items() if _holds_file(value)} if given else given
        if not holding:
            return arguments
        files = FileLimit()
        changes = {name: self._value(value, account, files, dry_run=dry_run) for name, value in holding.items()}
        return msgspec.structs.replace(arguments, **changes)

    def pinned(self, arguments: Struct) -> Struct:
        """The arguments with the files opened, so that `replaced` sends what was approved."""
        given = {name: getattr(arguments, name) for name in arguments.__struct_fields__}
        holding = {name: value for name, value in given.items() if type(value) is dict and _holds_file(value)}
        return msgspec.structs.replace(arguments, **{name: self._pinned(value) for name, value in holding.items()})

    def _pinned(self, value: Any) -> Any:
        match value:
            case LocalFile():
                return self._content(value)
            case dict():
                return {name: self._pinned(item) for name, item in value.items()}
            case list():
                return [self._pinned(item) for item in value]
        return value

    def described(self, value: Any) -> tuple[Any, list[Any]]:
        """An input without its large files, and the place and SHA-256 of each of those files. The result is the same
        before and after files are replaced by URLs.
        """
        files: list[Any] = []
        return self._without_files(value, (), files, FileLimit()), files

    def _without_files(self, value: Any, place: tuple[Any, ...], files: list[Any], read: FileLimit) -> Any:
        match value:
            case LocalFile():
                content = read.add(self._content(value))
                if content.size <= MAX_INLINE:
                    return _inlined(content)
                files.append((place, content.digest()))
                return None
            case str() if value in self._contents:
                files.append((place, self._contents[value]))
                return None
            case dict():
                return {name: self._without_files(item, (*place, name), files, read) for name, item in value.items()}
            case list():
                return [self._without_files(item, (*place, number), files, read) for number, item in enumerate(value)]
        return value

    def _value(self, value: Any, account: str, files: FileLimit, *, dry_run: bool) -> Any:
        match value:
            case LocalFile():
                return f"file:{value.path}" if dry_run else self._url(value, account, files)
            case dict():
                return {name: self._value(item, account, files, dry_run=dry_run) for name, item in value.items()}
            case list():
                return [self._value(item, account, files, dry_run=dry_run) for item in value]
        return value

    def _url(self, file: LocalFile, account: str, files: FileLimit) -> str:
        content = files.add(self._content(file))
        if content.size <= MAX_INLINE:
            return _inlined(content)
        name = os.path.basename(file.path)
        key = (account, content.digest())
        with self._lock:  # so that tasks do not upload the same file twice
            if key not in self._urls:
                self._urls[key] = self._create({"content": content, "filename": name}, account)["urls"]["get"]
                self._contents[self._urls[key]] = key[1]
            return self._urls[key]

    def _content(self, file: LocalFile) -> FileContent:
        if isinstance(file, FileContent):
            return file
        if self._files is None:
            raise PermissionDeniedError(
                f"cannot read {file.path!r}: this run may not read files", hint="allow a directory: --allow-read DIR"
            )
        return self._files.content(file.path)


def _inlined(content: FileContent) -> str:
    import base64

    whole = b"".join(content.pieces())
    return f"data:{_mime(os.path.basename(content.path))};base64,{base64.b64encode(whole).decode()}"


def _holds_file(value: Any) -> bool:
    match value:
        case LocalFile():
            return True
        case dict():
            return any(map(_holds_file, value.values()))
        case list():
            return any(map(_holds_file, value))
    return False


def _mime(name: str) -> str:
    from mimetypes import guess_type

    return guess_type(name)[0] or "application/octet-stream"
