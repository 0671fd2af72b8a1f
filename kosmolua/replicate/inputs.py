"""The inputs of a model, from its version's schema: descriptions for a reader, and checks of a given input."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from shlex import quote
from typing import Any

from msgspec import UNSET, Struct

from kosmolua.errors import ArgumentError
from kosmolua.replicate.conversion import Change, Converter, note_of
from kosmolua.replicate.ranges import bounds, has_right_length, within
from kosmolua.replicate.shape import Shape, shape_of
from kosmolua.replicate.spelling import spells
from kosmolua.replicate.structs import LocalFile, short, suggestion

MAX_PROBLEMS = 10
MAX_STEPS = (
    300_000  # steps of one check, at up to 2 us each: enough for 100,000 values in a list, in less than a second
)
_MAX_WORDS = 8
_MAX_DEPTH = 32
_MAX_EXPECTED = 300  # characters
_MAX_NEAR, _MAX_NEAR_WORD = 300, 100  # words to compare for suggestions, and characters of each
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+://|data:")
_PATH = re.compile(r"[^\n:]{0,190}([/\\\\][^\n:]{0,190}|\.[A-Za-z0-9]{1,8})")
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
            "exclusive_minimum": self.shape.above,
            "exclusive_maximum": self.shape.below,
            "multiple_of": self.shape.step,
            "pattern": self.shape.pattern or None,
            "min_items": self.shape.fewest,
            "max_items": self.shape.most,
            "unique_items": self.shape.distinct or None,
        }
        facts = {
            "enum": list(self.shape.enum) or None,
            **bounds,
            "nullable": self.shape.nullable or None,
            "deprecated": self.shape.deprecated or None,
            "file": "file" in self.type or None,
            "description": self.shape.description or None,
        }
        given = {} if self.shape.default is UNSET else {"default": self.shape.default}
        head = {"name": self.name, "type": self.type, "required": self.required}
        return {**head, **given, **{name: fact for name, fact in facts.items() if fact is not None}}


class Fitted(Struct, frozen=True):
    """An input as it is sent, the conversions that it needed, and its problems, one sentence each."""

    input: Any
    changes: list[Change]
    problems: list[str]

    @property
    def note(self) -> str:
        """The conversions in words, for the call log, such as: width to integer. Empty if there are none."""
        return note_of(self.changes)


class Inputs(Struct, frozen=True, dict=True):
    """The inputs of a version, in the schema's order. ``open``: further inputs are allowed; ``others`` is their shape,
    if the schema has one.
    """

    fields: tuple[Input, ...] = ()
    open: bool = True
    others: Shape | None = None

    def fitted(self, given: Any) -> Fitted:
        """The input after lossless conversions, checked. Raises what `wrong` raises."""
        steps = Steps()

        def fits(shape: Shape, value: Any) -> bool:
            return next(_wrong(shape, value, "", steps), None) is None

        converter = Converter(fits, steps.take)
        new = converter.members(self, given) if isinstance(given, Mapping) else given
        return Fitted(new, converter.changes, self.wrong(new))

    @cached_property
    def members(self) -> Mapping[str, Shape]:
        return {one.name: one.shape for one in self.fields}

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(one.name for one in self.fields if one.required)

    def check(self, given: Any) -> list[str]:
        """The problems of an input after lossless conversions."""
        return self.fitted(given).problems

    def wrong(self, given: Any) -> list[str]:
        """The problems of an unconverted input, one sentence each: at most `MAX_PROBLEMS`, plus one if there are more.
        What the schema does not define, or defines in an unknown way, is valid. Raises an `ArgumentError` for an input
        that takes too long to check.
        """
        return list(islice(self._problems(given, Steps()), MAX_PROBLEMS + 1))

    def _problems(self, given: Any, steps: Steps) -> Iterator[str]:
        given = {} if given == [] else given  # an empty Lua table may be either
        if not isinstance(given, Mapping):
            yield f"expected named inputs, got {_found(Shape(), given)}"
            return
        names = {one.name: None for one in self.fields}
        if not self.open:
            unknown = ((str(name), value) for name, value in given.items() if name not in names)
            yield from (_unknown(name, list(names), value=value) for name, value in unknown)
        yield from (f"missing `{short(one.name)}`" for one in self.fields if one.required and one.name not in given)
        for one in self.fields:
            value = given.get(one.name)
            if value is not None or (one.required and one.name in given):
                path = f"input.{short(one.name)}"
                unset = _unset(one, value, path)
                yield from [unset] if unset else _wrong(one.shape, value, path, steps)
        for name in given if self.others else ():
            if self.others and name not in names and given[name] is not None:
                yield from _wrong(self.others, given[name], f"input.{short(str(name))}", steps)


class Steps:
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


def inputs_of(document: Any, part: str = "Input") -> Inputs:
    """The inputs in a version's ``openapi_schema``; of a training with the ``part`` TrainingInput. Without a readable
    schema, every input is valid.
    """
    shape = shape_of(document, part)
    if shape is None or not shape.members:
        return Inputs()
    order = sorted(shape.members, key=lambda name: _rank(shape.members[name].order))
    fields = tuple(
        Input(name, one, name in shape.required and one.default is UNSET)
        for name, one in ((name, shape.members[name]) for name in order)
    )
    return Inputs(fields, open=shape.others is not None or bool(shape.either), others=shape.others)


def _rank(order: float | None) -> float:
    return float("inf") if order is None else order


def refuse(problems: list[str], reference: str) -> None:
    """Raise an `ArgumentError` that names all problems, if there are any."""
    if not problems:
        return
    shown = problems[:MAX_PROBLEMS]
    more = ["and more"] if len(problems) > MAX_PROBLEMS else []
    raise ArgumentError(
        f"{short(reference)}: {'; '.join([*shown, *more])}",
        hint=f"see its inputs: kosmo model {quote(short(reference))}, or send it unchecked: validate = false",
        detail={"problems": shown},
    )


# What is wrong with a value ---------------------------------------------------------------------------------------


def _unknown(name: str, names: list[str], what: str = "input", value: Any = None) -> str:
    if name == "input" and isinstance(value, Mapping) and names:
        return f"unknown input `input`; pass its fields directly: {{ {short(names[0])} = … }}"
    return f"unknown {what} `{short(name)}`{suggestion(name, [short(one) for one in names])}"


def placeholder(name: str) -> str:
    """The value in an example that the reader has to replace; a call that still has it is rejected and not sent."""
    return f"<{name}>"


def _unset(one: Input, value: Any, path: str) -> str:
    """The problem of an input that still has the placeholder of an example."""
    given = value if isinstance(value, list) else [value]
    if placeholder(one.name) in given and placeholder(one.name) not in one.shape.enum:
        return f'replace the placeholder "{short(placeholder(one.name))}" with a value - at `{path}`'
    return ""


def _wrong(shape: Shape, value: Any, path: str, steps: Steps, depth: int = 0) -> Iterator[str]:
    """The problems of a value. Without a path the sentences are empty, for a caller that only counts them."""
    steps.take()
    if (value is None and shape.nullable) or depth > _MAX_DEPTH:
        return
    if not _fits(shape, value, steps, depth):
        yield path and _unfit(shape, value, path)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            one = shape.prefix[index] if index < len(shape.prefix) else shape.items
            if one:
                yield from _wrong(one, item, path and f"{path}[{index}]", steps, depth + 1)
    elif isinstance(value, Mapping):
        yield from _wrong_members(shape, value, path, steps, depth)


def _wrong_members(shape: Shape, value: Mapping[Any, Any], path: str, steps: Steps, depth: int) -> Iterator[str]:
    steps.take((len(shape.members) + len(shape.required)) // 8)  # looking up a name costs an eighth of a step
    missing = sorted(name for name in shape.required if name not in value and _is_needed(shape, name))
    yield from (f"missing `{short(name)}` - at `{path}`" for name in missing)
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _wrong(member, value[name], path and f"{path}.{short(name)}", steps, depth + 1)
    if not shape.closed and not shape.others:
        return
    steps.take(len(value))
    for name in (name for name in value if name not in shape.members):
        if shape.closed:
            yield path and f"{_unknown(str(name), list(shape.members), 'member')} - at `{path}`"
        elif shape.others and value[name] is not None:
            yield from _wrong(shape.others, value[name], path and f"{path}.{short(str(name))}", steps, depth + 1)


def _unfit(shape: Shape, value: Any, path: str) -> str:
    return f"expected {expected(shape)}, got {_found(shape, value)}{_near(shape, value)} - at `{path}`"


def _is_needed(shape: Shape, name: str) -> bool:
    return name not in shape.members or shape.members[name].default is UNSET


def _fits(shape: Shape, value: Any, steps: Steps, depth: int) -> bool:
    """Whether the value itself is valid, regardless of its items."""
    if shape.mixed:
        return _is_one_of(shape, value, steps) or _is_counterpart(shape, value)
    if shape.kinds and not any(_is(kind, value, shape) for kind in shape.kinds):
        return False
    if shape.is_file and isinstance(value, str) and not _URL.match(value):
        return False
    if shape.enum and not _is_one_of(shape, value, steps):
        return False
    if shape.either and not any(next(_wrong(one, value, "", steps, depth + 1), None) is None for one in shape.either):
        return False
    return within(shape, value) and (not shape.distinct or _is_distinct(value, steps))


def _is_counterpart(shape: Shape, value: Any) -> bool:
    """Whether the enum has this number or boolean as text, or the number or boolean that this text spells."""
    if isinstance(value, str):
        return any(spells(value, one) for one in shape.enum)
    return any(isinstance(one, str) and spells(one, value) for one in shape.enum)


def _is_distinct(value: Any, steps: Steps) -> bool:
    if not isinstance(value, list | tuple):
        return True
    seen = set()
    for item in value:
        steps.take()
        seen.add(_key(item, steps))
    return len(seen) == len(value)


def _key(value: Any, steps: Steps) -> Any:
    """A key that only equal JSON values share: in Python, true equals 1."""
    match value:
        case dict():
            steps.take(len(value))
            return "{}", frozenset((name, _key(item, steps)) for name, item in value.items())
        case list() | tuple():
            steps.take(len(value))
            return "[]", tuple(_key(item, steps) for item in value)
    return isinstance(value, bool), value


def _is(kind: str, value: Any, shape: Shape) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    if kind in {"array", "object"} and value in ([], {}):  # an empty Lua table may be either
        return True
    return isinstance(value, _PYTHON[kind]) or (shape.is_file and isinstance(value, bytes | LocalFile))


def _is_one_of(shape: Shape, value: Any, steps: Steps) -> bool:
    if isinstance(value, str | int | float | None):
        return (isinstance(value, bool), value) in shape.words
    steps.take(sum(1 + len(one) for one in shape.values))
    return any(_equal(one, value) for one in shape.values)


def _equal(one: Any, value: Any) -> bool:
    return isinstance(one, bool) == isinstance(value, bool) and bool(one == value)


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


def _found(shape: Shape, value: Any) -> str:
    kind = next((kind for kind, types in _PYTHON.items() if isinstance(value, types)), type(value).__name__)
    if isinstance(value, str | list | tuple) and not shape.is_file and not has_right_length(shape, value):
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

    if shape.is_file and isinstance(value, str):
        return f'; did you mean file("{short(value)}")?' if _PATH.fullmatch(value) else ""
    words = [one for one in shape.enum[:_MAX_NEAR] if isinstance(one, str) and len(one) <= _MAX_NEAR_WORD]
    near = get_close_matches(value[:100], words, n=1) if isinstance(value, str) else []
    return f"; did you mean {_shown(near[0])}?" if near else ""
