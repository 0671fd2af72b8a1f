"""Decides whether an input needs another line, and how to indent that line."""

from __future__ import annotations

from kosmolua.repl.lexer import tokens

_END = "near '<eof>'"
_END_54 = "near <eof>"
INDENT = "  "
_OPENS = frozenset({"do", "then", "function", "repeat", "else", "(", "{", "["})
_CLOSES = frozenset({"end", "until", "else", "elseif", ")", "}", "]"})


def wants_more(as_expression: str | None, as_chunk: str | None) -> bool:
    """Whether more text could make the input valid, judged by the parser's messages for it as an expression and as a
    chunk. A message of None means that it is already valid; an error at the end of the text means that it is
    incomplete.
    """
    if as_expression is None or as_chunk is None:
        return False
    return any(message.endswith((_END, _END_54)) for message in (as_expression, as_chunk))


def indent(text: str) -> str:
    """The indentation of the line after this text."""
    return INDENT * max(0, _depth(text))


def straightened(text: str) -> str:
    """The text, with the last line's indentation reduced if the line closes a block, so that an ``end`` is below its
    ``if``.
    """
    above, newline, line = text.rpartition("\n")
    words = [token.text for token in tokens(line) if token.kind != "space"]
    if not newline or not words or words[0] not in _CLOSES:
        return text
    return f"{above}\n{indent(above).removesuffix(INDENT)}{line.lstrip()}"


def _depth(text: str) -> int:
    """The number of open levels at the end of the text. Several levels that one line opens, as in ``f(function()``,
    count as one.
    """
    levels: list[int] = []  # the number of the line that opened each level
    line = 0
    for token in tokens(text):
        if token.kind in ("keyword", "operator"):
            if token.text in _CLOSES and levels:
                levels.pop()
            if token.text in _OPENS:
                levels.append(line)
        line += token.text.count("\n")
    return len(set(levels))


def matching(text: str, cursor: int) -> tuple[int, int] | None:
    """The positions of a pair of brackets, one of which is at the cursor or, failing that, just before it."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    found: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    for token in tokens(text):
        if token.kind != "operator":
            continue
        if token.text in pairs:
            opened.append((pairs[token.text], token.start))
        elif opened and token.text == opened[-1][0]:
            start = opened.pop()[1]
            found[start], found[token.start] = token.start, start
    at = next((place for place in (cursor, cursor - 1) if place in found), None)
    return None if at is None else (at, found[at])


def is_text(text: str) -> bool:
    """Whether the text is valid UTF-8: a terminal may send any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
