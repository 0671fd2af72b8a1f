"""The part of a version's ``openapi_schema`` that describes a value, in a compact form.

Schemas are written by whoever published the model. What in one is not understood leaves the value open, and one that
goes round in circles, or grows without end, is read up to a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from msgspec import UNSET, Struct

_KINDS = frozenset({"string", "integer", "number", "boolean", "object", "array"})
_MAX_DEPTH = 32
_MAX_PARTS = 5_000
_ITEMS = 100  # items of lists and objects that count as one part
_UNREAD: Mapping[str, Any] = {"additionalProperties": True}  # allows everything
_HERE = "#/components/schemas/"


class Shape(Struct, frozen=True, kw_only=True, dict=True):
    """What a value may be. ``kinds`` are JSON's types, none of them meaning any; ``either`` are alternatives.

    ``format`` is "uri" for files, "password" for secrets; ``joined`` says that the strings of a list are one text.
    ``required`` names members, and ``others`` is the shape of members that have no name here.
    """

    kinds: tuple[str, ...] = ()
    nullable: bool = False
    enum: tuple[Any, ...] = ()
    format: str = ""
    joined: bool = False
    minimum: float | None = None
    maximum: float | None = None
    shortest: int | None = None
    longest: int | None = None
    fewest: int | None = None
    most: int | None = None
    items: Shape | None = None
    members: Mapping[str, Shape] = {}
    others: Shape | None = None
    required: frozenset[str] = frozenset()
    either: tuple[Shape, ...] = ()
    default: Any = UNSET
    description: str = ""
    order: float | None = None

    @property
    def is_file(self) -> bool:
        return self.kinds == ("string",) and self.format == "uri"

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
        return Shape(
            kinds=kinds,
            nullable=null or flat.get("nullable") is True or None in enum,
            enum=tuple(one for one in enum if one is not None),
            format=_text(flat.get("format")),
            joined=flat.get("x-cog-array-display") == "concatenate",
            minimum=_number(flat.get("minimum")),
            maximum=_number(flat.get("maximum")),
            shortest=_count(flat.get("minLength")),
            longest=_count(flat.get("maxLength")),
            fewest=_count(flat.get("minItems")),
            most=_count(flat.get("maxItems")),
            items=self.shape(flat["items"], depth + 1) if "items" in flat else None,
            members={
                name: self.shape(member, depth + 1)
                for name, member in mapping(flat.get("properties")).items()
                if isinstance(name, str)
            },
            others=self._others(flat, depth),
            required=frozenset(name for name in _list(flat.get("required")) if isinstance(name, str)),
            either=tuple(self.shape(one, depth + 1) for one in _options(flat)),
            default=flat.get("default", UNSET),
            description=_text(flat.get("description")),
            order=_number(flat.get("x-order")),
        )

    def _flat(self, schema: Any, depth: int) -> Mapping[str, Any]:
        """The schema merged with its references and its ``allOf`` parts; its own keys take precedence."""
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._left < 0:
            return _UNREAD
        # A reference takes few bytes, and what it refers to may be long.
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
