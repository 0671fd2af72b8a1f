"""Numbers and booleans written as text."""

from __future__ import annotations

import math
import re
from decimal import Decimal

MAX_NUMBER = 400  # characters of a text that may be a number, and digits of the number
_MAX_EXPONENT = 300  # maximum exponent of an integer, which doubles represent
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_TRUTHS = {"True": True, "true": True, "False": False, "false": False}


def number_of(text: str) -> int | float | None:
    """The number that the whole text spells in JSON; None if a digit would be lost."""
    if len(text) > MAX_NUMBER or not _NUMBER.fullmatch(text):
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    exact = Decimal(text)
    if 0 <= exact.adjusted() < _MAX_EXPONENT and exact == int(exact):
        return int(exact)
    found = float(text)
    return found if math.isfinite(found) and Decimal(repr(found)) == exact else None


def truth_of(text: str) -> bool | None:
    """The boolean that the whole text spells in JSON or Python."""
    return _TRUTHS.get(text)


def value_of(text: str) -> bool | int | float | None:
    """The boolean or number that the whole text spells."""
    truth = truth_of(text)
    return number_of(text) if truth is None else truth


def spells(text: str, value: object) -> bool:
    """Whether the text spells that number or boolean."""
    if isinstance(value, bool):
        return truth_of(text) is value
    return isinstance(value, int | float) and number_of(text) == value
