"""Checks values against the parts of JSON Schema used here, with the error messages of the API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
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


_REFERENCE = "#/components/schemas/"
_DEEP = 8  # the longest chain of references; a longer one is taken as a cycle


def plain(shape: Any, schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema with top-level ``$ref``, ``allOf`` and the first alternative of ``anyOf`` or ``oneOf`` merged in."""
    if not isinstance(shape, Mapping) or depth > _DEEP:
        return {}
    found = dict(shape)
    parts = [*found.pop("allOf", ())]
    if isinstance(name := found.pop("$ref", None), str):
        parts.append(resolve(schema, name.removeprefix(_REFERENCE)))
    kinds = [one for key in ("anyOf", "oneOf") for one in found.get(key, ()) if one != {"type": "null"}]
    if kinds:
        found = {name: value for name, value in found.items() if name not in {"anyOf", "oneOf"}}
        parts.append(kinds[0])
    for part in parts:
        found = {**plain(part, schema, depth + 1), **found}
    return found


def check_object(
    shape: Mapping[str, Any], value: Mapping[str, Any], path: str, schema: Mapping[str, Any] = MappingProxyType({})
) -> list[Problem]:
    """Errors in the members of an object, as (type, field, description). References are looked up in ``schema``."""
    missing = [
        ("required", path or name, f"{name} is required") for name in shape.get("required", ()) if name not in value
    ]
    wrong = (
        fault
        for name, one in shape.get("properties", {}).items()
        if name in value
        for fault in check(one, value[name], f"{path}.{name}" if path else name, schema)
    )
    return [*missing, *wrong]


def check(shape: Mapping[str, Any], value: Any, path: str, schema: Mapping[str, Any]) -> Iterator[Problem]:
    kinds = _kinds(shape, schema)
    if kinds and not any(_fits(one, value) for one in kinds):
        expected = " or ".join(dict.fromkeys(str(one["type"]) for one in kinds))
        yield "invalid_type", path, f"Invalid type. Expected: {expected}, given: {type_name(value)}"
        return
    shape = next((one for one in kinds if _fits(one, value)), plain(shape, schema))
    kind = shape.get("type")
    if "enum" in shape and value is not None and not _listed(value, shape["enum"]):
        yield "enum", path, "Must be one of the following: " + ", ".join(f'"{one}"' for one in shape["enum"])
    elif kind in {"integer", "number"} and isinstance(value, int | float):
        yield from _check_bounds(shape, value, path)
    elif kind == "string" and isinstance(value, str):
        yield from _check_length(shape, value, path)
    elif kind == "array" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from check(shape.get("items", {}), item, f"{path}.{index}", schema)


def _kinds(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternative schemas, one of which the value must match; empty if every type is valid."""
    unions = [*shape.get("anyOf", ()), *shape.get("oneOf", ())]
    kinds = [{**plain(shape, schema), **plain(one, schema)} for one in unions] or [plain(shape, schema)]
    return kinds if all(kind.get("type") for kind in kinds) else []


def _fits(shape: Mapping[str, Any], value: Any) -> bool:
    kinds = shape["type"] if isinstance(shape["type"], list) else [shape["type"]]
    # cog 0.0 wrote enums whose values do not have the declared type: the enum takes precedence.
    return (
        any(_is(value, kind) for kind in kinds)
        or (value is None and shape.get("nullable") is True)
        or _listed(value, shape.get("enum", ()))
    )


def _listed(value: Any, words: Iterable[Any]) -> bool:
    """Whether the value is one of the allowed ones; true is not 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in words)


def _check_length(shape: Mapping[str, Any], value: str, path: str) -> Iterator[Problem]:
    low, high = shape.get("minLength"), shape.get("maxLength")
    if low is not None and len(value) < low:
        yield "string_gte", path, f"String length must be greater than or equal to {low}"
    if high is not None and len(value) > high:
        yield "string_lte", path, f"String length must be less than or equal to {high}"


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
    if kind == "null":
        return value is None
    return isinstance(value, _TYPES.get(kind, object))


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(kind for kind in ("boolean", *_TYPES) if _is(value, kind))


def with_defaults(shape: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The value with defaults for missing members. 2.0 becomes 2 for integer members."""
    properties = shape.get("properties", {})
    assumed = {name: one["default"] for name, one in properties.items() if "default" in one}
    return {**assumed, **{name: _whole(properties.get(name, {}), one) for name, one in value.items()}}


def redacted(shape: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as the API returns it: secret members are hidden."""
    secret = {name for name, one in shape.get("properties", {}).items() if one.get("x-cog-secret") is True}
    return {name: "[REDACTED]" if name in secret else one for name, one in value.items()}


def alike(value: Any) -> Any:
    """The value in a form for comparison with an example: "4.1" becomes a number, since some clients send text, and
    null is left out.
    """
    if isinstance(value, Mapping):
        return {name: alike(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [alike(item) for item in value]
    if isinstance(value, str) and value in _FLAGS:
        return _FLAGS[value]
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return value


_FLAGS = {"True": True, "true": True, "False": False, "false": False}


def _whole(schema: Mapping[str, Any], value: Any) -> Any:
    return int(value) if schema.get("type") == "integer" and isinstance(value, float) else value
