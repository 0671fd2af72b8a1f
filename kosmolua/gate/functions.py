"""Functions by name, and their arguments as the gate sees them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ArgumentError, PermissionDeniedError, UsageError
from kosmolua.gate.files import Files
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.namespaces import NAMESPACES
from kosmolua.replicate.structs import FileContent, LocalFile
from kosmolua.replicate.token import looks_like_token


def resolve(function: str) -> Operation:
    """The operation with this name or alias. Raises a `UsageError` that suggests similar names."""
    if not isinstance(function, str):
        raise UsageError(f"expected the name of a function, got {type(function).__name__}", code="unknown_function")
    operation = catalogue.find(function)
    if operation:
        return operation
    from kosmolua.replicate.nearest import nearest

    space = function.removeprefix("replicate.").partition(".")[0]
    if space in NAMESPACES:
        raise UsageError(
            f"{catalogue.PROVIDER}.{space}: functions have no namespaces here",
            code="unknown_function",
            hint=f"Use {NAMESPACES[space]}.",
        )
    name = function.removeprefix("replicate.").removeprefix("replicate_")
    near = nearest(name, [operation.name for operation in catalogue.OPERATIONS], most=3)
    called = "(hidden: it looks like a token)" if looks_like_token(function) else repr(function[:100])
    raise UsageError(
        f"unknown function {called}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="unknown_function",
        hint="list all functions: kosmo integrations:replicate",
    )


def given_of(arguments: Struct) -> dict[str, Any]:
    """The arguments that are set."""
    shown = msgspec.structs.asdict(arguments)
    return {name: value for name, value in shown.items() if value is not msgspec.UNSET}


def with_content(arguments: Mapping[str, Any] | bytes, files: Files | None) -> Mapping[str, Any] | bytes:
    """The arguments of create_file, with the content of a file that was given as ``path`` or as ``content``."""
    try:
        decode, hook = msgspec.msgpack.decode, structs.extension
        found = decode(arguments, ext_hook=hook) if isinstance(arguments, bytes) else arguments
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return arguments  # decode_arguments reports the error
    if not isinstance(found, Mapping):
        return arguments
    path, content = found.get("path") if files else None, found.get("content")
    rest = {name: value for name, value in found.items() if name not in ("path", "content")}
    if isinstance(path, str):
        if content is not None:
            raise ArgumentError("create_file: expected either `path` or `content`, got both", function="create_file")
    elif isinstance(content, LocalFile) and not isinstance(content, FileContent):
        path = content.path
    else:
        return found
    if files is None:
        raise PermissionDeniedError(
            f"cannot read {path!r}: this run may not read files", hint="allow a directory: --allow-read DIR"
        )
    return {"filename": os.path.basename(path), **rest, "content": files.content(path)}


def subject(operation: Operation, arguments: Struct) -> str:
    """What the request path identifies: owner/name, or an id. Empty if that could be a token."""
    names = re.findall(r"{(\w+)}", operation.path)
    subject = "/".join(str(getattr(arguments, name, "")) for name in names)
    return "" if looks_like_token(subject) else structs.short(subject)
