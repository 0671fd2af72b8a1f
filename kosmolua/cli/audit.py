"""``audit``: the calls that were decided, over all runs."""

from __future__ import annotations

import argparse
import fnmatch
import os
import time
from collections import deque
from typing import Any

from kosmolua.cli import options, output
from kosmolua.gate import audit
from kosmolua.gate.session import resolve
from kosmolua.settings import ages
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

DEFAULT_LIMIT = 100
_MOST_AGE = 10  # characters


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    path = audit.file_of(os.environ)
    found = deque((entry for entry in audit.read(path) if _wanted(entry, parsed)), maxlen=parsed.limit or None)
    if parsed.json:
        output.show_json({"success": True, "path": path, "entries": list(found)})
    else:
        output.write_text(_shown(list(found), path) + "\n")
    return 0


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "Shows the calls that were made or refused: when, what, on which account, who decided, and what came of it.",
        f"kosmo {command} --since 1d --function 'create_*' --json",
    )
    made.add_argument("--since", type=_since, metavar="TIME", help="30m, 12h, 1d, 2w, or a date such as 2026-01-31")
    made.add_argument("--function", metavar="GLOB", help="only functions of that name, such as create_*")
    made.add_argument("--run", metavar="ID", help="only the calls of that run")
    made.add_argument("--limit", type=options.count, default=DEFAULT_LIMIT, metavar="N", help="the last N; 0: all")
    made.add_argument("--json", action="store_true", help="answer with one JSON object")
    return made


def _since(text: str) -> float:
    """A point in time, as Unix seconds."""
    import datetime as dt

    age = ages.seconds_of(text) if len(text) <= _MOST_AGE else None
    if age is not None:
        return time.time() - age
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"expected 30m, 12h, 1d, 2w or a date, got {text!r}") from None


def _wanted(entry: dict[str, Any], parsed: argparse.Namespace) -> bool:
    return (
        (parsed.since is None or entry["at"] >= parsed.since)
        and (parsed.run is None or entry.get("run") == parsed.run)
        and (parsed.function is None or fnmatch.fnmatchcase(str(entry.get("function")), _short(parsed.function)))
    )


def _short(glob: str) -> str:
    return glob if set(glob) & set("*?[") else resolve(glob).name


def _shown(entries: list[dict[str, Any]], path: str) -> str:
    if not entries:
        return f"no calls in {path}"
    rows = [("when", "run", "function", "account", "decided", "outcome", "ms", "script")]
    return table([*rows, *map(_row, entries)], "", ("bold",))


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["at"]))
    decided = f"{entry.get('decision', '')} by {entry.get('by', '')}" if entry.get("by") else ""
    outcome = f"{entry.get('outcome', 'error')} {entry.get('code') or entry.get('status') or ''}".strip()
    words = (entry.get("run", ""), entry.get("function", ""), entry.get("account", ""), decided, outcome)
    last = (f"{entry.get('duration_ms', 0):.0f}", entry.get("script", ""))
    return (when, *(safe(str(word))[:60] for word in (*words, *last)))
