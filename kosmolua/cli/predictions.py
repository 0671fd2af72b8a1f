"""``predictions``: list predictions, show, cancel or open one."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from shlex import quote
from typing import Any

from kosmolua.cli import listing, output
from kosmolua.cli import options as options_
from kosmolua.cli.host import host_of
from kosmolua.cli.options import Options
from kosmolua.errors import UsageError
from kosmolua.host.host import Host
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.token import quoted
from kosmolua.services.progress import as_text
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import heading, table

_ID = re.compile(r"[a-z0-9]{24,}")
ACTIONS = {
    "list": "list the account's predictions, newest first",
    "show ID ...": "show predictions with their input and output",
    "cancel ID ...": "cancel predictions",
    "open ID": "open the page of a prediction in a browser",
}


def run(command: str, argv: list[str]) -> int:
    parser = _parser(command)
    parsed = parser.parse_intermixed_args(_with_action(argv, parser.takes))
    options = options_.shared(parsed)
    _check(command, parsed)
    with host_of(options, isolation="none") as host:
        if parsed.action == "list":
            return _list(parsed, options, host)
        function = "cancel_prediction" if parsed.action == "cancel" else "get_prediction"
        found = [host.call(function, {"prediction_id": each}) for each in parsed.id]
    if options.dry_run:
        return listing.show(options, {"requests": found}, "")
    if parsed.action == "open":
        return _open(parsed, options, mapping(found[0]))
    text = "\n\n".join(map(_shown, found)) if parsed.action == "show" else "\n".join(map(_line, found))
    data = {"prediction": found[0]} if len(found) == 1 else {"predictions": found}
    return listing.show(options, data, text)


def _with_action(argv: list[str], takes: Mapping[str, bool]) -> list[str]:
    """The words, preceded by an action if they have none: show for an id, list if there are no words. ``takes`` says
    which options take a value. Raises a `UsageError` if the first word is neither an action nor an id.
    """
    pairs = zip(["", *argv], argv, strict=False)
    first = next((word for before, word in pairs if not word.startswith("-") and not takes.get(before)), None)
    if first is None:
        return argv if {"-h", "--help"} & set(argv) else ["list", *argv]
    if _ID.fullmatch(first):
        return ["show", *argv]
    actions = options_.names_of(ACTIONS)
    if first not in actions:
        from kosmolua.replicate.nearest import did_you_mean

        raise UsageError(
            f"{quoted(first)} is neither an action ({', '.join(actions)}) nor the id of a prediction"
            + did_you_mean(first, actions),
            hint="list the predictions with their ids: kosmo predictions list",
        )
    return argv


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "List, show, cancel or open predictions. Without an action, an id is shown.",
        f"kosmo {command} list --limit 5\n  kosmo {command} cancel gm3qorzdhgbfurvjtvhg6dckhu",
    )
    options_.add_action(made, ACTIONS)
    made.add_argument("id", nargs="*", metavar="ID", help="show, cancel, open: id of a prediction")
    listing.add_flags(made)
    return made


def _check(command: str, parsed: argparse.Namespace) -> None:
    if parsed.action == "list" and parsed.id:
        raise UsageError(f"list does not take an id, got {quoted(parsed.id[0])}", hint=f"kosmo {command} show ID")
    if parsed.action != "list" and not parsed.id:
        raise UsageError("missing prediction id", hint=f"list them: kosmo {command} list")
    if parsed.action == "open" and len(parsed.id) > 1:
        raise UsageError(f"expected one id, got {len(parsed.id)}", hint=f"kosmo {command} open {quote(parsed.id[0])}")


def _list(parsed: argparse.Namespace, options: Options, host: Host) -> int:
    if options.dry_run:
        return listing.show(options, {"requests": [host.call("list_predictions")]}, "")
    found = listing.items(host, "list_predictions", {}, parsed.limit)
    head = ("id", "status", "created", "seconds", "model")
    nothing = "no predictions; create one: kosmo run MODEL NAME=VALUE"
    return listing.show(options, {"predictions": found}, listing.rows(head, [*map(_row, found)], nothing))


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    text = listing.text_of
    return text(one.get("id")), text(one.get("status")), _time(one, "created_at"), _seconds(one), text(one.get("model"))


def _time(one: Mapping[str, Any], name: str) -> str:
    return listing.text_of(one.get(name))[:19].replace("T", " ")


def _seconds(one: Mapping[str, Any]) -> str:
    seconds = mapping(one.get("metrics")).get("predict_time")
    return f"{seconds:.1f}" if isinstance(seconds, int | float) and seconds >= 0 else ""  # the API's times may be wrong


def _line(found: Any) -> str:
    one = mapping(found)
    return f"{listing.text_of(one.get('id'))} {listing.text_of(one.get('status'))}"


def _shown(found: Any) -> str:
    """A prediction as text: facts, then input and output."""
    one = mapping(found)
    facts = [
        ("status", listing.text_of(one.get("status"))),
        ("model", listing.text_of(one.get("model"))),
        ("created", _time(one, "created_at")),
        ("seconds", _seconds(one)),
        ("page", listing.text_of(mapping(one.get("urls")).get("web"))),
    ]
    parts = [f"{heading(listing.text_of(one.get('id')))}\n{table([row for row in facts if row[1]])}"]
    for name in ("input", "output", "error", "logs"):
        text = safe(as_text(one.get(name) or None) or "")
        if text:
            parts.append(f"{heading(name)}\n" + "\n".join(f"  {line}" for line in text.rstrip().split("\n")))
    return "\n\n".join(parts)


def _open(parsed: argparse.Namespace, options: Options, one: Mapping[str, Any]) -> int:
    """Print the address of the prediction's page, and open it if this is a terminal."""
    address = listing.text_of(mapping(one.get("urls")).get("web"))
    if not address.startswith(("https://", "http://")):
        raise UsageError(
            "the API gave no web page for this prediction",
            hint=f"show it: kosmo predictions show {quote(parsed.id[0])}",
        )
    if sys.stdout.isatty() and not options.emulate and not options.json:
        import webbrowser

        webbrowser.open(address)
    if options.json or parsed.jq is not None:
        return listing.show(options, {"url": address}, address)
    output.write_text(address + "\n")
    return 0
