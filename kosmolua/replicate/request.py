"""Builds the parts of an HTTP request from an operation and its arguments. Sends nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Struct

from kosmolua._version import __version__
from kosmolua.errors import ArgumentError
from kosmolua.replicate.catalogue import Operation, Parameter
from kosmolua.replicate.structs import FileContent
from kosmolua.replicate.wire import Upload

USER_AGENT = f"kosmolua/{__version__}"
MAX_FILE = 100 * 1024 * 1024  # https://replicate.com/docs/reference/http#files.create
MAX_FILENAME = 255
MAX_URL = 8192  # characters
READ_TIMEOUT = 30.0  # seconds
MAX_TARGET = 8000  # characters of a path with its query: the minimum that RFC 9110 recommends to support
_ACCEPT = {"json": "application/json", "text": "text/plain, */*;q=0.1", "bytes": "*/*", "none": "application/json"}

Headers = tuple[tuple[str, str], ...]


class Parts(Struct, frozen=True):
    """A request without its origin and its token. ``target`` is the path below the API's base, with the query."""

    method: str
    target: str
    headers: Headers
    body: bytes | Upload | None
    read_timeout: float


@cache
def _placed(operation: Operation, place: str) -> tuple[Parameter, ...]:
    return tuple(parameter for parameter in operation.parameters if parameter.place == place)


class _Form(Struct, frozen=True):
    """What all requests of an operation share. ``path`` is the literal text before the first argument; ``places`` are
    the arguments in the path, each with the text after it.
    """

    path: str
    places: tuple[tuple[str, str], ...]
    query: tuple[Parameter, ...]
    is_plain: bool  # whether its requests have neither a body nor headers of their own


@cache
def _form(operation: Operation) -> _Form:
    path, *rest = operation.path.split("{")
    return _Form(
        path=path,
        places=tuple((name, after) for name, _, after in (part.partition("}") for part in rest)),
        query=_placed(operation, "query"),
        is_plain=operation.content_type is None and not operation.blocking and not _placed(operation, "header"),
    )


def build(operation: Operation, arguments: Struct) -> Parts:
    """The request for arguments validated by `structs.decode_arguments`."""
    target = _target(operation, arguments)
    if _form(operation).is_plain:
        return Parts(operation.method, target, _always(operation), None, READ_TIMEOUT)
    headers = headers_of(operation, arguments)
    body, content_type = _body(operation, arguments)
    if content_type:
        headers = (*headers, ("Content-Type", content_type))
    return Parts(operation.method, target, headers, body, _patience(operation, arguments))


def headers_of(operation: Operation, arguments: Struct) -> Headers:
    """The common headers, and those from arguments."""
    given = ((p.header or p.name, getattr(arguments, p.name)) for p in _placed(operation, "header"))
    said = tuple((name, value) for name, value in given if value is not UNSET)
    return (*_always(operation), *said) if said else _always(operation)


@cache
def _always(operation: Operation) -> Headers:
    return (("Accept", _ACCEPT[operation.answer]), ("User-Agent", USER_AGENT))


def segment(text: str) -> str:
    """Text as exactly one segment of a path."""
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


def _target(operation: Operation, arguments: Struct) -> str:
    form = _form(operation)
    target = form.path
    for name, after in form.places:
        target += segment(getattr(arguments, name)) + after
    query = _given(form.query, arguments) if form.query else None
    if query:
        target = f"{target}?{urlencode(query, quote_via=quote, safe='')}"
    if len(target) > MAX_TARGET:
        named = " and ".join(f"`{p.name}`" for p in operation.parameters if p.place in {"path", "query"})
        raise ArgumentError(
            f"{operation.name}: expected a path of at most {MAX_TARGET} characters, got {len(target)} - at {named}",
            function=operation.name,
        )
    return target


def _given(parameters: tuple[Parameter, ...], arguments: Struct) -> dict[str, Any]:
    values = ((parameter.name, getattr(arguments, parameter.name)) for parameter in parameters)
    return {name: value for name, value in values if value is not UNSET}


def _body(operation: Operation, arguments: Struct) -> tuple[bytes | Upload | None, str | None]:
    if operation.content_type is None:
        return None, None
    given = _given(_placed(operation, "body"), arguments)
    match operation.content_type:
        case "application/json":
            return msgspec.json.encode(given), "application/json"
        case "text/plain":
            return str(given["body"]).encode(), "text/plain"
        case "multipart/form-data":
            return _multipart(operation, **given)
    return None, None


def _patience(operation: Operation, arguments: Struct) -> float:
    """The read timeout in seconds: a blocking create sends nothing while the model runs."""
    prefer = getattr(arguments, "prefer", UNSET)
    if operation.blocking and prefer is not UNSET:
        return float(prefer.partition("=")[2] or 60) + 30.0
    return 120.0 if operation.content_type == "multipart/form-data" else READ_TIMEOUT


# Files ------------------------------------------------------------------------------------------------------------


def _multipart(
    operation: Operation,
    content: bytes | str | FileContent,
    filename: str = "file",
    type: str | None = None,  # noqa: A002 - the parameter's name
    metadata: dict[str, Any] | None = None,
) -> tuple[bytes | Upload, str]:
    """The multipart form: ``content`` with name and MIME type, and ``metadata`` as JSON."""
    content = content.encode() if isinstance(content, str) else content
    size = len(content) if isinstance(content, bytes) else content.size
    if size > MAX_FILE:
        raise ArgumentError(
            f"{operation.name}: the file has {size} bytes; the API accepts at most {MAX_FILE}",
            function=operation.name,
            hint="pass an HTTPS URL of the file instead",
        )
    if len(filename.encode()) > MAX_FILENAME:
        raise ArgumentError(
            f"{operation.name}: expected at most {MAX_FILENAME} bytes, got {len(filename.encode())} - at `filename`",
            function=operation.name,
        )
    boundary = os.urandom(16).hex()
    before = _part_head(boundary, "content", _mime(operation, type, filename), filename)
    after = b"\r\n"
    if metadata is not None:
        after += _part_head(boundary, "metadata", "application/json") + msgspec.json.encode(metadata) + b"\r\n"
    after += f"--{boundary}--\r\n".encode()
    whole = b"".join((before, content, after)) if isinstance(content, bytes) else Form(before, content, after)
    return whole, f"multipart/form-data; boundary={boundary}"


class Form:
    """A multipart form around a file, which is read while the form is sent."""

    def __init__(self, before: bytes, content: FileContent, after: bytes) -> None:
        self.size = len(before) + content.size + len(after)
        self._before = before
        self._content = content
        self._after = after

    def pieces(self) -> Iterator[bytes]:
        yield self._before
        yield from self._content.pieces()
        yield self._after


def _part_head(boundary: str, name: str, mime: str, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{_escaped(filename)}"' if filename else "")
    return f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {mime}\r\n\r\n".encode()


def _escaped(filename: str) -> str:
    """Escaped as in the HTML standard for forms, so that quotes and line ends cannot leave the header."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _mime(operation: Operation, given: str | None, filename: str) -> str:
    if given is None:
        from mimetypes import guess_type

        return guess_type(filename)[0] or "application/octet-stream"
    if not given.isascii() or not given.isprintable() or "/" not in given:
        raise ArgumentError(
            f"{operation.name}: expected a MIME type such as image/png, got {given[:60]!r} - at `type`",
            function=operation.name,
        )
    return given
