"""What stands around the cursor: the path that is being typed, the call whose arguments it is in, the open string."""

from __future__ import annotations

from msgspec import Struct

from kosmolua.repl.lexer import Token, tokens


class Call(Struct, frozen=True):
    """A call that is being typed: its path as in ``integrations.replicate.run``, the strings that stand before its
    table, which argument the table is, the names in it that have a value, and the one whose value is being typed.
    Where the argument that is typed is no table, ``table`` is False.
    """

    path: tuple[str, ...]
    leading: tuple[str, ...] = ()
    position: int = 0
    table: bool = True
    given: frozenset[str] = frozenset()
    naming: bool = False  # a name is to come, and not a value
    argument: str | None = None


class Context(Struct, frozen=True):
    """``word`` is what has been typed of a name or of a string, ``path`` what it is a field of. ``quote`` is the
    open string's beginning, None where there is none.
    """

    word: str = ""
    path: tuple[str, ...] | None = ()
    quote: str | None = None
    call: Call | None = None
    comment: bool = False


def context(before: str, after: str = "") -> Context:
    """For the text before the cursor, and that behind it, where an open table may name more arguments."""
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
    """The names with dots between that end with a dot; () where no dot stands, None where it follows no name."""
    if not found or found[-1].text not in (".", ":"):
        return ()
    return _path(found[:-1]) or None


def _path(found: list[Token]) -> tuple[str, ...]:
    """The names with dots between them that the tokens end with."""
    names: list[str] = []
    at = len(found) - 1
    while at >= 0 and found[at].kind == "name":
        names.insert(0, found[at].text)
        if at < 2 or found[at - 1].text not in (".", ":"):  # noqa: PLR2004 - a dot, and a name before it
            return tuple(names)
        at -= 2
    return ()  # it goes on before the first dot: f().x


def _call(found: list[Token], after: str) -> Call | None:
    """The innermost call that is open at the end of the tokens."""
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


def _opened(found: list[Token], at: int, after: str) -> Call | None:
    before, inside = found[:at], found[at + 1 :]
    if found[at].text == "(":
        path = _path(before)
        return Call(path, *_leading(inside), table=False) if path else None
    if found[at].text != "{":
        return None
    leading: tuple[str, ...] = ()
    position = 0
    if before and before[-1].text in ("(", ","):
        start = _opener(before)
        if start < 0 or before[start].text != "(":
            return None  # a table in a list
        leading, position = _leading(before[start + 1 :])
        before = before[:start]
    path = _path(before)
    if not path:
        return None
    behind = [token for token in tokens(after) if token.kind != "space"]
    given = _given(inside) | _given_behind(behind)
    naming = not inside or inside[-1].text in (",", ";")
    argument = inside[-2].text if not naming and inside[-1].text == "=" and len(inside) > 1 else None
    return Call(path, leading, position, True, frozenset(given), naming, argument)


_OPENING = frozenset({"(", "{", "[", "function", "if", "do", "repeat"})
_CLOSING = frozenset({")", "}", "]", "end", "until"})


def _deeper(token: Token) -> int:
    """Whether brackets or blocks open or close with it."""
    word = token.text if token.kind in ("operator", "keyword") else ""
    return (word in _OPENING) - (word in _CLOSING)


def _opener(found: list[Token]) -> int:
    """Where the innermost bracket is that is open at the end of the tokens; -1 where none is."""
    depth = 0
    for at in range(len(found) - 1, -1, -1):
        depth += _deeper(found[at])
        if depth > 0:
            return at
    return -1


def _leading(found: list[Token]) -> tuple[tuple[str, ...], int]:
    """The strings among the arguments before the last, and how many those are."""
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
    """The names before ``=`` in this table, and in no table within."""
    names, depth = set(), 0
    for at, token in enumerate(inside):
        depth += (token.text in "({[") - (token.text in ")}]") if token.kind == "operator" else 0
        if token.text == "=" and depth == 0 and at and inside[at - 1].kind == "name":
            names.add(inside[at - 1].text)
    return names


def _given_behind(behind: list[Token]) -> set[str]:
    depth = 0
    for at, token in enumerate(behind):
        depth += (token.text in "({[") - (token.text in ")}]") if token.kind == "operator" else 0
        if depth < 0:
            return _given(behind[:at])
    return _given(behind)
