"""HTML from templates that escape every value, unless it is `Html` already.

Templates are constants of this package. The values come from scripts, models and people, and may contain anything.
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
    """The text with its secrets masked. Secrets are recognized by their form or by the name before them."""
    if "bearer" in text.lower():
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return _NAMED.sub(rf"\1{HIDDEN}", _TOKEN.sub(r"\1…", without_user_info(text)))


def text(value: str | float) -> Html:
    """A value as the text of a page or of a quoted attribute: secrets are masked, control characters are made visible,
    and the text is escaped.
    """
    if not isinstance(value, str):
        return Html(value)
    return Html(html.escape(safe(masked(value))))


def exact(value: str) -> Html:
    """A value in a form or a link, which the browser sends back unchanged. It is only escaped."""
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
    """Fill a template, with each value escaped. Lists of `Html` are joined, and None becomes empty."""
    return Html(template.format(*map(escaped, values), **{name: escaped(value) for name, value in named.items()}))


def join(parts: Iterable[Html]) -> Html:
    """Concatenate markup. Raises a TypeError for text that is not markup."""
    found = list(parts)
    for part in found:
        if not isinstance(part, Html):
            raise TypeError(f"expected Html, got {type(part).__name__}")
    return Html("".join(found))
