"""One index of everything that can be read: functions of the API, helpers of scripts, and topics."""

from __future__ import annotations

from functools import cache
from typing import Literal

from msgspec import Struct

from kosmolua.manual import stubs
from kosmolua.manual.search import MAX_QUERY, Hit, Match, search, words_of
from kosmolua.manual.topics import title, topics

Kind = Literal["helper", "topic"]
_NAME, _START, _SUMMARY, _TEXT = 100, 60, 30, 10  # as for functions
_EXACT = 1000
_MIN_START = 3  # letters that match the start of a word
_MAX_WORDS = 16


class Page(Struct, frozen=True):
    """A helper or a topic: its name, what it is about, and the words of its text."""

    name: str
    kind: Kind
    summary: str
    text: frozenset[str]


class Found(Struct, frozen=True):
    """A match: a function of the API as a hit, or a page."""

    score: float
    match: Match
    hit: Hit | None = None
    page: Page | None = None


@cache
def pages() -> tuple[Page, ...]:
    helpers = (
        Page(name, "helper", about, frozenset(words_of(stubs.helper(name) or "")))
        for name, about in stubs.summaries().items()
    )
    about_topics = (Page(name, "topic", title(text), frozenset(words_of(text))) for name, text in topics().items())
    return (*helpers, *about_topics)


def find(query: str) -> list[Found]:
    """The matches, best first; a helper or topic before a function that matches as well."""
    words = list(dict.fromkeys(words_of(query[:MAX_QUERY])))[:_MAX_WORDS]
    functions = [Found(hit.score, hit.match, hit=hit) for hit in search(query)]
    if len(words) == 1 and functions and len(functions) > 1 and functions[0].score == 1:
        return functions  # the provider's name matches them all
    others = [found for page in pages() if (found := _scored(page, words))]
    return sorted([*others, *functions], key=lambda found: -found.score)


def _scored(page: Page, words: list[str]) -> Found | None:
    """Score a page as functions are scored."""
    if len(words) == 1 and words[0] == page.name:
        return Found(_EXACT, "name", page=page)
    scores = [_worth(page, word) for word in words]
    if not any(scores):
        return None
    share = sum(1 for score in scores if score) / len(scores)
    if max(scores) <= _TEXT and share < 1:
        return None  # a few common words of a long text
    return Found(round(sum(scores) * share, 2), "words" if max(scores) >= _START else "text", page=page)


def _worth(page: Page, word: str) -> float:
    names, summary = frozenset(words_of(page.name.replace("_", " "))), frozenset(words_of(page.summary))
    if _in(word, names):
        return _NAME
    if len(word) >= _MIN_START and any(name.startswith(word) for name in names):
        return _START
    if _in(word, summary):
        return _SUMMARY
    return _TEXT if _in(word, page.text) else 0


def _in(word: str, words: frozenset[str]) -> bool:
    """Whether the words contain this one, in singular or plural."""
    return word in words or f"{word}s" in words or word.removesuffix("s") in words
