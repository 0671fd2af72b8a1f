"""Lossless conversions of an input, by the model's schema: the text "512" for a number, an empty table for a list. Old
models convert such values themselves, new ones reject them; both accept the converted value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import UNSET, Struct

from kosmolua.replicate.shape import Shape
from kosmolua.replicate.spelling import number_of, truth_of

MAX_CHANGES = 10_000  # conversions in one input; further values are not converted
_MAX_DEPTH = 32
_NAMES = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}

Path = tuple[str | int, ...]
Fits = Callable[[Shape, Any], bool]
"""Whether a value matches a shape as it is."""


class Change(Struct, frozen=True):
    """One conversion: the place of the value, as names and 0-based indexes, and its new value; UNSET to leave
    it out.
    """

    path: Path
    value: Any

    @property
    def kind(self) -> str:
        """The type of the new value for the log; empty if it is left out."""
        return "" if self.value is UNSET else _NAMES[type(self.value)]


class Object(Protocol):
    """The part of a shape that describes the members of an object."""

    @property
    def members(self) -> Mapping[str, Shape]: ...

    @property
    def required(self) -> frozenset[str]: ...

    @property
    def others(self) -> Shape | None: ...


class Converter:
    """Converts one input, and collects the ``changes``. ``fits`` says whether a value matches a shape as it is, and
    ``take`` counts a step. A value that matches nothing even after a conversion is unchanged.
    """

    def __init__(self, fits: Fits, take: Callable[[], None]) -> None:
        self.changes: list[Change] = []
        self._fits = fits
        self._take = take

    def members(self, shape: Object, given: Mapping[str, Any], path: Path = (), depth: int = 0) -> Mapping[str, Any]:
        made: dict[str, Any] | None = None
        for name, value in given.items():
            member = shape.members.get(name, shape.others)
            if member is None:
                continue
            if value is None:
                new = UNSET if name not in shape.required and _means_nothing(member) else None
                self.changes += [Change((*path, name), new)] if new is UNSET else []
            else:
                new = self._value(member, value, (*path, name), depth + 1)
            if new is not value:
                made = dict(given) if made is None else made
                made[name] = new
        return given if made is None else {name: value for name, value in made.items() if value is not UNSET}

    def _value(self, shape: Shape, value: Any, path: Path, depth: int) -> Any:
        self._take()
        if value is None or depth > _MAX_DEPTH or len(self.changes) >= MAX_CHANGES or shape.mixed:
            return value
        if shape.either:
            return self._alternative(shape, value, path, depth)
        new = _converted(shape, value)
        if new is not UNSET:
            self.changes.append(Change(path, new))
            return new
        if isinstance(value, Mapping):
            return self.members(shape, value, path, depth)
        if isinstance(value, list | tuple):
            return self._items(shape, value, path, depth)
        return value

    def _items(self, shape: Shape, value: Sequence[Any], path: Path, depth: int) -> Sequence[Any]:
        if shape.items is None and not shape.prefix:
            return value
        before = len(self.changes)
        made = [
            self._value(one, item, (*path, index), depth + 1)
            if (one := shape.prefix[index] if index < len(shape.prefix) else shape.items)
            else item
            for index, item in enumerate(value)
        ]
        return made if len(self.changes) > before else value

    def _alternative(self, shape: Shape, value: Any, path: Path, depth: int) -> Any:
        """The value, converted by the alternative that it matches, else by the first one that it matches after a
        conversion.
        """
        fitting = next((one for one in shape.either if self._fits(one, value)), None)
        for one in shape.either if fitting is None else [fitting]:
            before = len(self.changes)
            new = self._value(one, value, path, depth + 1)
            if new is not value and self._fits(one, new):
                return new
            del self.changes[before:]
        return value


def note_of(changes: Iterable[Change]) -> str:
    """The changes in words, without values, such as: width to integer, mask left out."""
    words = dict.fromkeys(
        f"{change.path[0]} to {change.kind}" if change.kind else f"{change.path[0]} left out" for change in changes
    )
    return ", ".join(words)


def _means_nothing(shape: Shape) -> bool:
    """Whether null means the same as a missing value: new models reject null."""
    return not shape.nullable or shape.default in (UNSET, None)


def _converted(shape: Shape, value: Any) -> Any:
    """The value converted to a type in the schema; UNSET if no conversion applies."""
    kinds = shape.types
    match value:
        case bool():
            return UNSET if "boolean" in kinds else shape.spelled.get((True, value), UNSET)
        case str():
            return UNSET if "string" in kinds or not kinds else _read(value, kinds)
        case int():
            return UNSET if _takes_numbers(kinds) else shape.spelled.get((False, value), UNSET)
        case float() if _takes_numbers(kinds):
            return int(value) if value.is_integer() and "number" not in kinds and kinds else UNSET
        case float():
            return shape.spelled.get((False, value), UNSET)
        case dict() if not value and "array" in kinds and "object" not in kinds:
            return []
        case list() | tuple() if not value and "object" in kinds and "array" not in kinds:
            return {}
    return UNSET


def _takes_numbers(kinds: frozenset[str]) -> bool:
    return not kinds or "integer" in kinds or "number" in kinds


def _read(text: str, kinds: frozenset[str]) -> Any:
    if "integer" in kinds or "number" in kinds:
        found = number_of(text)
        if found is not None and ("number" in kinds or isinstance(found, int)):
            return found
    return UNSET if (truth := truth_of(text)) is None or "boolean" not in kinds else truth
