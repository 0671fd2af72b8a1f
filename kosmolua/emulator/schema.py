"""Checks values against the parts of JSON Schema used here, with the error messages of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Problem = tuple[str, str, str]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def resolve(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("components", {}).get("schemas", {}).get(name, {})
    return found


def check_object(shape: Mapping[str, Any], value: Mapping[str, Any], path: str) -> list[Problem]:
    """Errors in the members of an object, as (type, field, description)."""
    missing = [
        ("required", path or name, f"{name} is required") for name in shape.get("required", ()) if name not in value
    ]
    wrong = (
        fault
        for name, schema in shape.get("properties", {}).items()
        if name in value
        for fault in check(schema, value[name], f"{path}.{name}" if path else name)
    )
    return [*missing, *wrong]


def check(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Problem]:
    kind = schema.get("type")
    if kind and not _is(value, kind):
        yield "invalid_type", path, f"Invalid type. Expected: {kind}, given: {type_name(value)}"
    elif "enum" in schema and value not in schema["enum"]:
        yield "enum", path, "Must be one of the following: " + ", ".join(f'"{one}"' for one in schema["enum"])
    elif kind in {"integer", "number"}:
        yield from _check_bounds(schema, value, path)
    elif kind == "array":
        for index, item in enumerate(value):
            yield from check(schema.get("items", {}), item, f"{path}.{index}")


def _check_bounds(schema: Mapping[str, Any], value: float, path: str) -> Iterator[Problem]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and value < low:
        yield "number_gte", path, f"Must be greater than or equal to {low}"
    if high is not None and value > high:
        yield "number_lte", path, f"Must be less than or equal to {high}"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(kind for kind in ("boolean", *_TYPES) if _is(value, kind))


def with_defaults(shape: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The value with defaults for missing members. 2.0 becomes 2 for integer members."""
    properties = shape.get("properties", {})
    assumed = {name: one["default"] for name, one in properties.items() if "default" in one}
    return {**assumed, **{name: _whole(properties.get(name, {}), one) for name, one in value.items()}}


def _whole(schema: Mapping[str, Any], value: Any) -> Any:
    return int(value) if schema.get("type") == "integer" else value
