"""Bounds of a value: range of a number, length and pattern of a text, length of a list. Checks them, and describes them
in words.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from kosmolua.replicate.pattern import compiled
from kosmolua.replicate.shape import Shape

_MAX_PATTERN = 60  # maximum characters shown
_MAX_WHOLE = 1e15  # shown as an integer; larger ones are shorter with an exponent
_MAX_EXPONENT = 400  # maximum digits of numbers whose remainder is computed


def within(shape: Shape, value: Any) -> bool:
    """Whether the value is within the bounds of its type."""
    match value:
        case bool():
            return True
        case int() | float():
            return _is_in_range(shape, value) and _is_multiple(value, shape.step)
        case str() if not shape.is_file:  # the text of a file input is replaced before sending
            return _between(shape.shortest, len(value), shape.longest) and _matches(shape.pattern, value)
        case list() | tuple():
            return _between(shape.fewest, len(value), shape.most)
    return True


def has_right_length(shape: Shape, value: Any) -> bool:
    """Whether the length of a text or list is within its bounds."""
    if isinstance(value, str):
        return _between(shape.shortest, len(value), shape.longest)
    return _between(shape.fewest, len(value), shape.most)


def _between(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _is_in_range(shape: Shape, value: float) -> bool:
    above = shape.above is None or value > shape.above
    below = shape.below is None or value < shape.below
    return above and below and _between(shape.minimum, value, shape.maximum)


def _is_multiple(value: float, step: float | None) -> bool:
    """Whether the value, as written in decimal, is a multiple: 0.3 is one of 0.1, although doubles are inexact."""
    if step is None or step <= 0 or not math.isfinite(value) or not math.isfinite(step):
        return True
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    number, unit = Decimal(repr(value)), Decimal(repr(step))
    if abs(number.adjusted() - unit.adjusted()) > _MAX_EXPONENT or number.adjusted() > _MAX_EXPONENT:
        return True
    scale = min(_exponent(number), _exponent(unit))
    return int(number.scaleb(-scale)) % int(unit.scaleb(-scale)) == 0 or _divides(value, step)


def _exponent(number: Decimal) -> int:
    found = number.as_tuple().exponent
    return found if isinstance(found, int) else 0


def _divides(value: float, step: float) -> bool:
    """Whether the quotient of the doubles is whole, which is the test of most validators."""
    try:
        quotient = value / step
    except OverflowError:
        return True
    return math.isinf(quotient) or quotient.is_integer()


def _matches(pattern: str, value: str) -> bool:
    found = compiled(pattern) if pattern else None
    return found is None or found.finds(value)


# Words ------------------------------------------------------------------------------------------------------------


def bounds(shape: Shape) -> str:
    """The bounds in words: from 1 to 4, a multiple of 8, matching "^x"."""
    parts = [
        _range("", shape.minimum, shape.maximum),
        "" if shape.above is None else f"above {number(shape.above)}",
        "" if shape.below is None else f"below {number(shape.below)}",
        "" if shape.step is None else f"in multiples of {number(shape.step)}",
        _range("characters", shape.shortest, shape.longest),
        f"matching {_pattern(shape.pattern)}" if shape.pattern else "",
        _range("items", shape.fewest, shape.most),
        "without repeated items" if shape.distinct else "",
    ]
    return ", ".join(filter(None, parts))


def _pattern(pattern: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in pattern[: _MAX_PATTERN + 1])
    return json.dumps(text if len(text) <= _MAX_PATTERN else f"{text[:_MAX_PATTERN]}…", ensure_ascii=False)


def _range(unit: str, low: float | None, high: float | None) -> str:
    what = f" {unit}" if unit else ""
    if low is not None and high is not None:
        return f"{'of ' if unit else 'from '}{number(low)} to {number(high)}{what}"
    if low is not None:
        return f"of at least {number(low)}{what}"
    return "" if high is None else f"of at most {number(high)}{what}"


def number(value: float) -> str:
    """A number for a reader: 4 for 4.0."""
    return str(int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_WHOLE else value)
