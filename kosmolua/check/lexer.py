"""Lua text as tokens: LuaJIT's grammar, with its number suffixes and escapes."""

from __future__ import annotations

import re

KEYWORDS = {
    word: word
    for word in (
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    )
}  # fmt: skip
NAME, STRING, NUMBER, END = "<name>", "<string>", "<number>", "<eof>"

# Quantifiers are possessive: a script cannot cause backtracking.
_TOKEN = re.compile(
    r"(?:[ \t\r\n\f\v]++|--(?!\[=*+\[)[^\n]*+)*+(?:"
    r"([^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*+)"  # letters and non-ASCII characters; this form compiles fast
    r"|((?:--)?\[=*+\[)"
    r"|(\.\.\.|\.\.|[=~<>]=|::|(?!\.[0-9])[-+*/%^#<>=(){}\[\];:,.])"
    r"|(\"(?:[^\"\\\n]++|\\(?:z\s*+|\r\n|[\s\S]))*+\"|'(?:[^'\\\n]++|\\(?:z\s*+|\r\n|[\s\S]))*+')"
    r"|((?:0[xX](?:[pP][-+]?|[0-9a-fA-F.])*+|\.?[0-9](?:[eE][-+]?|[0-9.])*+)\w*+)"
    r"|(\Z)|([\s\S]))"
)
_NAME, _LONG, _OPERATOR, _STRING, _NUMBER, _END = range(1, 7)
_ESCAPE = re.compile(r"\\(?:z\s*|x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,8})\}|([0-9]{1,3})|\r\n|([\s\S]))")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LAST_CODE_POINT = 0x10FFFF


class SyntaxProblem(Exception):  # noqa: N818 - a problem of the script, not of this program
    """The text cannot be parsed as Lua. ``at`` is the offset of the problem, ``near`` the token there."""

    def __init__(self, message: str, at: int, near: str) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.near = near


class Tokens:
    """A script's tokens in three parallel lists. A kind is the keyword or operator itself, or a word in angle brackets;
    ``texts`` are as in the source.
    """

    __slots__ = ("kinds", "places", "texts")

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.places: list[int] = []


def tokens(text: str) -> Tokens:
    """All tokens, then END. Raises a `SyntaxProblem` at the first invalid character."""
    found = Tokens()
    at = text.find("\n") if text.startswith("#") else 0
    while at >= 0:
        at = _some(text, at, found)
    if not found.kinds or found.kinds[-1] != END:
        _add(found, END, "", len(text))
    return found


def _some(text: str, start: int, found: Tokens) -> int:
    """Read tokens up to and including the next long bracket. Returns the offset after it, or -1 at the end."""
    kinds, texts, places = found.kinds.append, found.texts.append, found.places.append
    for match in _TOKEN.finditer(text, start):
        group = match.lastindex
        word = match[group or 0]
        if group == _NAME:
            kinds(KEYWORDS.get(word, NAME))
        elif group == _OPERATOR:
            kinds(word)
        elif group == _STRING:
            kinds(STRING)
        elif group == _NUMBER:
            kinds(NUMBER)
        else:
            return _rest(text, match, found)
        texts(word)
        places(match.start(group or 0))
    return -1


def _rest(text: str, match: re.Match[str], found: Tokens) -> int:
    group = match.lastindex or 0
    at = match.start(group)
    if group == _END:
        return -1
    if group != _LONG:
        raise SyntaxProblem("unfinished string" if match[group] in "\"'" else "unexpected symbol", at, match[group])
    opening = match[group].removeprefix("--")
    end = text.find(opening.replace("[", "]"), match.end())
    if end < 0:
        raise SyntaxProblem("unfinished long string or comment", at, match[group])
    end += len(opening)
    if match[group] == opening:
        _add(found, STRING, text[at:end], at)
    return end


def _add(found: Tokens, kind: str, text: str, at: int) -> None:
    found.kinds.append(kind)
    found.texts.append(text)
    found.places.append(at)


def string_value(text: str) -> str:
    """The value of a string token. Each byte that is not UTF-8 becomes the character with the same number."""
    if text[0] == "[":
        width = text.index("[", 1) + 1
        return text[width:-width].removeprefix("\r").removeprefix("\n")
    inner = text[1:-1]
    return _ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    if match[2]:
        code = int(match[2], 16)
        return chr(code) if code <= _LAST_CODE_POINT else ""
    if match[3]:
        return chr(int(match[3]))
    return _SIMPLE.get(match[4], match[4]) if match[4] else ""
