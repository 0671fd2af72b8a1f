"""Regular expressions in schemas, matched in linear time: a schema and a text are both untrusted, and `re` may take
exponential time. An unsupported pattern, such as one with a lookahead, matches every text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

MAX_PATTERN = 500  # characters
MAX_STATES = 500
MAX_STEPS = 200_000  # steps of one match, at about 0.3 us each; beyond them the text is not checked
_MAX_DEPTH = 20
_REPEAT = re.compile(r"\{(\d{1,3})(,(\d{0,3}))?\}")
_SIMPLE = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CLASS = re.compile(r"\[\^?(?:[^\[\]\\]|\\[dwsDWS\\^$.|?*+()\[\]{}/\-ntr])+\]")
_ESCAPE = re.compile(r"\\(?:[dwsDWS]|[^A-Za-z0-9])|\\[ntrfv]")

Test = Callable[[str], object]


class _Unread(Exception):  # noqa: N818 - not an error: the pattern is left unchecked
    pass


class _State(Struct, eq=False):
    """One state: ``test`` reads a character, ``edge`` is "^" or "$"; without either, the state leads to ``to``
    directly.
    """

    test: Test | None = None
    edge: str = ""
    to: list[int] = []


class Pattern:
    """A compiled pattern, as a list of states. The last state accepts."""

    def __init__(self, states: list[_State], start: int, accept: int) -> None:
        self._states = states
        self._start = start
        self._accept = accept

    def finds(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        current: set[int] = set()
        left = MAX_STEPS
        for at in range(len(text) + 1):
            current = self._reached([*current, self._start], first=at == 0, last=at == len(text))
            left -= len(current) + 1
            if self._accept in current or left < 0:
                return True
            current = self._read(current, text[at]) if at < len(text) else set()
        return False

    def _reached(self, begun: list[int], *, first: bool, last: bool) -> set[int]:
        """The states that can be reached without reading a character."""
        found: set[int] = set()
        while begun:
            number = begun.pop()
            if number in found:
                continue
            found.add(number)
            state = self._states[number]
            if state.test is None and (not state.edge or (first if state.edge == "^" else last)):
                begun.extend(state.to)
        return found

    def _read(self, current: set[int], character: str) -> set[int]:
        return {
            following
            for number in current
            if (test := self._states[number].test) and test(character)
            for following in self._states[number].to
        }


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Pattern | None:
    """The compiled pattern; None if it is not supported."""
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        return _Reader(pattern).read()
    except (_Unread, re.error):
        return None


class _Reader:
    """Reads a pattern by recursive descent. A part is a pair of states, its start and its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._states: list[_State] = []

    def read(self) -> Pattern:
        start, end = self._choice(0)
        if self._at < len(self._text):
            raise _Unread
        return Pattern(self._states, start, end)

    def _new(self, **facts: object) -> int:
        if len(self._states) >= MAX_STATES:
            raise _Unread
        self._states.append(_State(**facts))  # type: ignore[arg-type]  # fields of a state
        return len(self._states) - 1

    def _join(self, start: int, end: int) -> None:
        self._states[start].to.append(end)

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self, depth: int) -> tuple[int, int]:
        if depth > _MAX_DEPTH:
            raise _Unread
        start, end = self._new(), self._new()
        while True:
            first, last = self._sequence(depth)
            self._join(start, first)
            self._join(last, end)
            if self._next != "|":
                return start, end
            self._at += 1

    def _sequence(self, depth: int) -> tuple[int, int]:
        start = end = self._new()
        while self._next not in {"", "|", ")"}:
            first, last = self._repeated(depth)
            self._join(end, first)
            end = last
        return start, end

    def _repeated(self, depth: int) -> tuple[int, int]:
        """A part with its quantifier. The part is read again for each repetition."""
        begin = self._at
        start, end = self._atom(depth)
        after = self._at
        fewest, most = self._quantifier()
        resume = self._at
        if (fewest, most) == (1, 1):
            return start, end
        parts = [(start, end)]
        for _ in range(max(fewest, most or 0, 1) - 1):
            self._at = begin
            parts.append(self._atom(depth))
            if self._at != after:
                raise _Unread
        self._at = resume
        return self._chained(parts, fewest, endless=most is None)

    def _chained(self, parts: list[tuple[int, int]], fewest: int, *, endless: bool) -> tuple[int, int]:
        start = end = self._new()
        exit_ = self._new()
        for number, (first, last) in enumerate(parts):
            if number >= fewest:
                self._join(end, exit_)
            self._join(end, first)
            end = last
        self._join(end, exit_)
        if endless:
            self._join(end, parts[-1][0])
        return start, exit_

    def _quantifier(self) -> tuple[int, int | None]:
        found = _REPEAT.match(self._text, self._at)
        if found:
            self._at = found.end()
            fewest = int(found[1])
            most = fewest if found[2] is None else int(found[3]) if found[3] else None
        elif self._next in _SIMPLE and self._next:
            fewest, most = _SIMPLE[self._next]
            self._at += 1
        else:
            return 1, 1
        if most == 0 or (most is not None and most < fewest) or self._next == "+":
            raise _Unread
        if self._next == "?":  # lazy: matches the same texts
            self._at += 1
        return fewest, most

    def _atom(self, depth: int) -> tuple[int, int]:
        character = self._next
        if character == "(":
            return self._group(depth)
        if character in "^$":
            self._at += 1
            start = self._new(edge=character)
            end = self._new()
            self._join(start, end)
            return start, end
        start, end = self._new(test=self._test(character)), self._new()
        self._join(start, end)
        return start, end

    def _group(self, depth: int) -> tuple[int, int]:
        self._at += 1
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next == "?":
            raise _Unread
        made = self._choice(depth + 1)
        if self._next != ")":
            raise _Unread
        self._at += 1
        return made

    def _test(self, character: str) -> Test:
        """The test for one character: an expression for `re` that matches one character, and so is always fast."""
        if character in {"*", "+", "?", "{", "}", "]"}:
            raise _Unread
        if character == ".":
            self._at += 1
            return re.compile(r"[^\n\r]").fullmatch
        kind = {"[": _CLASS, "\\": _ESCAPE}.get(character)
        if kind is None:
            self._at += 1
            return character.__eq__
        found = kind.match(self._text, self._at)
        if found is None:
            raise _Unread
        self._at = found.end()
        return re.compile(found[0]).fullmatch
