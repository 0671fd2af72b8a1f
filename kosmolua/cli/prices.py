"""``prices``: list the prices of models with their source and age, or import a price file."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from kosmolua.cli import options, output
from kosmolua.errors import UsageError
from kosmolua.settings import config, pricelist
from kosmolua.settings.pricelist import Row
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

ACTIONS = {
    "list": "list the prices in force, with source and age",
    "import FILE": "use the prices of a TOML or JSON file that names its source and date",
}


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_intermixed_args(argv)
    if parsed.action == "import":
        return _import(command, parsed.file, as_json=parsed.json)
    if parsed.file is not None:
        raise UsageError("list does not take a file", hint=f"kosmo {command} import FILE")
    return _list(command, as_json=parsed.json)


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "List the prices that costs are estimated and counted with, or import a price file. Replicate has no API for "
        "prices: enter them in config.toml, or import them.",
        f"kosmo {command} import prices-2026-11.toml",
    )
    options.add_action(made, ACTIONS)
    made.add_argument("file", nargs="?", metavar="FILE", help="price file to import")
    options.add_json(made)
    return made


def _import(command: str, path: str | None, *, as_json: bool) -> int:
    if path is None:
        raise UsageError("missing price file", hint=f"kosmo {command} import FILE")
    found = pricelist.import_file(path, os.environ)
    target = pricelist.file_of(os.environ)
    if as_json:
        facts = {
            "source": found.source,
            "date": found.date,
            "models": len(found.models),
            "hardware": len(found.hardware),
        }
        output.show_json({"success": True, **facts, "path": target})
    else:
        number = len(found.models) + len(found.hardware)
        count = "1 price" if number == 1 else f"{number} prices"
        output.write_text(f"imported {count} from {safe(found.source or '')} of {found.date} into {safe(target)}\n")
    return 0


def _list(command: str, *, as_json: bool) -> int:
    rows = pricelist.rows(config.load(os.environ), os.environ, dt.datetime.now(dt.UTC).date())
    if as_json:
        output.show_json({"success": True, "prices": rows})
    elif not rows:
        output.write_text(f"no prices; enter them in config.toml, or run: kosmo {command} import FILE\n")
    else:
        head = ("name", "age", "source", "price")
        output.write_text(table([head, *map(_row, rows)], "", ("bold",)) + "\n")
    return 0


def _row(row: Row) -> tuple[str, ...]:
    age = "unknown" if row.age_days is None else "today" if row.age_days == 0 else f"{row.age_days} d"
    price = f"{_amount(row.price)} a second" if not isinstance(row.price, dict) else _words(row.price)
    state = "" if row.in_force else " (not in force)"
    return safe(row.name), age, safe(row.source) + state, safe(price)


def _words(price: dict[str, Any]) -> str:
    """A price in the form of a price file, on one line."""
    return ", ".join(f"{name} = {_amount(value)}" for name, value in price.items())


def _amount(value: Any) -> str:
    """A value in TOML; small numbers have no exponent."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            text = f"{value:.12f}".rstrip("0").rstrip(".")
            return text or "0"
        case dict():
            return f"{{ {_words(value)} }}"
        case list():
            return f"[{', '.join(map(_amount, value))}]"
    return str(value)
