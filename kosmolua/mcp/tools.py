"""MCP tools for functions: their definitions and arguments."""

from __future__ import annotations

import base64
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from kosmolua.errors import ArgumentError
from kosmolua.gate.custom import Custom
from kosmolua.mcp import schemas
from kosmolua.mcp.schemas import Dialect
from kosmolua.replicate.catalogue import CUSTOM, OPERATIONS, PROVIDER, Operation, Parameter

SEED_PREFIX = f"integration__{PROVIDER}__"
Names = Literal["short", "seed"]
"""How tools are named. Short names leave room for a client's prefix, since clients accept 60 to 64 characters in
total."""

_CLI_NOTE = "The command line takes"


def named(globs: Sequence[str]) -> list[Operation]:
    """The operations whose function name or tool name matches one of the globs."""
    return [operation for operation in OPERATIONS if any(_matches(operation, glob) for glob in globs)]


def is_named(operation: Operation, globs: Sequence[str]) -> bool:
    return any(_matches(operation, glob) for glob in globs)


def _matches(operation: Operation, glob: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for name in (*operation.names, SEED_PREFIX + operation.name))


def name_of(operation: Operation, names: Names) -> str:
    """The name of a tool: `replicate_get_model`, or `integration__replicate__get_model`."""
    if operation.name.startswith(CUSTOM):
        return operation.name.replace(".", "_")
    return SEED_PREFIX + operation.name if names == "seed" else operation.full_name


def find(tool: str) -> Operation | None:
    """The operation of a tool, by the tool's short or long name."""
    return _BY_TOOL.get(tool)


_BY_TOOL = {name: operation for operation in OPERATIONS for name in (operation.full_name, SEED_PREFIX + operation.name)}


def definition(operation: Operation, names: Names = "short", dialect: Dialect = "any") -> dict[str, Any]:
    return {
        "name": name_of(operation, names),
        "title": operation.name.replace("_", " ").capitalize(),
        "description": _description(operation),
        "inputSchema": schemas.of_input(operation, dialect),
        "outputSchema": schemas.of_output(operation),
        "annotations": hints(operation),
    }


def custom(function: Custom, dialect: Dialect = "any") -> dict[str, Any]:
    """The definition of a custom function."""
    return {
        "name": name_of(function.operation, "short"),
        "title": function.operation.name.removeprefix(CUSTOM).replace("_", " ").capitalize(),
        "description": function.operation.summary,
        "inputSchema": {**function.schema, **schemas.closed(function.schema, dialect)},
        "outputSchema": schemas.of_output(function.operation),
        "annotations": hints(function.operation),
    }


def _description(operation: Operation) -> str:
    """What the function does, what it costs, and what to call next."""
    parts = [
        operation.summary,
        operation.note if not operation.note.startswith(_CLI_NOTE) else "",
        f"Costs money. Then poll get_{operation.starts} until it ends." if operation.starts else "",
        "Returns one page; `next` holds the cursor of the following one." if operation.paged else "",
    ]
    return " ".join(filter(None, parts))


def hints(operation: Operation) -> dict[str, bool]:
    """The annotations of a tool. A creation only adds something; every other write may change or end something."""
    reads, creates = operation.access == "read", operation.creates is not None
    return {
        "readOnlyHint": reads,
        "destructiveHint": not reads and not creates,
        "idempotentHint": reads or operation.idempotent,
        "openWorldHint": True,
    }


def arguments(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with base64 decoded to bytes, and with JSON text decoded to objects and lists."""
    found = dict(given)
    for parameter in operation.parameters:
        value = found.get(parameter.name)
        if isinstance(value, str) and parameter.kind in _READ:
            found[parameter.name] = _READ[parameter.kind](operation, parameter, value)
    return found


def _bytes(operation: Operation, parameter: Parameter, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ArgumentError(
            f"{operation.name}: expected base64 - at `{parameter.name}`",
            function=operation.name,
            hint="encode the bytes as standard base64, with padding",
        ) from None


def _plain(_operation: Operation, parameter: Parameter, text: str) -> Any:
    """The object or list that the JSON text contains; otherwise the text itself, which the call refuses."""
    value = json_of(text)
    return value if isinstance(value, dict if parameter.kind == "object" else list) else text


def json_of(text: str) -> Any:
    """The value of JSON text; None if the text is invalid."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


_READ: dict[str, Callable[[Operation, Parameter, str], Any]] = {"bytes": _bytes, "object": _plain, "array": _plain}
