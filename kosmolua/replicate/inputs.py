"""The inputs of a model, from its version's schema: descriptions for a reader, and checks of a given input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec import UNSET, Struct

from kosmolua.errors import ArgumentError
from kosmolua.replicate.shape import Shape, shape_of
from kosmolua.replicate.structs import LocalFile, short, suggestion

MAX_PROBLEMS = 10
MAX_STEPS = 300_000  # of one check, each up to 2 us: more than 100,000 values in a list need, and under a second
_MAX_WORDS = 8
_MAX_DEPTH = 32
_MAX_EXPECTED = 300  # characters
_MAX_NEAR, _MAX_NEAR_WORD = 300, 100  # words to compare for suggestions, and characters of each
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list, tuple),
}
_PLURALS = {"any": "anything", "boolean": "booleans", "file": "files", "integer": "integers", "list": "lists",
            "number": "numbers", "object": "objects", "secret": "secrets", "string": "strings"}  # fmt: skip


class Input(Struct, frozen=True):
    """One input of a model."""

    name: str
    shape: Shape
    required: bool

    @property
    def type(self) -> str:
        return type_words(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """The input as plain data, without unset facts."""
        bounds = {
            "minimum": self.shape.minimum,
            "maximum": self.shape.maximum,
            "min_length": self.shape.shortest,
            "max_length": self.shape.longest,
            "min_items": self.shape.fewest,
            "max_items": self.shape.most,
        }
        facts = {
            "enum": list(self.shape.enum) or None,
            **bounds,
            "nullable": self.shape.nullable or None,
            "file": "file" in self.type or None,
            "description": self.shape.description or None,
        }
        given = {} if self.shape.default is UNSET else {"default": self.shape.default}
        head = {"name": self.name, "type": self.type, "required": self.required}
        return {**head, **given, **{name: fact for name, fact in facts.items() if fact is not None}}


class Inputs(Struct, frozen=True):
    """The inputs of a version, in the schema's order. ``open``: further inputs are allowed."""

    fields: tuple[Input, ...] = ()
    open: bool = True

    def check(self, given: Any) -> list[str]:
        """What is wrong with an input, each as one sentence; `MAX_PROBLEMS` of them, and one more if there are more.

        What the schema does not say, or says in a way that is not understood, is right. Raises an `ArgumentError` for
        an input that takes too long to check.
        """
        return list(islice(self._problems(given, _Steps()), MAX_PROBLEMS + 1))

    def _problems(self, given: Any, steps: _Steps) -> Iterator[str]:
        given = {} if given == [] else given  # an empty Lua table may be either
        if not isinstance(given, Mapping):
            yield f"expected named inputs, got {_found(Shape(), given)}"
            return
        names = {one.name: None for one in self.fields}
        if not self.open:
            yield from (_unknown(str(name), list(names)) for name in given if name not in names)
        yield from (f"missing `{short(one.name)}`" for one in self.fields if one.required and one.name not in given)
        for one in self.fields:
            value = given.get(one.name)
            if value is not None or (one.required and one.name in given):
                yield from _wrong(one.shape, value, f"input.{short(one.name)}", steps)


class _Steps:
    """The remaining steps of a check, which model and script could otherwise make arbitrarily long."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def take(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise ArgumentError(
                "the input is too large to check against the model's schema",
                hint="send it unchecked: pass validate = false",
            )


def inputs_of(document: Any) -> Inputs:
    """The inputs in a version's ``openapi_schema``. Without a readable schema, every input is valid."""
    shape = shape_of(document, "Input")
    if shape is None or not shape.members:
        return Inputs()
    order = sorted(shape.members, key=lambda name: _rank(shape.members[name].order))
    fields = tuple(
        Input(name, one, name in shape.required and one.default is UNSET)
        for name, one in ((name, shape.members[name]) for name in order)
    )
    return Inputs(fields, open=shape.others is not None or bool(shape.either))


def _rank(order: float | None) -> float:
    return float("inf") if order is None else order


def refuse(problems: list[str], reference: str) -> None:
    """Raise an `ArgumentError` that names all of them, if there are any."""
    if not problems:
        return
    shown = problems[:MAX_PROBLEMS]
    more = ["and more"] if len(problems) > MAX_PROBLEMS else []
    raise ArgumentError(
        f"{short(reference)}: {'; '.join([*shown, *more])}",
        hint=f"see its inputs: kosmo model {short(reference)}, or send it unchecked: validate = false",
        detail={"problems": shown},
    )


# What is wrong with a value ---------------------------------------------------------------------------------------


def _unknown(name: str, names: list[str]) -> str:
    return f"unknown input `{short(name)}`{suggestion(name, [short(one) for one in names])}"


def _wrong(shape: Shape, value: Any, path: str, steps: _Steps, depth: int = 0) -> Iterator[str]:
    """The problems of a value. Without a path the sentences are empty, for a caller that only counts them."""
    steps.take()
    if (value is None and shape.nullable) or depth > _MAX_DEPTH:
        return
    if not _fits(shape, value, steps, depth):
        yield path and _unfit(shape, value, path)
    elif isinstance(value, list | tuple) and shape.items:
        for index, item in enumerate(value):
            yield from _wrong(shape.items, item, path and f"{path}[{index}]", steps, depth + 1)
    elif isinstance(value, Mapping) and shape.members:
        steps.take((len(shape.members) + len(shape.required)) // 8)  # to look for a name is an eighth of a step
        missing = sorted(name for name in shape.required if name not in value and _is_needed(shape, name))
        yield from (f"missing `{short(name)}` - at `{path}`" for name in missing)
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _wrong(member, value[name], path and f"{path}.{short(name)}", steps, depth + 1)


def _unfit(shape: Shape, value: Any, path: str) -> str:
    return f"expected {expected(shape)}, got {_found(shape, value)}{_near(shape, value)} - at `{path}`"


def _is_needed(shape: Shape, name: str) -> bool:
    return name not in shape.members or shape.members[name].default is UNSET


def _fits(shape: Shape, value: Any, steps: _Steps, depth: int) -> bool:
    """Whether the value itself is valid, regardless of its items."""
    if shape.kinds and not any(_is(kind, value, shape) for kind in shape.kinds):
        return False
    if shape.enum and not _is_one_of(shape, value, steps):
        return False
    if shape.either and not any(next(_wrong(one, value, "", steps, depth + 1), None) is None for one in shape.either):
        return False
    return _within(shape, value)


def _is(kind: str, value: Any, shape: Shape) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    if kind in {"array", "object"} and value in ([], {}):  # an empty Lua table may be either
        return True
    return isinstance(value, _PYTHON[kind]) or (shape.is_file and isinstance(value, bytes | LocalFile))


def _is_one_of(shape: Shape, value: Any, steps: _Steps) -> bool:
    if isinstance(value, str | int | float | None):
        return (isinstance(value, bool), value) in shape.words
    steps.take(sum(1 + len(one) for one in shape.values))
    return any(_equal(one, value) for one in shape.values)


def _equal(one: Any, value: Any) -> bool:
    return isinstance(one, bool) == isinstance(value, bool) and bool(one == value)


def _within(shape: Shape, value: Any) -> bool:
    match value:
        case bool():
            return True
        case int() | float():
            return _between(shape.minimum, value, shape.maximum)
        case str() if not shape.is_file:  # the text of a file input is replaced before sending
            return _between(shape.shortest, len(value), shape.longest)
        case list() | tuple():
            return _between(shape.fewest, len(value), shape.most)
    return True


def _between(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


# Words ------------------------------------------------------------------------------------------------------------


def type_words(shape: Shape) -> str:
    """The type for a reader: string, integer, file, list of files, …"""
    if shape.either:
        return " or ".join(dict.fromkeys(type_words(one) for one in shape.either))
    return " or ".join(_word(kind, shape) for kind in shape.kinds) or _of_enum(shape) or "any"


def _word(kind: str, shape: Shape) -> str:
    match kind:
        case "string" if shape.format == "uri":
            return "file"
        case "string" if shape.format == "password":
            return "secret"
        case "array" if shape.items and (shape.items.kinds or shape.items.either):
            inner = type_words(shape.items)
            first, of, rest = inner.partition(" of ")
            return f"list of {_PLURALS.get(first, first)}{of}{rest}"
        case "array":
            return "list"
    return kind


def _of_enum(shape: Shape) -> str:
    return "string" if shape.enum and all(isinstance(one, str) for one in shape.enum) else ""


def expected(shape: Shape) -> str:
    """The accepted values in words: integer from 1 to 4."""
    words = _expected(shape)
    return words if len(words) <= _MAX_EXPECTED else words[:_MAX_EXPECTED] + "…"


def _expected(shape: Shape) -> str:
    if shape.enum:
        words = [_shown(one) for one in shape.enum[:_MAX_WORDS]]
        more = f" or {len(shape.enum) - _MAX_WORDS} more" if len(shape.enum) > _MAX_WORDS else ""
        return f"{'one of ' if len(shape.enum) > 1 else ''}{', '.join(words)}{more}"
    if shape.either and not shape.kinds:
        return " or ".join(dict.fromkeys(expected(one) for one in shape.either[:_MAX_WORDS]))
    return "file or URL" if shape.is_file else " ".join(filter(None, [type_words(shape), bounds(shape)]))


def bounds(shape: Shape) -> str:
    """The range of a number, or the length of a text or list, in words."""
    parts = [
        _range("", shape.minimum, shape.maximum),
        _range("characters", shape.shortest, shape.longest),
        _range("items", shape.fewest, shape.most),
    ]
    return ", ".join(filter(None, parts))


def _range(unit: str, low: float | None, high: float | None) -> str:
    what = f" {unit}" if unit else ""
    if low is not None and high is not None:
        return f"{'of ' if unit else 'from '}{low} to {high}{what}"
    if low is not None:
        return f"of at least {low}{what}"
    return "" if high is None else f"of at most {high}{what}"


def _found(shape: Shape, value: Any) -> str:
    kind = next((kind for kind, types in _PYTHON.items() if isinstance(value, types)), type(value).__name__)
    if isinstance(value, str | list | tuple) and not _within(shape, value):
        return f"{_name(kind)} of {len(value)}"
    if _is_secret(shape) or not isinstance(value, str | int | float | None):
        return _name(kind)
    return _shown(value)


def _name(kind: str) -> str:
    return "list" if kind == "array" else kind


def _is_secret(shape: Shape) -> bool:
    return shape.format == "password" or any(map(_is_secret, shape.either))


def _shown(value: Any) -> str:
    match value:
        case str():
            return f'"{short(value)}"'
        case None:
            return "null"
    return short(str(value).lower())


def _near(shape: Shape, value: Any) -> str:
    from difflib import get_close_matches

    words = [one for one in shape.enum[:_MAX_NEAR] if isinstance(one, str) and len(one) <= _MAX_NEAR_WORD]
    near = get_close_matches(value[:100], words, n=1) if isinstance(value, str) else []
    return f"; did you mean {_shown(near[0])}?" if near else ""
