"""Arguments of calls as a journal keeps, compares and shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from kosmolua.replicate.structs import FileContent, LocalFile, extension
from kosmolua.replicate.token import hidden

if TYPE_CHECKING:
    from kosmolua.replicate.catalogue import Operation

MAX_SHOWN = 400  # characters of arguments that people are shown
MAX_KEPT = 1 << 20  # maximum bytes of arguments that are kept; longer file contents are replaced by their digest
NO_DATA = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)  # raised by decoding, and by encoding as JSON
_HOW_ANSWERED = frozenset({"webhook", "webhook_events_filter", "stream"})
_sorted = msgspec.msgpack.Encoder(order="sorted").encode
_encode = msgspec.msgpack.encode


def essence_of(operation: Operation, arguments: Mapping[str, Any]) -> bytes:
    """A digest of what a call asks for, without the arguments that say how to wait for its answer and report it."""
    apart = {each.name for each in operation.parameters if each.place == "header"}
    asked = {
        name: value.digest() if isinstance(value, FileContent) else value
        for name, value in arguments.items()
        if name not in apart | _HOW_ANSWERED
    }
    return hashlib.sha256(_sorted((operation.name, asked))).digest()


def digested(arguments: bytes) -> tuple[bytes, bytes]:
    """A digest that equal calls share, whatever the order of their argument names, and the arguments to keep."""
    try:
        found = msgspec.msgpack.decode(arguments)
        digest = hashlib.sha256(_sorted(found)).digest()
    except NO_DATA:  # reported where arguments are checked
        return hashlib.sha256(arguments).digest(), b"\xc0"
    if len(arguments) > MAX_KEPT:
        arguments = _encode(_without_bytes(found))
    return digest, arguments if len(arguments) <= MAX_KEPT else _encode(f"{len(arguments)} bytes")


def shown(arguments: bytes) -> str:
    """Arguments for people: truncated JSON, with digests instead of file contents."""
    try:
        found = msgspec.msgpack.decode(arguments, ext_hook=extension)
        text = msgspec.json.encode(_without_bytes(found), order="sorted").decode()
    except NO_DATA:  # sent by a script process, or written by another program
        return "invalid data"
    text = hidden(text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _without_bytes(value: Any) -> Any:
    match value:
        case bytes():
            return f"{len(value)} bytes, sha256:{hashlib.sha256(value).hexdigest()}"
        case LocalFile():
            return f"file:{value.path}"
        case msgspec.msgpack.Ext():
            return f"an extension of type {value.code}"
        case dict():
            return {name: _without_bytes(item) for name, item in value.items()}
        case list():
            return [_without_bytes(item) for item in value]
    return value


def digest_of(source: bytes) -> str:
    return f"sha256:{hashlib.sha256(source).hexdigest()}"
