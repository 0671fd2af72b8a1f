"""One index of all documentation: functions of the API, script helpers, and topics."""

from __future__ import annotations

from functools import cache
from typing import Literal

from msgspec import Struct

from kosmolua.manual import stubs
from kosmolua.manual.search import EXACT, MAX_QUERY, MAX_WORDS, START, TEXT, Hit, Match, search, words_of, worth
from kosmolua.manual.topics import KEYWORDS, title, topics

Kind = Literal["helper", "topic"]


class Page(Struct, frozen=True):
    """A helper or a topic: its name, its summary, the words of its text, and other words to find it by."""

    name: str
    kind: Kind
    summary: str
    text: frozenset[str]
    keywords: frozenset[str] = frozenset()


class Found(Struct, frozen=True):
    """A match: a hit for an API function, or a page. ``share`` is the fraction of the query's words that match."""

    score: float
    match: Match
    share: float = 1.0
    hit: Hit | None = None
    page: Page | None = None


@cache
def pages() -> tuple[Page, ...]:
    helpers = (
        Page(name, "helper", about, frozenset(words_of(stubs.helper(name) or "")))
        for name, about in stubs.summaries().items()
    )
    about_topics = (
        Page(name, "topic", title(text), frozenset(words_of(text)), frozenset(words_of(KEYWORDS.get(name, ""))))
        for name, text in topics().items()
    )
    return (*helpers, *about_topics)


def topics_about(query: str) -> list[str]:
    """The topics whose name, title or keywords have all words of the query, best first."""
    words = list(dict.fromkeys(words_of(query[:MAX_QUERY])))[:MAX_WORDS]
    scores = {page.name: [_worth(page, word) for word in words] for page in pages() if page.kind == "topic"}
    found = [(-sum(each), name) for name, each in scores.items() if each and min(each) > TEXT]
    return [name for _, name in sorted(found)]


def find(query: str) -> list[Found]:
    """The matches, best first. With equal scores, helpers and topics come before functions."""
    words = list(dict.fromkeys(words_of(query[:MAX_QUERY])))[:MAX_WORDS]
    functions = [Found(hit.score, hit.match, hit.share, hit) for hit in search(query)]
    if len(words) == 1 and functions and len(functions) > 1 and functions[0].score == 1:
        return functions  # the provider's name matches all functions
    others = [found for page in pages() if (found := _scored(page, words))]
    ordered = sorted([*others, *functions], key=lambda found: -found.score)
    is_weak = bool(ordered) and ordered[0].match == "text" and ordered[0].share < 1
    return _with_models(ordered) if is_weak else ordered


def _with_models(found: list[Found]) -> list[Found]:
    """Weak matches, after the search for models: the query may say what a model does, such as upscale an image."""
    hit = search("search models")[0]
    others = [one for one in found if one.hit is None or one.hit.operation != hit.operation]
    return [Found(found[0].score, "text", found[0].share, hit), *others]


def _scored(page: Page, words: list[str]) -> Found | None:
    """Score a page in the same way as functions."""
    if len(words) == 1 and words[0] == page.name:
        return Found(EXACT, "name", page=page)
    scores = [_worth(page, word) for word in words]
    if not any(scores):
        return None
    share = sum(1 for score in scores if score) / len(scores)
    if max(scores) <= TEXT and share < 1:
        return None  # only a few common words of a long text match
    return Found(round(sum(scores) * share, 2), "words" if max(scores) >= START else "text", share, page=page)


def _worth(page: Page, word: str) -> float:
    names, summary = frozenset(words_of(page.name.replace("_", " "))), frozenset(words_of(page.summary))
    return worth(word, names, summary | page.keywords, page.text)
