"""HTML from templates that escape every value, unless it is `Html` already.

Templates are constants of this package. Values come from scripts, models and people, and may contain anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import LiteralString

from kosmolua.replicate.token import HIDDEN, without_user_info
from kosmolua.terminal.safe import safe

_TOKEN = re.compile(r"\b(r8_|whsec_|hf_)[\w+/=-]{8,}")
_BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_NAMED = re.compile(
    r"((?:api[_-]?key|[_-]token|\btoken|secret|password|authorization)[\"']?\s*[:=]\s*[\"']?)(?!\[hidden\])[^\s\"',;&]{6,}",
    re.IGNORECASE,
)


class Html(str):
    """Markup that needs no escaping."""

    __slots__ = ()


Value = str | int | float | None | Iterable["Html"]


def masked(text: str) -> str:
    """The text without secrets, recognised by form or by the name before them."""
    if "bearer" in text.lower():
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return _NAMED.sub(rf"\1{HIDDEN}", _TOKEN.sub(r"\1…", without_user_info(text)))


def text(value: str | float) -> Html:
    """A value as text of a page or of a quoted attribute: masked, with control characters made visible, escaped."""
    if not isinstance(value, str):
        return Html(value)
    return Html(html.escape(safe(masked(value))))


def exact(value: str) -> Html:
    """A value of a form or a link, which comes back as it is: escaped only."""
    return Html(html.escape(value))


def escaped(value: Value) -> Html:
    if isinstance(value, Html):
        return value
    if value is None:
        return Html()
    if isinstance(value, str | int | float):
        return text(value)
    return join(value)


def fill(template: LiteralString, *values: Value, **named: Value) -> Html:
    """The template with each value escaped. Lists of `Html` are joined, None is empty."""
    return Html(template.format(*map(escaped, values), **{name: escaped(value) for name, value in named.items()}))


def join(parts: Iterable[Html]) -> Html:
    """Markup, one after the other. Raises a TypeError for text that is not markup."""
    found = list(parts)
    for part in found:
        if not isinstance(part, Html):
            raise TypeError(f"expected Html, got {type(part).__name__}")
    return Html("".join(found))
