"""``audit``: the log of calls that were made or refused, of all runs."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from typing import Any

from kosmolua.cli import options, output
from kosmolua.gate import audit
from kosmolua.gate.functions import resolve
from kosmolua.settings import ages
from kosmolua.terminal.safe import visible
from kosmolua.terminal.text import painted, width, wrapped

DEFAULT_LIMIT = 100
_MOST_AGE = 10  # characters of an age such as 30m
_MOST_SHOWN = 60  # characters of a cell
# Characters that look like a space.
_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"), "\N{REPLACEMENT CHARACTER}")


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    path = audit.file_of(os.environ)
    found = audit.merged((entry for entry in audit.read(path) if _matches(entry, parsed)), parsed.limit)
    if parsed.json:
        output.show_json({"success": True, "path": path, "entries": found, "cost": audit.cost_of(found)})
    else:
        output.write_text(_shown(found, path) + "\n")
    return 0


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "Show the calls that were made or refused: time, function, account, who decided, and the outcome.",
        f"kosmo {command} --since 1d --function 'create_*' --json",
    )
    made.add_argument(
        "--since",
        type=_since,
        metavar="TIME",
        help="show calls since TIME: an age (30m, 12h, 1d, 2w) or a date (2026-01-31)",
    )
    made.add_argument("--function", metavar="GLOB", help="show only functions whose name matches, such as create_*")
    made.add_argument("--run", metavar="ID", help="show only the calls of this run")
    made.add_argument(
        "--limit",
        type=options.count,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"show the last N calls, 0 for all (default: {DEFAULT_LIMIT})",
    )
    options.add_json(made)
    return made


def _since(text: str) -> float:
    """Parse an age or a date; returns Unix seconds."""
    import datetime as dt

    age = ages.seconds_of(text) if len(text) <= _MOST_AGE else None
    if age is not None:
        return time.time() - age
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected an age such as 30m, 12h, 1d or 2w, or a date, got {text!r}"
        ) from None


def _matches(entry: dict[str, Any], parsed: argparse.Namespace) -> bool:
    return (
        (parsed.since is None or entry["at"] >= parsed.since)
        and (parsed.run is None or entry.get("run") == parsed.run)
        and (parsed.function is None or fnmatch.fnmatchcase(str(entry.get("function")), _short(parsed.function)))
    )


def _short(glob: str) -> str:
    return glob if set(glob) & set("*?[") else resolve(glob).name


def _shown(entries: list[dict[str, Any]], path: str) -> str:
    if not entries:
        return f"no calls found in {path}"
    rows: list[tuple[str, ...]] = [
        ("time", "run", "function", "account", "decided", "outcome", "calls", "ms", "script")
    ]
    rows += map(_row, entries)
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cost = audit.cost_of(entries)
    total = f"\ntotal cost of these calls: {cost:g}" if cost else ""
    lines = [_line(row, sizes) for row in rows]
    if sys.stdout.isatty() and max(map(len, lines)) > width():
        lines = [_block(rows[0], row) for row in rows[1:]]
    return "\n".join(lines) + total


def _block(head: tuple[str, ...], row: tuple[str, ...]) -> str:
    """A row for a terminal that is too narrow for columns: the time and the function, then the other cells by name."""
    cells = dict(zip(head, row, strict=True))
    rest = (f"{name} {cells[name]}" for name in ("decided", "run", "account", "calls", "ms", "script") if cells[name])
    first = f"{painted(cells['time'], 'bold')}  {cells['function']}"
    return f"{first}\n{wrapped(', '.join([cells['outcome'], *rest]), '    ')}"


def _line(row: tuple[str, ...], sizes: list[int]) -> str:
    """A row as one line."""
    first, *others = (cell.ljust(size) for cell, size in zip(row, sizes, strict=True))
    return "  ".join([painted(first, "bold"), *others]).rstrip()


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    decided = f"{entry.get('decision', '')} by {entry.get('by', '')}" if entry.get("by") else ""
    count, took = entry.get("count", 1), entry.get("duration_ms", 0)
    words = (entry.get("run", ""), entry.get("function", ""), entry.get("account", ""), decided, _outcome(entry), count)
    last = (f"{took:.0f}" if isinstance(took, int | float) else "", entry.get("script", ""))
    return (_when(entry), *(_cell(word) for word in (*words, *last)))


def _when(entry: dict[str, Any]) -> str:
    try:
        return ages.local_time(entry["at"])
    except (ValueError, OverflowError, OSError):  # out of range
        return "unknown"


def _outcome(entry: dict[str, Any]) -> str:
    outcomes = entry.get("outcomes")
    if isinstance(outcomes, dict):
        counted = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
        return f"{entry.get('outcome')}: {counted}"
    return f"{entry.get('outcome', 'error')} {entry.get('code') or entry.get('status') or ''}".strip()


def _cell(word: Any) -> str:
    """A value made safe to print, on one line and at most `_MOST_SHOWN` characters."""
    text = str(word)[: 2 * _MOST_SHOWN]
    shown = visible(text).translate(_BLANK)
    while "  " in shown:  # two spaces separate columns
        shown = shown.replace("  ", " \\x20")
    return shown if len(shown) <= _MOST_SHOWN else shown[: _MOST_SHOWN - 1] + "…"
