"""Functions as MCP tools: their definitions and arguments."""

from __future__ import annotations

import base64
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from kosmolua.errors import ArgumentError
from kosmolua.manual import reference
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, Operation

PREFIX = f"integration__{PROVIDER}__"
_SCHEMA = ("type", "properties", "required", "additionalProperties")


def named(globs: Sequence[str]) -> list[Operation]:
    """The operations whose function name or tool name matches one of the globs."""
    return [operation for operation in OPERATIONS if any(_matches(operation, glob) for glob in globs)]


def _matches(operation: Operation, glob: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for name in (*operation.names, PREFIX + operation.name))


def find(tool: str) -> Operation | None:
    name = tool.removeprefix(PREFIX)
    return next((operation for operation in OPERATIONS if PREFIX in tool and operation.name == name), None)


def definition(operation: Operation) -> dict[str, Any]:
    schema = reference.schema(operation)
    for parameter in operation.parameters:
        if parameter.kind == "bytes":
            schema["properties"][parameter.name]["contentEncoding"] = "base64"
    return {
        "name": PREFIX + operation.name,
        "title": operation.name.replace("_", " ").capitalize(),
        "description": schema["description"],
        "inputSchema": {name: schema[name] for name in _SCHEMA if name in schema},
        "annotations": hints(operation),
    }


def hints(operation: Operation) -> dict[str, bool]:
    """The annotations of a tool. Creating only adds; every other write may change or end something."""
    reads, creates = operation.access == "read", operation.creates is not None
    return {
        "readOnlyHint": reads,
        "destructiveHint": not reads and not creates,
        "idempotentHint": reads or operation.idempotent,
        "openWorldHint": True,
    }


def arguments(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with base64 decoded to bytes."""
    found = dict(given)
    for parameter in operation.parameters:
        if parameter.kind == "bytes" and isinstance(found.get(parameter.name), str):
            try:
                found[parameter.name] = base64.b64decode(found[parameter.name], validate=True)
            except ValueError:
                raise ArgumentError(
                    f"{operation.name}: expected base64 - at `{parameter.name}`",
                    function=operation.name,
                ) from None
    return found
