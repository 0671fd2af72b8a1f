"""Renders values for display, from the previews that `lua/preview.lua` makes.

Predictions, trainings, models and pages have a short form with the main fields. `dump` shows a value in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from kosmolua.repl.lexer import KEYWORDS
from kosmolua.terminal import pictures
from kosmolua.terminal.safe import visible

MAX_LINES = 60
MAX_ROWS = 20  # the maximum rows of a page of results
_SMALL = 24  # the maximum characters of an unnamed item that shares a line with others
_MAX_TEXT = 2000  # the maximum characters of a string in a table
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Table(NamedTuple):
    """A table in a preview: the number of its entries, and its first entries."""

    is_list: bool
    total: int
    items: list[tuple[Any, Any]]

    def get(self, name: str) -> Any:
        """The field of that name, decoded if it is a string; None if it is missing."""
        for key, value in self.items:
            if key == name.encode():
                return text_of(value) if isinstance(value, bytes) else value
        return None

    @property
    def elements(self) -> list[Any]:
        return [value for key, value in self.items if isinstance(key, int)]


class Cut(NamedTuple):
    """The beginning of a string, and its length in bytes."""

    text: bytes
    length: int


class Other(NamedTuple):
    """A description of a value that is not plain data."""

    text: str


def value_of(preview: Any) -> Any:
    """Convert one value of a preview. An invalid value, which only a broken script process sends, becomes its repr."""
    match preview:
        case ["table", bool() as is_list, int() as count, list() as flat]:
            pairs = zip(flat[::2], flat[1::2], strict=False)
            return Table(is_list, count, [(value_of(key), value_of(value)) for key, value in pairs])
        case ["text", bytes() as text, int() as length]:
            return Cut(text, length)
        case ["other", bytes() as text]:
            return Other(visible(text_of(text)))
        case None | bool() | int() | float() | bytes():
            return preview
    return Other(visible(repr(preview)[:200]))


def text_of(data: bytes) -> str:
    return data.decode(errors="replace")


def render(preview: Any, width: int = 80) -> str:
    """A value as text of at most `MAX_LINES` lines and ``width`` columns, unless a single word is wider."""
    value = value_of(preview)
    short = _short(value, width)
    lines = (short if short is not None else _written(value, width, 0)).split("\n")
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"… {len(lines) - MAX_LINES} more lines; dump(_) prints them all"]
    return "\n".join(lines)


# Lua syntax -------------------------------------------------------------------------------------------------------


def _written(value: Any, width: int, indent: int, before: int = 0) -> str:
    """The value in Lua syntax. On its first line, ``before`` columns are already in use."""
    if not isinstance(value, Table):
        return _scalar(value)
    room = width - indent - before
    line = _in_line(value, room)
    if line is not None and len(line) <= room:
        return line
    pad = " " * (indent + 2)
    rows: list[str] = []
    filling = False
    for position, (key, item) in enumerate(value.items, 1):
        name = "" if key == position else f"{_key(key)} = "
        text = f"{name}{_written(item, width, indent + 2, len(name) + 1)},"
        small = not name and not isinstance(item, Table) and len(text) <= _SMALL
        if small and filling and len(rows[-1]) + 1 + len(text) <= width:
            rows[-1] += f" {text}"
        else:
            rows.append(pad + text)
        filling = small
    left = value.total - len(value.items)
    if left > 0:
        rows.append(f"{pad}… {left} more")
    return "\n".join(["{", *rows, " " * indent + "}"])


def _in_line(table: Table, room: int) -> str | None:
    """The table on one line; None if it does not fit."""
    if not table.total:
        return "[]" if table.is_list else "{}"
    parts: list[str] = []
    length = 4
    for position, (key, item) in enumerate(table.items, 1):
        name = "" if key == position else f"{_key(key)} = "
        text = _in_line(item, room - length) if isinstance(item, Table) else _scalar(item)
        if text is None:
            return None
        parts.append(name + text)
        length += len(parts[-1]) + 2
        if length > room + 2:
            return None
    if table.total > len(table.items):
        parts.append(f"… {table.total - len(table.items)} more")
    return "{ " + ", ".join(parts) + " }"


def _scalar(value: Any) -> str:
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.14g}"
        case bytes():
            return _quoted(value, len(value))
        case Cut(text, length):
            return _quoted(text, length)
        case Other(text):
            return text
    return str(value)


def _quoted(data: bytes, length: int) -> str:
    text = text_of(data[: 4 * _MAX_TEXT])
    shown = "".join(_ESCAPES.get(c) or visible(c) for c in text[:_MAX_TEXT])
    cut = length > len(data) or len(text) > _MAX_TEXT or len(data) > 4 * _MAX_TEXT
    return f'"{shown}"' + (f"… ({length:,} bytes)" if cut else "")


def _key(key: Any) -> str:
    if isinstance(key, bytes) and _NAME.fullmatch(name := text_of(key)) and name not in KEYWORDS:
        return name
    return f"[{_scalar(key)}]" if not isinstance(key, Table) else "[{ … }]"


# Short forms ------------------------------------------------------------------------------------------------------


def _short(value: Any, width: int) -> str | None:
    if not isinstance(value, Table) or value.is_list:
        return None
    names = {text_of(key) for key, _ in value.items if isinstance(key, bytes)}
    for kind, needs, form in _FORMS:
        if needs <= names:
            return form(kind, value, width)
    return None


def _job(kind: str, job: Table, width: int) -> str:
    head = f"{kind} {_word(job.get('id'))}  {_word(job.get('status'))}{_took(job)}  {_word(job.get('model'))}"
    rows = [head.rstrip()]
    for name in ("error", "output", "input"):
        value = next((value for key, value in job.items if key == name.encode()), None)
        if value not in (None, b"") and not (isinstance(value, Table) and not value.total):
            rows.append(f"  {name} = {_written(value, width, 2, len(name) + 3)}")
    return "\n".join(rows)


def _took(job: Table) -> str:
    metrics = job.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, Table) else None
    # a duration from the API may be negative
    return f" in {seconds:.2f} s" if isinstance(seconds, int | float) and seconds >= 0 else ""


def _model(kind: str, model: Table, width: int) -> str:
    facts = [_word(model.get("visibility"))]
    runs = model.get("run_count")
    if isinstance(runs, int) and not isinstance(runs, bool):
        facts.append(f"{runs:,} runs")
    if model.get("is_official") is True:
        facts.append("official")
    rows = [f"{kind} {_word(model.get('owner'))}/{_word(model.get('name'))}  {', '.join(filter(None, facts))}".rstrip()]
    about = _word(model.get("description"))
    if about:
        rows.append(f"  {about if len(about) <= width - 2 else about[: width - 3] + '…'}")
    version = model.get("latest_version")
    if isinstance(version, Table):
        rows.append(
            f"  latest version {_word(version.get('id'))}, {_word(version.get('created_at'))[:10]}".rstrip(", ")
        )
    return "\n".join(rows)


def _page(kind: str, page: Table, width: int) -> str | None:
    results = page.get("results")
    if not isinstance(results, Table):
        return None
    more = "; more pages: cursor in `next`" if isinstance(page.get("next"), str) else ""
    rows = [f"{kind} of {results.total}{more}"]
    for number, item in enumerate(results.elements[:MAX_ROWS], 1):
        line = (_short(item, width) or _written(item, 10_000, 0)).split("\n")[0]
        text = f"  {number:>2}  {line}"
        rows.append(text if len(text) <= width else text[: width - 1] + "…")
    if results.total > MAX_ROWS:
        rows.append(f"  … {results.total - MAX_ROWS} more")
    return "\n".join(rows)


def _word(value: Any) -> str:
    if isinstance(value, Cut):
        value = text_of(value.text)
    return visible(value) if isinstance(value, str) else "" if value is None else _scalar(value)


# kind, the fields that identify it, and its form
_Form = Callable[[str, Table, int], str | None]
_FORMS: tuple[tuple[str, frozenset[str], _Form], ...] = (
    ("training", frozenset({"id", "status", "model", "version", "destination", "urls"}), _job),
    ("prediction", frozenset({"id", "status", "model", "version", "input", "urls"}), _job),
    ("model", frozenset({"owner", "name", "visibility", "url"}), _model),
    ("page", frozenset({"results"}), _page),
)


# Images -----------------------------------------------------------------------------------------------------------


def images(preview: Any) -> list[str]:
    """The URLs of images in a value, in order; if the value is a job, only those in its output."""
    value = value_of(preview)
    if isinstance(value, Table) and isinstance(value.get("status"), str) and value.get("output") is not None:
        value = value.get("output")
    found: list[str] = []
    _collect(value.encode() if isinstance(value, str) else value, found)
    return list(dict.fromkeys(found))


_IMAGE = re.compile(rf"({pictures.URL}|data:image/[a-z+]+;base64,\S+)", re.IGNORECASE)


def _collect(value: Any, found: list[str]) -> None:
    text = text_of(value) if isinstance(value, bytes) else value.text if isinstance(value, Other) else ""
    if _IMAGE.fullmatch(text):  # the description of a file is its URL
        found.append(text)
    if isinstance(value, Table):
        for _, item in value.items:
            _collect(item, found)
