"""Suggest the name that was meant, by its words and by its letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[a-z0-9]+")
_LEAST = 0.6  # similarity of letters, from 0 to 1


def nearest(text: str, names: Iterable[str]) -> str | None:
    """The name nearest to the text; None if none is near."""
    found = ranked(text, names)
    return found[0] if found else None


def ranked(text: str, names: Iterable[str]) -> list[str]:
    """The names that are near, the nearest first."""
    scored = [(score(text, name), -len(name), name) for name in names]
    return [name for points, _, name in sorted(scored, reverse=True) if points >= _LEAST]


def score(text: str, name: str) -> float:
    """How near a name is, from 0 to 1: the better of its letters and its words."""
    given, known = text.lower(), name.lower()
    return max(_letters(given, known), _words(given, known))


def _letters(given: str, known: str) -> float:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, given, known).ratio()


def _words(given: str, known: str) -> float:
    """The share of words that both have; a word that is a bit misspelt counts a bit less."""
    mine, theirs = _WORD.findall(given), _WORD.findall(known)
    if not mine or not theirs:
        return 0.0
    return sum(max(_letters(one, other) for other in theirs) for one in mine) / max(len(mine), len(theirs))
