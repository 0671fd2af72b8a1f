"""The frame of each page, and the parts that pages share: times, tables, notices, forms and empty states."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import LiteralString
from urllib.parse import quote, urlencode

from msgspec import Struct

from kosmolua._version import __version__
from kosmolua.console.access import Visitor
from kosmolua.gate.jobs import amount
from kosmolua.page.markup import Html, Value, exact, fill, join
from kosmolua.services.progress_line import clock

PAGES = {
    "runs": ("/", "Runs"),
    "approvals": ("/approvals", "Approvals"),
    "schedules": ("/schedules", "Schedules"),
    "budgets": ("/budgets", "Budgets"),
    "workers": ("/workers", "Workers"),
}
REFRESH = 15  # seconds between refreshes without JavaScript
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · kosmolua</title>
<link rel="stylesheet" href="/static/{version}/console.css">
<link rel="icon" href="/static/{version}/icon.svg">
<script src="/static/{version}/console.js" defer></script>
{refresh}</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top"><div class="inner">
<a class="brand" href="/"><svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">\
<circle cx="9" cy="9" r="8"/><circle class="moon" cx="12.4" cy="5.6" r="2.6"/></svg>kosmolua</a>
{navigation}{who}</div></header>
<main id="main" tabindex="-1"{live}>
{said}{body}</main>
<footer><span>{zone}</span><span>kosmolua {release}</span></footer>
</body>
</html>
"""


class Frame(Struct, frozen=True, kw_only=True):
    """What a page needs besides its content. ``now`` is in Unix seconds, by the database's clock; ``pending`` counts
    the open approvals. ``version`` identifies the style sheet. A ``live`` page refreshes itself.
    """

    title: str
    active: str
    visitor: Visitor
    now: float
    version: str
    pending: int = 0
    live: bool = False
    refresh: bool = False
    said: str = ""
    has_login: bool = False


def page(frame: Frame, body: Iterable[Html]) -> Html:
    refresh = fill('<noscript><meta http-equiv="refresh" content="{}"></noscript>\n', REFRESH)
    return fill(
        _PAGE,
        title=frame.title,
        version=frame.version,
        refresh=refresh if frame.refresh else None,
        navigation=_navigation(frame),
        who=_who(frame),
        live=Html(' data-live=""') if frame.live else None,
        said=fill('<p class="said" role="status">{}</p>\n', frame.said) if frame.said else None,
        body=join(body),
        zone=f"Times are in {time.strftime('%Z (UTC%z)', time.localtime(frame.now))}.",
        release=__version__,
    )


def bare(title: str, version: str, body: Html) -> Html:
    """A page without navigation, for somebody who has not signed in."""
    return fill(
        _PAGE,
        title=title,
        version=version,
        body=body,
        release=__version__,
        **dict.fromkeys(("refresh", "navigation", "who", "live", "said", "zone")),
    )


def _navigation(frame: Frame) -> Html:
    return fill('<nav aria-label="Pages"><ul>{}</ul></nav>\n', join(_entry(frame, name) for name in PAGES))


def _entry(frame: Frame, name: str) -> Html:
    path, words = PAGES[name]
    current = Html(' aria-current="page"') if name == frame.active else None
    waiting = frame.pending if name == "approvals" and frame.pending else 0
    count = fill(' <b class="count">{}<span class="hidden"> waiting</span></b>', waiting) if waiting else None
    return fill('<li><a href="{}"{}>{}{}</a></li>', path, current, words, count)


def _who(frame: Frame) -> Html:
    visitor = frame.visitor
    if not frame.has_login:
        return Html('<p class="who">this machine, no login</p>')
    role = "" if visitor.name == visitor.role else f" ({visitor.role})"
    button = Html('<button class="plain">Sign out</button>')
    return fill('<div class="who"><span>{}{}</span>{}</div>', visitor.name, role, form(visitor, "/logout", button))


# Times ------------------------------------------------------------------------------------------------------------


def when(at: float, now: float) -> Html:
    """A time, both relative to now and as the time of day."""
    try:
        local = datetime.fromtimestamp(at).astimezone()
        exact = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return fill("{}", f"{at:g}")
    today = datetime.fromtimestamp(now).astimezone()
    pattern = "%H:%M:%S" if local.date() == today.date() else "%b %-d, %H:%M"
    pattern = pattern if local.year == today.year else "%Y-%m-%d %H:%M"
    return fill(
        '<time datetime="{}">{} <span class="soft">{}</span></time>', exact, ago(now - at), local.strftime(pattern)
    )


def ago(seconds: float) -> str:
    """A time difference in words: "3 min ago", "in 2 h", "now"."""
    if abs(seconds) < 1:
        return "now"
    return f"{length(seconds)} ago" if seconds > 0 else f"in {length(-seconds, nearest=True)}"


def length(seconds: float, *, nearest: bool = False) -> str:
    """A rough duration, in one unit: rounded down, or rounded to the ``nearest`` whole number."""
    for unit, size, most in (("s", 1, _MINUTE), ("min", _MINUTE, _HOUR), ("h", _HOUR, 2 * _DAY), ("d", _DAY, 1e12)):
        if seconds < most:
            return f"{int((seconds + size / 2 * nearest) // size)} {unit}"
    return "very long"


def money(cost: Decimal) -> str:
    """An amount with at most four decimal places."""
    shown = round(cost, 4)
    return amount(shown) if shown or not cost else "below 0.0001"


def duration(seconds: float) -> str:
    return f"{max(0.0, seconds):.1f} s" if seconds < _MINUTE else clock(seconds)


# Parts ------------------------------------------------------------------------------------------------------------


def table(name: LiteralString, caption: str, heads: Sequence[str], rows: Iterable[Sequence[Value]]) -> Html:
    """A table, which narrow screens show as a list of cards. The first cell of each row is the row's header."""
    return fill(
        '<div class="wide"><table class="list {}" role="table">\n<caption class="hidden">{}</caption>\n'
        '<thead role="rowgroup"><tr role="row">{}</tr></thead>\n<tbody role="rowgroup">\n{}</tbody></table></div>\n',
        Html(name),
        caption,
        join(fill('<th role="columnheader" scope="col">{}</th>', head) for head in heads),
        join(_row(heads, row) for row in rows),
    )


def _row(heads: Sequence[str], cells: Sequence[Value]) -> Html:
    first, *rest = cells
    shown = [
        fill('<td role="cell" data-head="{}">{}</td>', head, cell) for head, cell in zip(heads[1:], rest, strict=True)
    ]
    return fill('<tr role="row"><th role="rowheader" scope="row">{}</th>{}</tr>\n', first, shown)


def empty(title: str, words: str, command: str = "") -> Html:
    """A notice for an empty list: what the user can do, with a command."""
    shown = fill('<pre class="command">{}</pre>\n', command) if command else None
    return fill('<div class="empty">\n<h2>{}</h2>\n<p>{}</p>\n{}</div>\n', title, words, shown)


def facts(pairs: Iterable[tuple[str, Value]]) -> Html:
    """A list of names with their values; names without a value are omitted."""
    found = [
        fill("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value) for name, value in pairs if value not in ("", None)
    ]
    return fill('<dl class="facts">\n{}</dl>\n', found)


def form(visitor: Visitor, action: str, content: Html, hidden: Mapping[str, str] | None = None) -> Html:
    """A form that changes something. It contains the visitor's token."""
    fields = {"csrf": visitor.csrf, **(hidden or {})}
    return fill(
        '<form method="post" action="{}">{}{}</form>',
        action,
        join(_hidden(name, value) for name, value in fields.items()),
        content,
    )


def _hidden(name: str, value: str) -> Html:
    return fill('<input type="hidden" name="{}" value="{}">', name, exact(value))


def link(path: str, words: Value, query: Mapping[str, str] | None = None, *, name: LiteralString = "") -> Html:
    """A link to another page of the console."""
    target = quote(path) + ("?" + urlencode(query) if query else "")
    kind = fill(' class="{}"', Html(name)) if name else None
    return fill('<a href="{}"{}>{}</a>', exact(target), kind, words)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def basename(path: str) -> str:
    return os.path.basename(path) or path
