"""The part of a version's ``openapi_schema`` that describes a value, in a compact form.

Schemas are written by the publishers of models. A part that is not supported leaves the value open, and a recursive or
very large schema is read up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from msgspec import UNSET, Struct

from kosmolua.replicate.spelling import value_of

_KINDS = frozenset({"string", "integer", "number", "boolean", "object", "array"})
_MAX_DEPTH = 32
_MAX_PARTS = 5_000
_ITEMS = 100  # items of lists and objects that count as one part
_UNREAD: Mapping[str, Any] = {"additionalProperties": True}  # allows everything
_HERE = "#/components/schemas/"


class Shape(Struct, frozen=True, kw_only=True, dict=True):
    """What a value may be. ``kinds`` are JSON's types, empty for any; ``either`` are alternatives.

    ``format`` is "uri" for files, "password" for secrets; ``joined``: the strings in a list form one text. ``required``
    names members, and ``others`` is the shape of unnamed members; ``closed`` refuses them. ``prefix`` are the shapes of
    a list's first items, ``items`` is that of the rest. ``above`` and ``below`` are exclusive bounds.
    """

    kinds: tuple[str, ...] = ()
    nullable: bool = False
    enum: tuple[Any, ...] = ()
    format: str = ""
    joined: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    step: float | None = None
    shortest: int | None = None
    longest: int | None = None
    pattern: str = ""
    fewest: int | None = None
    most: int | None = None
    distinct: bool = False
    prefix: tuple[Shape, ...] = ()
    items: Shape | None = None
    members: Mapping[str, Shape] = {}
    others: Shape | None = None
    closed: bool = False
    required: frozenset[str] = frozenset()
    either: tuple[Shape, ...] = ()
    default: Any = UNSET
    description: str = ""
    deprecated: bool = False
    order: float | None = None

    @property
    def is_file(self) -> bool:
        return self.kinds == ("string",) and self.format == "uri"

    @cached_property
    def mixed(self) -> bool:
        """Whether the enum has values of other types than declared, as in schemas of old models: the enum applies."""
        return bool(self.kinds and self.enum) and not any(_is_of(kind, one) for one in self.enum for kind in self.kinds)

    @cached_property
    def types(self) -> frozenset[str]:
        """The types of valid values; empty for any."""
        return frozenset(self.kinds or (kind for one in self.enum for kind in _TYPES if _is_of(kind, one)))

    @cached_property
    def spelled(self) -> Mapping[tuple[bool, Any], str]:
        """The texts of the enum, each by the number or boolean that only this text spells; the keys are as in
        `words`.
        """
        found: dict[tuple[bool, Any], str | None] = {}
        for one in self.enum:
            value = value_of(one) if isinstance(one, str) else None
            if value is not None:
                key = (isinstance(value, bool), value)
                found[key] = None if key in found else one
        return {key: one for key, one in found.items() if one is not None}

    @cached_property
    def words(self) -> frozenset[tuple[bool, Any]]:
        """The texts and numbers of the enum, with whether each is a boolean: in Python, true equals 1."""
        return frozenset((isinstance(one, bool), one) for one in self.enum if not isinstance(one, list | dict))

    @cached_property
    def values(self) -> tuple[list[Any] | dict[str, Any], ...]:
        """The lists and objects of the enum."""
        return tuple(one for one in self.enum if isinstance(one, list | dict))


def shape_of(document: Any, name: str) -> Shape | None:
    """The shape of that name, such as Input, in an ``openapi_schema``; None if missing or unreadable."""
    schemas = mapping(mapping(mapping(document).get("components")).get("schemas"))
    return _Reader(schemas).shape(schemas[name]) if isinstance(schemas.get(name), Mapping) else None


class _Reader:
    """Reads shapes up to the limit of one schema; beyond it, shapes allow everything."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._left = _MAX_PARTS

    def shape(self, schema: Any, depth: int = 0) -> Shape:
        flat = self._flat(schema, depth)
        kinds, null = _kinds(flat.get("type"))
        enum = flat["enum"] if isinstance(flat.get("enum"), list) else [flat["const"]] if "const" in flat else []
        prefix, rest = _items(flat)
        return Shape(
            kinds=kinds,
            nullable=null or flat.get("nullable") is True or None in enum,
            enum=tuple(one for one in enum if one is not None),
            format=_text(flat.get("format")),
            joined=flat.get("x-cog-array-display") == "concatenate",
            **_bounds(flat),
            step=_number(flat.get("multipleOf")) or None,
            shortest=_count(flat.get("minLength")),
            longest=_count(flat.get("maxLength")),
            pattern=_text(flat.get("pattern")),
            fewest=_count(flat.get("minItems")),
            most=_count(flat.get("maxItems")),
            distinct=flat.get("uniqueItems") is True,
            prefix=tuple(self.shape(one, depth + 1) for one in prefix),
            items=None if rest is UNSET else self.shape(rest, depth + 1),
            members={
                name: self.shape(member, depth + 1)
                for name, member in mapping(flat.get("properties")).items()
                if isinstance(name, str)
            },
            others=self._others(flat, depth),
            closed=flat.get("additionalProperties") is False and "patternProperties" not in flat,
            required=frozenset(name for name in _list(flat.get("required")) if isinstance(name, str)),
            either=tuple(self.shape(one, depth + 1) for one in _options(flat)),
            default=flat.get("default", UNSET),
            description=_description(flat.get("description")),
            deprecated=flat.get("deprecated") is True,
            order=_number(flat.get("x-order")),
        )

    def _flat(self, schema: Any, depth: int) -> Mapping[str, Any]:
        """The schema merged with its references and its ``allOf`` parts; its own keys take precedence."""
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._left < 0:
            return _UNREAD
        # A reference is short, but its target may be long.
        self._left -= (len(schema) + sum(len(one) for one in schema.values() if isinstance(one, list | dict))) // _ITEMS
        flat: dict[str, Any] = {}
        members: dict[str, Any] = {}
        required: list[Any] = []
        for part in (*(self._flat(part, depth + 1) for part in self._parts(schema)), _own(schema)):
            members.update(mapping(part.get("properties")))
            required.extend(_list(part.get("required")))
            flat |= part
        return {**flat, "properties": members, "required": required}

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        if "$ref" in schema:
            reference = _text(schema["$ref"])
            yield self._schemas.get(reference.removeprefix(_HERE)) if reference.startswith(_HERE) else None
        yield from _list(schema.get("allOf"))
        if len(options := _options(schema)) == 1:
            yield options[0]

    def _others(self, flat: Mapping[str, Any], depth: int) -> Shape | None:
        others = flat.get("additionalProperties")
        if isinstance(others, Mapping):
            return self.shape(others, depth + 1)
        return Shape() if others is True or "patternProperties" in flat else None


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


def _is_of(kind: str, value: Any) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return kind == "boolean" and isinstance(value, bool)
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


_ALTERNATIVES = ("anyOf", "oneOf")


def _own(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema's own keys, without its parts."""
    parts = {"$ref", "allOf", *(_ALTERNATIVES if len(_options(schema)) == 1 else ())}
    null = {"nullable": True} if _has_null(schema) else {}
    return {**{name: fact for name, fact in schema.items() if name not in parts}, **null}


def _options(schema: Mapping[str, Any]) -> list[Any]:
    """The alternatives of a schema, without null."""
    return [one for name in _ALTERNATIVES for one in _list(schema.get(name)) if not _is_null(one)]


def _has_null(schema: Mapping[str, Any]) -> bool:
    return any(_is_null(one) for name in _ALTERNATIVES for one in _list(schema.get(name)))


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (schema.get("type") == "null" or schema.get("enum") == [None])


def _items(flat: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of the first items of a list, and of the rest; in older drafts the first ones are under "items"."""
    rest = flat.get("items", UNSET)
    if isinstance(rest, list):
        return rest, flat.get("additionalItems", UNSET)
    return _list(flat.get("prefixItems")), rest


def _bounds(flat: Mapping[str, Any]) -> dict[str, float | None]:
    """The bounds of a number. In older drafts, `true` makes the other bound exclusive."""
    low, high = _number(flat.get("minimum")), _number(flat.get("maximum"))
    above, below = _number(flat.get("exclusiveMinimum")), _number(flat.get("exclusiveMaximum"))
    if flat.get("exclusiveMinimum") is True:
        low, above = None, low
    if flat.get("exclusiveMaximum") is True:
        high, below = None, high
    return {"minimum": low, "maximum": high, "above": above, "below": below}


def _description(given: Any) -> str:
    """The description, without the text that pydantic gives every enum."""
    text = _text(given)
    return "" if text.strip() == "An enumeration." else text


def _kinds(given: Any) -> tuple[tuple[str, ...], bool]:
    """The known types, and whether null is one; an unknown type allows everything."""
    names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
    kinds = tuple(dict.fromkeys(name for name in names if name != "null"))
    return (kinds if set(kinds) <= _KINDS else ()), "null" in names


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def one_line(text: str) -> str:
    """Untrusted text on one line, without control characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable()).strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
