"""Finds the name that was meant, by words and by letters: `integrations call` is near `integrations:call`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

LEAST = 0.6  # minimum similarity of a near name, up to 1
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_MOST_NAMES, _MOST_LETTERS = 300, 100  # names to compare, and letters of each
_MOST_WORDS = 8
_TYPO = 0.74  # similarity of two words that differ by a typing mistake
_PART = 0.85  # the minimum score of a text whose words are all in the name
# Words that other programs use, and the words used here.
_SAME = {
    **dict.fromkeys(("abort", "kill", "stop"), "cancel"),
    **dict.fromkeys(("add", "keep", "make", "new", "save", "start", "store", "submit", "upload"), "create"),
    **dict.fromkeys(("del", "destroy", "drop", "remove", "rm"), "delete"),
    **dict.fromkeys(("describe", "fetch", "info", "read", "retrieve", "show", "view"), "get"),
    **dict.fromkeys(("all", "index", "ls"), "list"),
    **dict.fromkeys(("find", "query"), "search"),
    **dict.fromkeys(("edit", "modify", "patch", "set"), "update"),
    **dict.fromkeys(("job", "pred"), "prediction"),
    **dict.fromkeys(("me", "user", "whoami"), "account"),
    "train": "training",
    **dict.fromkeys(("cfg", "conf", "config", "setup"), "configure"),
    **dict.fromkeys(("doc", "manual"), "docs"),
    "maximum": "max",
    "directory": "dir",
    "resume": "journal",
}
_WHOLE = {"timeout": "timelimit"}  # the same for whole names


def nearest(text: str, names: Iterable[str], most: int = 1, least: float = LEAST) -> list[str]:
    """The names that are near, the nearest first."""
    words, letters = _words(text), _letters(text)
    letters = _WHOLE.get(letters, letters)
    scored = []
    for at, name in zip(range(_MOST_NAMES), names, strict=False):
        points = _score(words, letters, name[:_MOST_LETTERS])
        if points >= least:
            scored.append((-points, at, name))
    return [name for _, _, name in sorted(scored)[:most]]


def did_you_mean(text: str, names: Iterable[str], before: str = "", after: str = "") -> str:
    """The suggestion as the end of a sentence; empty if no name is near."""
    found = nearest(text, names)
    return f"; did you mean {before}{found[0]}{after}?" if found else ""


def _score(words: Sequence[str], letters: str, name: str) -> float:
    """The similarity of a name: the better of words and letters, and a little of the other."""
    by_letters = _ratio(letters, _letters(name)) if letters else 0.0
    by_words = _by_words(words, _words(name))
    return max(by_letters, by_words) + min(by_letters, by_words) / 10


def _by_words(given: Sequence[str], known: Sequence[str]) -> float:
    """The share of common words. Each word counts once, and a mistyped one a little less."""
    if not given or not known:
        return 0.0
    left, points = list(known), 0.0
    for word in given:
        best = max(((_same(word, other), other) for other in left), default=(0.0, ""))
        if best[0] >= _TYPO:
            points += best[0]
            left.remove(best[1])
    share = points / max(len(given), len(known))
    return max(share, _PART * points / len(given)) if points > len(given) - 0.3 else share


def _same(one: str, other: str) -> float:
    return 1.0 if one == other else _ratio(one, other)


@cache
def _words(text: str) -> tuple[str, ...]:
    """The words in singular, with synonyms replaced by one word."""
    found = [word.lower() for word in _WORD.findall(text[:_MOST_LETTERS])][:_MOST_WORDS]
    singular = [word.removesuffix("s") if len(word) > 3 and word != "docs" else word for word in found]  # noqa: PLR2004
    return tuple(_SAME.get(word, word) for word in singular)


def _letters(text: str) -> str:
    return "".join(word.lower() for word in _WORD.findall(text[:_MOST_LETTERS]))


def _ratio(one: str, other: str) -> float:
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, one, other)
    return matcher.ratio() if matcher.real_quick_ratio() > LEAST / 2 else 0.0
