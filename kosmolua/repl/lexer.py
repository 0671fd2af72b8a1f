"""Splits Lua source into tokens, even incomplete source as typed at a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

Kind = Literal["space", "comment", "string", "number", "keyword", "name", "operator", "error"]

KEYWORDS = frozenset(
    {
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    }
)  # fmt: skip
_GRAMMAR = r"""
      (?P<space>\s+)
    | (?P<comment>--(?:\[(?P<comment_level>=*)\[(?:.|\n)*?(?:\](?P=comment_level)\]|\Z)|[^\n]*))
    | (?P<string>\[(?P<level>=*)\[(?:.|\n)*?(?:\](?P=level)\]|\Z)
        | "(?:[^"\\\n]|\\(?:.|\n|\Z))*(?:"|(?=\n)|\Z)
        | '(?:[^'\\\n]|\\(?:.|\n|\Z))*(?:'|(?=\n)|\Z))
    | (?P<number>0[xX][0-9a-fA-F.]+(?:[pP][+-]?\d+)?[uUlL]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[uUlLi]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<operator>\.\.\.|\.\.|[=~<>]=|//|::|<<|>>|[-+*/%^\#&~|<>=(){}\[\];:,.])
    | (?P<error>(?:.|\n))
    """


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(_GRAMMAR, re.VERBOSE)


class Token(NamedTuple):
    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def open(self) -> bool:
        """Whether the token is a string or comment without its end."""
        if self.kind == "comment":
            long = re.match(r"--\[(=*)\[", self.text)
            return not self.text.endswith(f"]{long[1]}]") if long else True
        return self.kind == "string" and self.value is None

    @property
    def value(self) -> str | None:
        """The content of a string, with escapes unchanged; None if the string has no end."""
        long = re.match(r"\[(=*)\[", self.text)
        if long:
            begin, end = long[0], f"]{long[1]}]"
        else:
            begin = end = self.text[0]
        inner = self.text[len(begin) :]
        body = inner[: -len(end)]
        whole = inner.endswith(end) and (long or not re.search(r"(?<!\\)(?:\\\\)*\\\Z", body))
        return body if whole else None


def tokens(text: str) -> Iterator[Token]:
    """All tokens, including spaces, so that their joined texts are the source."""
    for match in _pattern().finditer(text) if text else ():
        kind: Kind = match.lastgroup if match.lastgroup in _KINDS else _kind(match)  # type: ignore[assignment]
        if kind == "name" and match[0] in KEYWORDS:
            kind = "keyword"
        yield Token(kind, match[0], match.start())


_KINDS = frozenset({"space", "number", "name", "operator", "error"})


def _kind(match: re.Match[str]) -> str:
    """The kind of a token. For comments and strings, `lastgroup` may be the group of the bracket level."""
    return "comment" if match["comment"] is not None else "string"
