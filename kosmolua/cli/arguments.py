"""Parse a function's arguments on the command line: a JSON object, ``--name value``, ``--name=value``,
``--arg name=value``, and ``--input.text value`` for a field of an object.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from kosmolua.cli import values
from kosmolua.errors import ArgumentError, UsageError
from kosmolua.replicate.catalogue import Operation, Parameter

_INTEGER = re.compile(r"[+-]?[0-9]+")


def payload(text: str | bytes, source: str) -> dict[str, Any]:
    """Parse a JSON object. Error messages name ``source`` as its origin."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        reason = "not UTF-8" if _not_utf8(text) else str(error).removeprefix("JSON is malformed: ")
        raise UsageError(
            f"{source} is not valid JSON: {reason}",
            hint="""write it as '{"name": "value"}', in single quotes, or use --name value""",
        ) from None
    if not isinstance(found, dict):
        raise UsageError(
            f"{source}: expected a JSON object of named arguments, got {_kind(found)}",
            hint="""write it as '{"name": "value"}'""",
        )
    return found


def put(arguments: dict[str, Any], operation: Operation, name: str, text: str) -> None:
    """Set one argument from a flag. The parameter's type determines how the text is read.

    A field of an object is read as JSON if it is JSON, else as text.
    """
    first, _, rest = name.partition(".")
    key = first.replace("-", "_").lower()
    parameter = operation.parameter(key)
    key = parameter.name if parameter else key
    if not rest:
        arguments[key] = typed(operation, parameter, text) if parameter else values.anything(text)
        return
    target = arguments.setdefault(key, {})
    *path, last = rest.split(".")
    for step in path:
        target = target.setdefault(step, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise ArgumentError(
            f"--{name}: cannot set a field: an earlier argument set a value that is not an object",
            function=operation.name,
        )
    target[last] = values.anything(text)


def typed(operation: Operation, parameter: Parameter, text: str) -> Any:
    """Convert text to the parameter's type. A string stays a string, even if it looks like a number."""
    match parameter.kind:
        case "integer":
            if not _INTEGER.fullmatch(text):
                raise _invalid(operation, parameter, "an integer", text)
            return int(text)
        case "boolean":
            if text not in {"true", "false"}:
                raise _invalid(operation, parameter, "true or false", text)
            return text == "true"
        case "object":
            return payload(text, f"{operation.name}: `{parameter.name}`")
        case "array":
            return _list(operation, parameter, text)
    return text


def _list(operation: Operation, parameter: Parameter, text: str) -> list[Any]:
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        found: list[Any] = msgspec.json.decode(text, type=list[Any])
    except msgspec.MsgspecError:
        raise _invalid(operation, parameter, "a JSON list or comma-separated values", text) from None
    return found


def _invalid(operation: Operation, parameter: Parameter, expected: str, text: str) -> ArgumentError:
    return ArgumentError(
        f"{operation.name}: expected {expected}, got {text[:100]!r} - at `{parameter.name}`", function=operation.name
    )


def _not_utf8(text: str | bytes) -> bool:
    try:
        text.decode() if isinstance(text, bytes) else text.encode()
    except UnicodeError:
        return True
    return False


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null", int: "a number", float: "a number"}
    return names[type(value)]
