"""``budget``: budgets that apply to all runs together."""

from __future__ import annotations

import argparse
import os
from typing import Any

from kosmolua.cli import options, output
from kosmolua.errors import UsageError
from kosmolua.gate.jobs import amount
from kosmolua.gate.ledger import Ledger, Total, file_of
from kosmolua.gate.periods import shown
from kosmolua.settings import allowances, config
from kosmolua.settings.config import Allowance
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

ACTIONS = {
    "show [NAME]": "show budgets, and how much of each is spent",
    "set NAME": "add or change a budget; needs --cost or --predictions, and --per",
    "remove NAME": "remove a budget",
}
_PERIODS = ("day", "week", "month")
_CONDITIONS = ("account", "script", "caller")


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_intermixed_args(argv)
    if parsed.action != "show" and parsed.name is None:
        raise UsageError(f"name the budget to {parsed.action}", hint=f"kosmo {command} set daily --cost 5 --per day")
    if parsed.action == "set":
        return _set(command, parsed)
    given = [flag for flag in _changes(parsed) if flag != "json"]
    if given:
        raise UsageError(f"{parsed.action} does not take --{given[0]}", hint=f"kosmo {command} --help")
    return _remove(parsed) if parsed.action == "remove" else _show(command, parsed)


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "Set, show or remove a budget for all runs together: bound the cost or predictions of each day, week or month, "
        "optionally for one account, script or caller. A call that would exceed a budget is not sent and exits "
        "with status 5. Budgets are stored in your config.toml. A new budget counts from now: what was spent before, "
        "without a budget, is not included.",
        f"kosmo {command} set daily --cost 5 --per day",
    )
    options.add_action(made, ACTIONS, default="show")
    made.add_argument("name", nargs="?", metavar="NAME", help="name of the budget (show lists all by default)")
    made.add_argument(
        "--cost",
        type=_bound(options.amount),
        metavar="N",
        help="limit the cost, in the currency of the price table; none removes the limit",
    )
    made.add_argument(
        "--predictions",
        type=_bound(options.count),
        metavar="N",
        help="limit the number of predictions and trainings; none removes the limit",
    )
    made.add_argument(
        "--per", "--period", dest="period", choices=_PERIODS, help="set the period after which the budget renews"
    )
    made.add_argument("--account", metavar="NAME", help="count only calls on this account; any removes the condition")
    made.add_argument(
        "--script", metavar="GLOB", help="count only calls of scripts with this name or path; any removes the condition"
    )
    made.add_argument(
        "--caller", metavar="NAME", help="count only calls from this caller, such as mcp; any removes the condition"
    )
    made.add_argument(
        "--timezone", metavar="ZONE", help="begin a period at midnight in ZONE, such as Europe/Berlin (default: UTC)"
    )
    options.add_json(made)
    return made


def _bound(kind: Any) -> Any:
    def parse(text: str) -> Any:
        return text if text == "none" else kind(text)

    return parse


def _changes(parsed: argparse.Namespace) -> dict[str, Any]:
    """The values that the flags set, by name; None for a value to remove."""
    names = ("cost", "predictions", "period", *_CONDITIONS, "timezone")
    given = {name: value for name in names if (value := getattr(parsed, name)) is not None}
    return {
        name: None if value == ("any" if name in _CONDITIONS else "none") else value for name, value in given.items()
    }


def _set(command: str, parsed: argparse.Namespace) -> int:
    changes = _changes(parsed)
    if not changes:
        raise UsageError(f"nothing to change in budget {parsed.name!r}", hint=f"kosmo {command} set --help")
    is_new = parsed.name not in [each.name for _, each in config.load(os.environ).budgets]
    budget, path = allowances.set_budget(parsed.name, changes, os.environ)
    if parsed.json:
        output.show_json({"success": True, "budget": budget, "path": path})
    else:
        since = "; it counts from now, without what was spent before" if is_new else ""
        output.write_text(f"set budget {safe(budget.name)}: {_words(budget)}, in {safe(path)}{since}\n")
    return 0


def _remove(parsed: argparse.Namespace) -> int:
    path = allowances.remove_budget(parsed.name, os.environ)
    if parsed.json:
        output.show_json({"success": True, "removed": parsed.name, "path": path})
    else:
        output.write_text(f"removed budget {safe(parsed.name)} from {safe(path)}\n")
    return 0


def _show(command: str, parsed: argparse.Namespace) -> int:
    known = config.load(os.environ).budgets
    found = [(origin, each) for origin, each in known if parsed.name in (None, each.name)]
    if not found and parsed.name is not None:
        raise UsageError(f"no budget {parsed.name!r}", hint=f"list the budgets: kosmo {command} show")
    ledger = Ledger(file_of(os.environ))
    try:
        totals = ledger.totals([budget for _, budget in found]) if found else []
    finally:
        ledger.close()
    rows = [(origin, total) for (origin, _), total in zip(found, totals, strict=True)]
    if parsed.json:
        output.show_json({"success": True, "budgets": [_plain(*row) for row in rows]})
    elif not rows:
        output.write_text(f"no budgets; add one: kosmo {command} set daily --cost 5 --per day\n")
    else:
        head = ("budget", "bounds", "used", "spent", "reserved", "predictions", "renews")
        output.write_text(table([head, *(_row(total) for _, total in rows)], "", ("bold",)) + "\n")
    return 0


def _plain(origin: str, total: Total) -> dict[str, Any]:
    return {
        **{name: getattr(total.budget, name) for name in Allowance.__struct_fields__},
        "spent": float(total.spent),
        "reserved": float(total.reserved),
        "made": total.predictions,
        "unpriced": total.unpriced,
        "began": total.start,
        "renews": total.renews,
        "origin": origin,
    }


def _row(total: Total) -> tuple[str, ...]:
    unpriced = f" + {total.unpriced} of unknown price" if total.unpriced else ""
    return (
        safe(total.budget.name),
        safe(_words(total.budget)),
        f"{total.share:.0%}",
        f"{amount(total.spent)}{unpriced}",
        amount(total.reserved),
        str(total.predictions),
        shown(total.renews, total.budget.timezone),
    )


def _words(budget: Allowance) -> str:
    caps = [f"cost {budget.cost:g}"] if budget.cost is not None else []
    caps += [f"{budget.predictions} predictions"] if budget.predictions is not None else []
    where = [f"{name} {value}" for name in _CONDITIONS if (value := getattr(budget, name)) is not None]
    return ", ".join([f"{' and '.join(caps)} a {budget.period}", *where])
