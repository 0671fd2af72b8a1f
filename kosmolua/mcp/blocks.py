"""Edits one section of a YAML file, line by line: all other lines are kept as they are. An entry is written as JSON,
which is YAML too.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_EMPTY = re.compile(r"\s*(\{\s*\}|null|~)?\s*(#.*)?")
_UNIT = "  "


def with_entry(text: str, section: str, name: str, entry: dict[str, Any]) -> str:
    """The text with an entry of a section set. Raises a ValueError if the section is not a block of lines."""
    lines = text.splitlines()
    at = _begin(lines, section)
    if at is None:
        kept = [*lines, f"{section}:"]
        return _joined([*kept, _line(_UNIT, name, entry)])
    lines[at] = _opened(lines[at], section)
    indent = _indent_of(lines, at)
    first, last = _entry(lines, at, indent, name)
    return _joined([*lines[:first], _line(indent, name, entry), *lines[last:]])


def without_entry(text: str, section: str, name: str) -> str:
    """The text without an entry of a section; unchanged if there is no such entry."""
    lines = text.splitlines()
    at = _begin(lines, section)
    if at is None:
        return text
    _opened(lines[at], section)
    first, last = _entry(lines, at, _indent_of(lines, at), name)
    if first == last:
        return text
    rest = [*lines[:first], *lines[last:]]
    if not _is_within(rest[at + 1 :]):
        rest[at] = f"{section}: {{}}"
    return _joined(rest)


def _begin(lines: list[str], section: str) -> int | None:
    """The index of the section's line. Raises a ValueError for lines that only a YAML parser understands."""
    key = re.compile(rf"(?:{re.escape(section)}|\"{re.escape(section)}\"|'{re.escape(section)}')\s*:(?:\s|$)")
    if any(line.startswith(("{", "[", "\t", "%")) or line.strip() == "..." for line in lines):
        raise ValueError("not a file of plain keys")
    if sum(line.startswith("---") for line in lines) > 1:
        raise ValueError("more than one document")
    return next((number for number, line in enumerate(lines) if key.match(line)), None)


def _opened(line: str, section: str) -> str:
    """The line of a section, without the `{}` of an empty one. Raises a ValueError if the line holds a value."""
    found = _EMPTY.fullmatch(line.partition(":")[2])
    if found is None:
        raise ValueError(f"expected servers by name, each on lines of its own, in `{section}`")
    return f"{section}:{f' {found[2]}' if found[2] else ''}"


def _indent_of(lines: list[str], at: int) -> str:
    """The indentation of the section's entries."""
    for line in lines[at + 1 :]:
        if line.strip() and not line.lstrip().startswith("#"):
            indent = line[: len(line) - len(line.lstrip(" "))]
            if line.lstrip().startswith(("- ", "-\t")):
                raise ValueError("expected servers by name, not a list")
            return indent or _UNIT
    return _UNIT


def _entry(lines: list[str], at: int, indent: str, name: str) -> tuple[int, int]:
    """The index of an entry's first line and of the line after its last. If there is no such entry, both are the index
    at which to insert it.
    """
    key = re.compile(rf"{indent}(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')\s*:(?:\s|$)")
    for first in range(at + 1, at + 1 + _within(lines[at + 1 :])):
        if key.match(lines[first]):
            last = first + 1
            while last < len(lines) and _is_deeper(lines[last], indent):
                last += 1
            while not lines[last - 1].strip():
                last -= 1
            return first, last
    return at + 1, at + 1


def _within(lines: list[str]) -> int:
    """How many of these lines belong to the section."""
    ends = (number for number, line in enumerate(lines) if line.strip() and not line.startswith((" ", "#")))
    return next(ends, len(lines))


def _is_within(lines: list[str]) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines[: _within(lines)])


def _is_deeper(line: str, indent: str) -> bool:
    return not line.strip() or line.startswith(f"{indent} ")


def _line(indent: str, name: str, entry: dict[str, Any]) -> str:
    key = name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) else msgspec.json.encode(name).decode()
    return f"{indent}{key}: {msgspec.json.encode(entry).decode()}"


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
