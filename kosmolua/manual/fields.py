"""The fields of an operation's answer, from the types in `kosmolua.replicate.results`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct, UnsetType

from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.results import BY_NAME, Page, Release, result_type


class Field(Struct, frozen=True):
    """One field of a result. ``name`` is its path, with ``[]`` for each element of a list."""

    name: str
    type: str
    optional: bool
    description: str


def describe(operation: Operation) -> str:
    """An operation's answer in one sentence."""
    match operation.returns:
        case None:
            return "Nothing."
        case "text":
            return "The text."
        case "bytes":
            return "The bytes. JSON carries them as Base64."
    kind = result_type(operation)
    inner = get_args(kind)
    summary = str((inner[0] if inner else kind).__doc__)
    if operation.paged:
        return f"One page of a list. Each element: {summary[0].lower()}{summary[1:]}"
    return f"A list. Each element: {summary[0].lower()}{summary[1:]}" if inner else summary


def fields(operation: Operation) -> list[Field]:
    """The fields of an operation's answer. A nested result that has its own page is only named."""
    kind = result_type(operation)
    if operation.answer != "json":
        return []
    if get_origin(kind) is list:
        return list(_fields(get_args(kind)[0], "[]."))
    if get_origin(kind) is Page:
        inner = get_args(kind)[0]
        rows = [_renamed(row, inner.__name__) for row in _fields(Page, "")]
        return [*rows, *_fields(inner, "results[].")]
    return list(_fields(kind, ""))


def _renamed(row: Field, name: str) -> Field:
    return Field(row.name, row.type.replace("T", name), row.optional, row.description) if "of T" in row.type else row


def _fields(kind: type[Struct], prefix: str) -> list[Field]:
    found: list[Field] = []
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        options, text = alternatives(annotation)
        shown = " or ".join(_word(option) for option in options if option is not UnsetType)
        found.append(Field(prefix + name, shown, UnsetType in options, text))
        for inner, mark in (_part(option) for option in options):
            if inner:
                found += _fields(inner, f"{prefix}{name}{mark}.")
    return found


def alternatives(annotation: Any) -> tuple[list[Any], str]:
    """The alternatives of a type, and the first description that one of them has."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        options, text = alternatives(inner)
        return options, notes[0].description or text
    if get_origin(annotation) in {None, dict, list, Literal}:
        return [annotation], ""
    options, texts = [], []
    for part in get_args(annotation):
        some, text = alternatives(part)
        options += some
        texts.append(text)
    return options, next(filter(None, texts), "")


def _part(kind: Any) -> tuple[type[Struct] | None, str]:
    """The Struct in a field, if its fields are shown here because no function returns it; and "[]" for a list."""
    mark = ""
    if get_origin(kind) is list:
        kind, mark = get_args(kind)[0], "[]"
    shown = isinstance(kind, type) and issubclass(kind, Struct) and (kind is Release or kind.__name__ not in BY_NAME)
    return (kind, mark) if shown else (None, "")


_WORDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", Any: "any"}


def _word(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " | ".join(f'"{word}"' for word in get_args(kind))
    if origin is list:
        return f"list of {_word(get_args(kind)[0])}"
    if origin is dict:
        return "object"
    if _part(kind)[0]:
        return "object"
    return _WORDS.get(kind) or str(kind.__name__)
