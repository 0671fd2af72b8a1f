"""Checks the schema that a server sends: only what has the form of JSON Schema is read by the emulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_DEPTH = 100  # levels of a document; the json modules of CPython and the client fail at about 1,000
_TEXTS = ("type", "format", "$ref", "x-cog-array-type", "x-cog-array-display")
_NUMBERS = ("minimum", "maximum", "minLength", "maxLength")
_LISTS = ("allOf", "anyOf", "oneOf")


def is_deep(value: Any, left: int = MOST_DEPTH) -> bool:
    """Whether a document has more than `MOST_DEPTH` levels."""
    if not isinstance(value, dict | list):
        return False
    return left == 0 or any(is_deep(item, left - 1) for item in (value.values() if isinstance(value, dict) else value))


def fault_of(document: Mapping[str, Any]) -> str | None:
    """The first schema keyword whose value has the wrong type, with its path; None if the schema is valid."""
    components = document.get("components", {})
    shapes = components.get("schemas", {}) if isinstance(components, Mapping) else None
    if not isinstance(shapes, Mapping):
        return "components.schemas: expected an object"
    return next((fault for name, shape in shapes.items() for fault in _faults(shape, name)), None)


def _faults(shape: Any, path: str) -> Iterator[str]:
    if not isinstance(shape, Mapping):
        yield f"{path}: expected an object"
        return
    yield from (f"{path}.{name}: expected a text" for name in _TEXTS if not isinstance(shape.get(name, ""), str))
    yield from (f"{path}.{name}: expected a number" for name in _NUMBERS if not _is_number(shape.get(name, 0)))
    if not _is_list(shape.get("required", []), str):
        yield f"{path}.required: expected a list of names"
    if not isinstance(shape.get("enum", []), list):
        yield f"{path}.enum: expected a list"
    yield from _nested_faults(shape, path)


def _nested_faults(shape: Mapping[str, Any], path: str) -> Iterator[str]:
    properties = shape.get("properties", {})
    if not isinstance(properties, Mapping):
        yield f"{path}.properties: expected an object"
        return
    for name, one in properties.items():
        yield from _faults(one, f"{path}.{name}")
    for name in _LISTS:
        parts = shape.get(name, [])
        if not isinstance(parts, list):
            yield f"{path}.{name}: expected a list"
            return
        for part in parts:
            yield from _faults(part, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if not isinstance(shape.get(name, True), bool):
            yield from _faults(shape[name], f"{path}.{name}")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
