"""The schemas of tools in the dialects that clients accept. What a schema cannot express is checked when the tool is
called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from kosmolua.manual import reference
from kosmolua.replicate.catalogue import Operation, Parameter

Dialect = Literal["any", "openai", "anthropic", "gemini"]
DIALECTS: tuple[Dialect, ...] = ("any", "openai", "anthropic", "gemini")
"""Whose rules the schemas follow. "any" uses only what every client accepts; "openai" is strict mode, which requires
each property and allows no open objects; "gemini" accepts neither `additionalProperties` nor open objects.
"""

_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_NO_NEWLINE = r"(?!\n)"  # for a final $, which already means the end of the text in JSON Schema
_FORMATS = {"date-time"}
_KEPT = ("type", "enum", "items", "minimum", "maximum")

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "success": {"type": "boolean"},
        "data": {},
        "error": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
    },
    "required": ["success"],
}
"""The structured content of a tool. ``data`` has no type, since a client would drop a paid answer because of an
unexpected field."""

DONE: dict[str, Any] = {"type": "object", "properties": {"success": {"type": "boolean"}}, "required": ["success"]}
RUN: dict[str, Any] = {
    **DONE,
    "properties": {
        "success": {"type": "boolean"},
        "result": {},
        "error": {},
        "status": {"type": "string"},
        "id": {"type": "string"},
    },
}
"""The structured content of a run. It may also contain properties that are not listed."""


def of_input(operation: Operation, dialect: Dialect) -> dict[str, Any]:
    """The schema of a tool's arguments."""
    found = reference.schema(operation)
    properties = {
        parameter.name: _property(parameter, found["properties"][parameter.name], dialect)
        for parameter in operation.parameters
    }
    return closed({"type": "object", "properties": properties, "required": found.get("required", [])}, dialect)


def of_output(operation: Operation) -> dict[str, Any]:
    """The schema of a tool's structured content."""
    data = {"description": operation.returns or "null"}
    return {**ENVELOPE, "properties": {**ENVELOPE["properties"], "data": data}}


def closed(schema: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """An object's schema that allows no other properties, expressed in the dialect."""
    properties, required = dict(schema["properties"]), list(schema["required"])
    if dialect == "openai":
        properties = {name: part if name in required else _nullable(part) for name, part in properties.items()}
        required = list(properties)
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required or dialect == "openai" else {}),
        **({"additionalProperties": False} if dialect != "gemini" else {}),
    }


def _property(parameter: Parameter, schema: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    found = {"description": _described(parameter, dialect), **{name: schema[name] for name in _KEPT if name in schema}}
    if parameter.kind == "object" and dialect in {"openai", "gemini"}:
        found["type"] = "string"
    pattern = (parameter.pattern or "").removesuffix(_NO_NEWLINE)
    if pattern and not _LOOKAROUND.search(pattern):
        found["pattern"] = pattern
    if parameter.format in _FORMATS:
        found["format"] = parameter.format
    return found


def _described(parameter: Parameter, dialect: Dialect) -> str:
    default = isinstance(parameter.default, str | int)
    parts = [
        parameter.help,
        f"Default: {parameter.default}." if default else "",
        "Base64." if parameter.kind == "bytes" else "",
        "JSON text of an object." if parameter.kind == "object" and dialect in {"openai", "gemini"} else "",
    ]
    return " ".join(filter(None, parts))


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that also allows null: strict mode has no optional properties, so null stands for an omitted one."""
    kinds = {"type": [schema["type"], "null"]}
    return {**schema, **kinds, **({"enum": [*schema["enum"], None]} if "enum" in schema else {})}
