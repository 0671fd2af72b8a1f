"""The output of a model, from its version's schema: how to show it, and where it has files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kosmolua.replicate.inputs import type_words
from kosmolua.replicate.shape import Shape, shape_of


def output_kind(document: Any) -> dict[str, Any]:
    """How to show the output of a version, as plain data: ``{"kind": …, "files": […]}``.

    ``kind`` is "text", "concatenate" (a list of strings that are one text), "file" (a URL), "files" (a list of them) or
    "json", which is anything else, also for an unreadable schema. ``files`` are the places of URLs within, each a list
    of names; "*" stands for every item. Text that looks like a URL is not treated as one.
    """
    shape = shape_of(document, "Output") or Shape()
    files = [list(place) for place in _files(shape)]
    return {"kind": _kind(shape, files), "files": files}


def output_words(document: Any) -> str:
    """The output of a version, for a reader."""
    shape = shape_of(document, "Output")
    joined = shape and output_kind(document)["kind"] == "concatenate"
    return "text" if joined else type_words(shape or Shape())


def _kind(shape: Shape, files: list[list[str]]) -> str:
    if files == [[]]:
        return "file"
    if files == [["*"]] and shape.kinds == ("array",):
        return "files"
    if files:
        return "json"
    if _joined(shape):
        return "concatenate"
    return "text" if shape.kinds == ("string",) else "json"


def _joined(shape: Shape) -> bool:
    return shape.joined and shape.kinds == ("array",) and (shape.items or Shape()).kinds in {("string",), ()}


def _files(shape: Shape, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The distinct places of files in a value."""
    found: dict[tuple[str, ...], None] = {}
    if shape.is_file:
        found[place] = None
    for inner in filter(None, (shape.items, shape.others)):
        found |= dict.fromkeys(_files(inner, (*place, "*")))
    for name, member in shape.members.items():
        found |= dict.fromkeys(_files(member, (*place, name)))
    if not any(one.kinds == ("string",) and not one.is_file for one in shape.either):  # otherwise the value may be text
        for one in shape.either:
            found |= dict.fromkeys(_files(one, place))
    return iter(found)
