"""Search functions: exact names first, then words of names, then words of the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from msgspec import Struct

from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, Operation

Match = Literal["name", "words", "text"]
_WORD = re.compile(r"[a-z0-9]+")
_SMALL = frozenset(_WORD.findall("a an and all by for from how i in is it me my of on or the to what which with"))
EXACT, _NAME, START, _SUMMARY, TEXT = 1000, 100, 60, 30, 10
_TYPO = 0.8  # weight of a corrected word
_CUTOFF = 0.74  # similarity of a mistyped word, up to 1
_SURELY = 0.85  # similarity of a mistyped name, up to 1
MAX_QUERY = 200  # characters
MAX_WORDS = 16
_LONG = 6  # letters; shorter words that end in -ing, such as string, are not verbs
_MIN_START = 3  # the fewest letters that match the start of a word


class Hit(Struct, frozen=True):
    """A matching operation, its score, what matched, and the fraction of the query's words that match."""

    operation: Operation
    score: float
    match: Match
    share: float = 1.0


def search(query: str) -> list[Hit]:
    """The matching operations, best first; equal ones in catalogue order. The provider's name matches all."""
    query = query[:MAX_QUERY]
    words = list(dict.fromkeys(_words(query)))[:MAX_WORDS]
    if len(words) == 1 and _means_provider(words[0]):
        return [Hit(operation, 1, "text") for operation in OPERATIONS]
    named = _named(query)
    words = [word for word in words if word != PROVIDER and word not in _SMALL]
    near = {word: _corrections(word) for word in words}
    others = [operation for operation in OPERATIONS if operation not in [hit.operation for hit in named]]
    found = [_hit(operation, near) for operation in others]
    hits = [*named, *sorted((hit for hit in found if hit), key=_order)]
    return hits or _nearest(query, _CUTOFF)


def _named(query: str) -> list[Hit]:
    """The operation that the query names, with or without separators; else the operations with similar names."""
    exact = [Hit(operation, EXACT, "name") for operation in OPERATIONS if _squeezed(query) in _keys(operation)]
    return exact or _nearest(query, _SURELY)


def _means_provider(word: str) -> bool:
    from difflib import SequenceMatcher

    return word == PROVIDER or SequenceMatcher(None, word, PROVIDER).ratio() > _SURELY


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def words_of(text: str) -> list[str]:
    """The meaningful words of a text or a query, in lower case."""
    return [word for word in _words(text) if word not in _SMALL]


def _squeezed(text: str) -> str:
    return "".join(_words(text))


@cache
def _keys(operation: Operation) -> frozenset[str]:
    return frozenset(_squeezed(prefix + name) for name in operation.names for prefix in ("", PROVIDER))


@cache
def _texts(operation: Operation) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The words of the names, of the summary, and of all other texts of an operation."""
    names = _words(operation.name) + _words(operation.operation_id)
    rest = [operation.note, operation.returns or "", operation.method, operation.access]
    rest += [text for parameter in operation.parameters for text in (parameter.name, parameter.help, *parameter.enum)]
    return frozenset(names), frozenset(_words(operation.summary)), frozenset(_words(" ".join(rest)))


def _hit(operation: Operation, near: Mapping[str, Sequence[str]]) -> Hit | None:
    """Score an operation for words, each given with its corrections."""
    scores = [_score(operation, word, meant) for word, meant in near.items()]
    if not any(scores):
        return None
    share = sum(1 for score in scores if score) / len(scores)
    match: Match = "words" if max(scores) >= START * _TYPO else "text"
    return Hit(operation, round(sum(scores) * share, 2), match, share)


def _order(hit: Hit) -> tuple[float, int, int]:
    return -hit.score, len(_words(hit.operation.name)), OPERATIONS.index(hit.operation)


def _score(operation: Operation, word: str, near: Sequence[str]) -> float:
    return _worth(operation, word) or max((_worth(operation, one) * _TYPO for one in near), default=0)


def _worth(operation: Operation, word: str) -> float:
    return worth(word, *_texts(operation))


def worth(word: str, names: frozenset[str], summary: frozenset[str], rest: frozenset[str]) -> float:
    """The score of one query word for the words of a page."""
    if _in(word, names):
        return _NAME
    if len(word) >= _MIN_START and any(name.startswith(word) for name in names):
        return START
    if _in(word, summary):
        return _SUMMARY
    return TEXT if _in(word, rest) else 0


def _in(word: str, words: frozenset[str]) -> bool:
    """Whether the words contain this word, its singular or plural, or the verb of a word such as spending."""
    verb = word.removesuffix("ing") if len(word) > _LONG else word
    return not words.isdisjoint((word, f"{word}s", word.removesuffix("s"), verb, f"{verb}e"))


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for operation in OPERATIONS for words in _texts(operation) for word in words)


def _corrections(word: str) -> list[str]:
    """Corrections of an unknown word."""
    from difflib import get_close_matches

    if word in _vocabulary() or any(known.startswith(word) for known in _vocabulary()):
        return []
    return get_close_matches(word, _headwords(), n=2, cutoff=_CUTOFF)


@cache
def _headwords() -> list[str]:
    """The words that a mistyped word can be corrected to: the words of names and summaries."""
    found = {word for operation in OPERATIONS for words in _texts(operation)[:2] for word in words}
    return sorted(word for word in found - _SMALL if len(word) >= _MIN_START)


def _nearest(query: str, cutoff: float) -> list[Hit]:
    """Operations whose name is similar to the query."""
    from difflib import get_close_matches

    keys = {key: operation for operation in OPERATIONS for key in sorted(_keys(operation))}
    found = [keys[key] for key in get_close_matches(_squeezed(query), keys, n=5, cutoff=cutoff)]
    score = EXACT * _TYPO if cutoff == _SURELY else _NAME * _TYPO
    return [Hit(operation, score, "name") for operation in dict.fromkeys(found)]
