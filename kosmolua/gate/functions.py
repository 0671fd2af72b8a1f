"""Functions by name, and their arguments as the gate looks at them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.files import Files
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.token import looks_like_token


def resolve(function: str) -> Operation:
    """The operation of that name, under any of its names. Raises a `UsageError` with the nearest ones."""
    if not isinstance(function, str):
        raise UsageError(f"expected the name of a function, got {type(function).__name__}", code="unknown_function")
    operation = catalogue.find(function)
    if operation:
        return operation
    from difflib import get_close_matches

    name = function.removeprefix("replicate.").removeprefix("replicate_")
    near = get_close_matches(name, [operation.name for operation in catalogue.OPERATIONS], n=3, cutoff=0.6)
    called = "what looks like a token" if looks_like_token(function) else repr(function[:100])
    raise UsageError(
        f"no function is called {called}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="unknown_function",
        hint="see them all: kosmo integrations:replicate",
    )


def given_of(arguments: Struct) -> dict[str, Any]:
    """The arguments that are set."""
    shown = msgspec.structs.asdict(arguments)
    return {name: value for name, value in shown.items() if value is not msgspec.UNSET}


def with_content(arguments: Mapping[str, Any] | bytes, files: Files) -> Mapping[str, Any] | bytes:
    """The arguments of create_file with the content of the file that a script names by its ``path``."""
    try:
        found = msgspec.msgpack.decode(arguments) if isinstance(arguments, bytes) else arguments
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return arguments  # what is wrong with them is told where they are checked
    if not isinstance(found, Mapping) or not isinstance(found.get("path"), str):
        return arguments
    rest = {name: value for name, value in found.items() if name != "path"}
    if rest.get("content") is not None:
        raise ArgumentError("create_file: both `path` and `content` are given; one is sent", function="create_file")
    return {"filename": os.path.basename(found["path"]), **rest, "content": files.read(found["path"])}


def subject(operation: Operation, arguments: Struct) -> str:
    """What the path of a request names, as one writes it: owner/name, or an id. What may be a token is not told."""
    names = re.findall(r"{(\w+)}", operation.path)
    subject = "/".join(str(getattr(arguments, name, "")) for name in names)
    return "" if looks_like_token(subject) else structs.short(subject)
