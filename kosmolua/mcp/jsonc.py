"""Edits JSON that people write, and keeps its comments, trailing commas and the order of its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

MAX_DEPTH = 100
_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n]*|/\*.*?\*/)|(?P<mark>[{}\[\]:,])|(?P<value>"(?:[^"\\\n]|\\.)*"|[^\s{}\[\]:,"/]+)""",
    re.DOTALL,
)


class Token(Struct, frozen=True):
    """A punctuation mark or a plain value. ``start`` and ``end`` are its positions in the text."""

    text: str
    start: int
    end: int


class Member(Struct):
    """A member of an object. ``comma`` is the end of the comma after it, if there is one."""

    key: str
    start: int
    value: Value
    comma: int | None = None


class Value(Struct):
    """A value and its position. ``data`` is the decoded value; ``members`` are an object's members, in order."""

    start: int
    end: int
    data: Any
    members: list[Member] | None = None


def parse(text: str) -> Value:
    """Parse a text. Raises a ValueError that names the position of the error."""
    tokens = [*_tokens(text)]
    value, at = _Parser(text, tokens).value(0, 0)
    if at < len(tokens):
        raise _unexpected(text, tokens[at].start)
    return value


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _unexpected(text, at)
        if found.lastgroup != "space":
            yield Token(found[0], at, found.end())
        at = found.end()


class _Parser:
    """Reads values from tokens; each method takes the index of a token and returns the one after what it read."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens

    def value(self, at: int, depth: int) -> tuple[Value, int]:
        token = self._token(at)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels")
        if token.text == "{":
            return self._object(at, depth)
        if token.text == "[":
            return self._list(at, depth)
        return Value(token.start, token.end, self._plain(token)), at + 1

    def _object(self, at: int, depth: int) -> tuple[Value, int]:
        start, at, members = self._token(at).start, at + 1, list[Member]()
        while self._token(at).text != "}":
            if members and members[-1].comma is None:
                raise _unexpected(self._text, self._token(at).start, "expected a comma")
            key = self._token(at)
            name = self._plain(key)
            if not isinstance(name, str) or self._token(at + 1).text != ":":
                raise _unexpected(self._text, key.start)
            value, at = self.value(at + 2, depth + 1)
            members.append(Member(name, key.start, value))
            if self._token(at).text == ",":
                members[-1].comma, at = self._token(at).end, at + 1
        data = {member.key: member.value.data for member in members}
        return Value(start, self._token(at).end, data, members), at + 1

    def _list(self, at: int, depth: int) -> tuple[Value, int]:
        start, at, items, separated = self._token(at).start, at + 1, list[Any](), True
        while self._token(at).text != "]":
            if not separated:
                raise _unexpected(self._text, self._token(at).start, "expected a comma")
            value, at = self.value(at, depth + 1)
            items.append(value.data)
            separated = self._token(at).text == ","
            at += separated
        return Value(start, self._token(at).end, items), at + 1

    def _plain(self, token: Token) -> Any:
        try:
            return msgspec.json.decode(token.text)
        except msgspec.DecodeError:
            raise _unexpected(self._text, token.start) from None

    def _token(self, at: int) -> Token:
        if at >= len(self._tokens):
            raise _unexpected(self._text, len(self._text))
        return self._tokens[at]


def _unexpected(text: str, at: int, expected: str = "not valid JSON") -> ValueError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return ValueError(f"{expected} at line {line}, column {column}")


# Editing ----------------------------------------------------------------------------------------------------------


def with_entry(text: str, section: str, name: str, entry: dict[str, Any]) -> str:
    """The text with an entry of a section set. Raises a ValueError if the text is invalid."""
    if not text.strip("\ufeff \t\r\n"):
        text = "{}\n"
    top = _top(text)
    found = _member(top, section)
    if found is None:
        return _appended(text, top, section, {name: entry})
    within = _section(found.value, section)
    old = _member(within, name)
    if old is None:
        return _appended(text, within, name, entry)
    if old.value.data == entry:
        return text
    written = _written(entry, _indent(text, old.start), _unit(text, top), _newline(text))
    return text[: old.value.start] + written + text[old.value.end :]


def without_entry(text: str, section: str, name: str) -> str:
    """The text without an entry of a section; unchanged if there is no such entry. Raises a ValueError if the text is
    invalid.
    """
    if not text.strip("\ufeff \t\r\n"):
        return text
    found = _member(_top(text), section)
    within = _section(found.value, section) if found else None
    old = _member(within, name) if within else None
    if not within or not within.members or not old:
        return text
    before = within.members[: within.members.index(old)]
    if old.comma is not None or not before:
        start, end = old.start, old.comma or old.value.end
    else:  # the last member: the comma before it is removed too
        end = old.value.end
        text, start, end = _without_comma(text, before[-1], old.start, end)
    return _cut(text, start, end)


def _without_comma(text: str, before: Member, start: int, end: int) -> tuple[str, int, int]:
    if before.comma is None:
        return text, start, end
    return text[: before.comma - 1] + text[before.comma :], start - 1, end - 1


def _cut(text: str, start: int, end: int) -> str:
    """The text without the part from ``start`` to ``end``, and without the line if nothing else is on it."""
    line = text.rfind("\n", 0, start) + 1
    rest = text.find("\n", end)
    if rest >= 0 and not text[line:start].strip() and not text[end:rest].strip():
        return text[:line] + text[rest + 1 :]
    return text[:start] + text[end:].lstrip(" ")


def _top(text: str) -> Value:
    top = parse(text)
    if top.members is None:
        raise ValueError("expected an object")
    return top


def _section(value: Value, section: str) -> Value:
    if value.members is None:
        raise ValueError(f"expected an object with servers by name in `{section}`")
    return value


def _member(value: Value, key: str) -> Member | None:
    """The last member of that name, which is the one that applies."""
    return next((member for member in reversed(value.members or []) if member.key == key), None)


def _appended(text: str, into: Value, key: str, data: Any) -> str:
    """The text with a member added at the end of an object. Comments before the closing brace keep their position."""
    newline, outer = _newline(text), _indent(text, into.start)
    unit = _unit(text, parse(text))
    last = into.members[-1] if into.members else None
    inner = _indent(text, last.start) if last and "\n" in text[into.start : last.start] else outer + unit
    member = f"{_json(key)}: {_written(data, inner, unit, newline)}"
    head, close = text[: into.end - 1].rstrip(), text[into.end - 1 :]
    if last and last.comma is None:
        head = f"{head[: last.value.end]},{head[last.value.end :]}"
    tail = "," if last and last.comma is not None else ""  # a trailing comma is kept
    return f"{head}{newline}{inner}{member}{tail}{newline}{outer}{close}"


def _written(data: Any, indent: str, unit: str, newline: str) -> str:
    """Formatted JSON for a position with that indentation."""
    lines = msgspec.json.format(msgspec.json.encode(data), indent=2).decode().split("\n")
    steps = ((len(line) - len(line.lstrip(" "))) // 2 for line in lines)
    shown = [unit * step + line.lstrip(" ") for step, line in zip(steps, lines, strict=True)]
    return f"{newline}{indent}".join(shown)


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _indent(text: str, at: int) -> str:
    """The white space at the beginning of the line that contains a position."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str, top: Value) -> str:
    """The indentation of the first member; two spaces if the member is on the same line as the brace."""
    first = top.members[0].start if top.members else 0
    return (_indent(text, first) if "\n" in text[top.start : first] else "") or "  "


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
