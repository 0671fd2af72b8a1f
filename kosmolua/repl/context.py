"""The context of the cursor: the path being typed, the enclosing call, and the open string."""

from __future__ import annotations

from msgspec import Struct

from kosmolua.repl.lexer import Token, tokens


class OpenCall(Struct, frozen=True):
    """A call being typed. ``path`` has the names of the called function, as in ``integrations.replicate.run``;
    ``leading`` has the string arguments before the argument at the cursor, and ``position`` counts all arguments before
    it. If that argument is a ``table``, ``given`` are the fields in it that have a value, and ``argument`` is the field
    whose value is being typed.
    """

    path: tuple[str, ...]
    leading: tuple[str, ...] = ()
    position: int = 0
    table: bool = True
    given: frozenset[str] = frozenset()
    naming: bool = False  # a field name is expected, not a value
    argument: str | None = None


class Context(Struct, frozen=True):
    """``word`` is the typed part of a name or string, ``path`` the value whose field it is. ``quote`` is the opening
    quote of an open string, or None.
    """

    word: str = ""
    path: tuple[str, ...] | None = ()
    quote: str | None = None
    call: OpenCall | None = None
    comment: bool = False


def context(before: str, after: str = "") -> Context:
    """The context for the text before and after the cursor. The text after the cursor may contain further fields of an
    open table.
    """
    found = [token for token in tokens(before) if token.kind != "space"]
    last = found[-1] if found else None
    if last and last.kind == "comment" and last.open and last.end == len(before):
        return Context(comment=True)
    if last and last.kind == "string" and last.open and last.end == len(before):
        return Context(last.text[1:], None, last.text[0], _call(found[:-1], ""))
    touching = last if last and last.kind in ("name", "keyword") and last.end == len(before) else None
    rest = found[:-1] if touching else found
    path = _path_before(rest)
    call = _call(rest, after) if path == () else _call(found, "")
    return Context(touching.text if touching else "", path, None, call)


def _path_before(found: list[Token]) -> tuple[str, ...] | None:
    """The dotted names before a final dot; () if there is no dot, None if the dot does not follow a name."""
    if not found or found[-1].text not in (".", ":"):
        return ()
    return _path(found[:-1]) or None


def _path(found: list[Token]) -> tuple[str, ...]:
    """The dotted names at the end of the tokens."""
    names: list[str] = []
    at = len(found) - 1
    while at >= 0 and found[at].kind == "name":
        names.insert(0, found[at].text)
        if at < 2 or found[at - 1].text not in (".", ":"):  # noqa: PLR2004 - a dot, and a name before it
            return tuple(names)
        at -= 2
    return ()  # not all parts are names, as in f().x


def _call(found: list[Token], after: str) -> OpenCall | None:
    """The innermost call that is still open after the tokens."""
    depth = 0
    for at in range(len(found) - 1, -1, -1):
        word = found[at].text if found[at].kind == "operator" else ""
        if word in (")", "}", "]"):
            depth += 1
        elif word in ("(", "{", "["):
            if depth == 0:
                return _opened(found, at, after)
            depth -= 1
    return None


def _opened(found: list[Token], at: int, after: str) -> OpenCall | None:
    before, inside = found[:at], found[at + 1 :]
    if found[at].text == "(":
        path = _path(before)
        return OpenCall(path, *_leading(inside), table=False) if path else None
    if found[at].text != "{":
        return None
    leading: tuple[str, ...] = ()
    position = 0
    if before and before[-1].text in ("(", ","):
        start = _opener(before)
        if start < 0 or before[start].text != "(":
            return None  # the table is an item of a list
        leading, position = _leading(before[start + 1 :])
        before = before[:start]
    path = _path(before)
    if not path:
        return None
    after_tokens = [token for token in tokens(after) if token.kind != "space"]
    given = _given(inside) | _given_after(after_tokens)
    naming = not inside or inside[-1].text in (",", ";")
    argument = inside[-2].text if not naming and inside[-1].text == "=" and len(inside) > 1 else None
    return OpenCall(path, leading, position, True, frozenset(given), naming, argument)


_OPENING = frozenset({"(", "{", "[", "function", "if", "do", "repeat"})
_CLOSING = frozenset({")", "}", "]", "end", "until"})


def _deeper(token: Token) -> int:
    """1 if the token opens a bracket or block, -1 if it closes one, otherwise 0."""
    word = token.text if token.kind in ("operator", "keyword") else ""
    return (word in _OPENING) - (word in _CLOSING)


def _opener(found: list[Token]) -> int:
    """The index of the innermost open bracket after the tokens; -1 if there is none."""
    depth = 0
    for at in range(len(found) - 1, -1, -1):
        depth += _deeper(found[at])
        if depth > 0:
            return at
    return -1


def _leading(found: list[Token]) -> tuple[tuple[str, ...], int]:
    """The strings among the arguments before the last one, and the number of all arguments before the last one."""
    depth = commas = 0
    strings = []
    for token in found:
        depth += _deeper(token)
        if depth == 0 and token.text == ",":
            commas += 1
        elif depth == 0 and token.kind == "string" and token.value is not None:
            strings.append(token.value)
    return tuple(strings), commas


def _given(inside: list[Token]) -> set[str]:
    """The names before ``=`` in this table, except in nested tables."""
    names, depth = set(), 0
    for at, token in enumerate(inside):
        depth += (token.text in "({[") - (token.text in ")}]") if token.kind == "operator" else 0
        if token.text == "=" and depth == 0 and at and inside[at - 1].kind == "name":
            names.add(inside[at - 1].text)
    return names


def _given_after(after_tokens: list[Token]) -> set[str]:
    depth = 0
    for at, token in enumerate(after_tokens):
        depth += (token.text in "({[") - (token.text in ")}]") if token.kind == "operator" else 0
        if depth < 0:
            return _given(after_tokens[:at])
    return _given(after_tokens)
