"""``triggers``: scripts that HTTP requests start."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.submit import valid_source
from kosmolua.cli.worker import WORKER_NEEDED, add_database, opened
from kosmolua.errors import UsageError
from kosmolua.settings import ages, approvers
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    from kosmolua.worker.triggers import Trigger

ACTIONS = {
    "list": "list the triggers",
    "add NAME FILE": "add a trigger, and print only its secret, which is not shown again",
    "remove NAME": "remove a trigger",
}
_WORDS = {"add": ("NAME FILE", 2), "list": ("no name", 0), "remove": ("NAME", 1)}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_intermixed_args(argv)
    what, count = _WORDS[parsed.action]
    if len(parsed.words) != count:
        raise UsageError(
            f"{parsed.action}: expected {what}, got {len(parsed.words)} words",
            hint=f"kosmo {command} add orders flow.lua",
        )
    if parsed.action == "add":
        return _add(parsed)
    with opened(parsed.database) as database:
        from kosmolua.worker import triggers

        if parsed.action == "list":
            return _list(triggers.listed(database), as_json=parsed.json)
        triggers.remove(database, parsed.words[0])
    if parsed.json:
        output.show_json({"success": True, "trigger": parsed.words[0], "state": "removed"})
    else:
        output.write_text(f"{parsed.words[0]}: removed\n")
    return 0


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Let HTTP requests start a script: POST /trigger/NAME on the server of kosmo webhooks:serve, with the header "
        "Authorization: Bearer SECRET. " + WORKER_NEEDED,
        f"kosmo {command} add orders flow.lua --max-predictions 5",
    )
    options_.add_action(made, ACTIONS)
    made.add_argument("words", nargs="*", metavar="WORD", help="add: NAME FILE; remove: NAME")
    add_database(made)
    made.add_argument(
        "--signed",
        action="store_true",
        help="add: require signed requests instead (Standard Webhooks or X-Hub-Signature-256); the database then "
        "stores the secret",
    )
    made.add_argument(
        "--replace", action="store_true", help="add: replace an existing trigger of that name, and its secret"
    )
    made.add_argument(
        "--account", default="default", metavar="NAME", help="add: the credentials to use (default: default)"
    )
    options_.add_caps(made)
    options_.add_json(made)
    return made


def _add(parsed: argparse.Namespace) -> int:
    name, file = parsed.words
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"invalid name {name[:120]!r}: expected up to 100 letters, digits, '.', '_' or '-'",
            hint="for example: kosmo triggers add orders flow.lua",
        )
    script, text, _ = valid_source(file)
    from kosmolua.journal.records import Head

    head = Head(script=script, source=text, account=parsed.account)
    with opened(parsed.database) as database:
        from kosmolua.worker import triggers

        secret = triggers.add(
            database,
            name,
            head,
            caps=options_.caps(parsed),
            by=approvers.current(),
            signed=parsed.signed,
            replace=parsed.replace,
        )
    if parsed.json:
        output.show_json({"success": True, "trigger": name, "path": f"/trigger/{name}", "secret": secret})
    else:
        about = f"trigger {name}: POST /trigger/{name}; its secret follows on standard output and is not shown again"
        print(about, file=sys.stderr, flush=True)
        output.write_text(f"{secret}\n")
    return 0


def _list(found: list[Trigger], *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "triggers": found})
    elif not found:
        output.write_text("no triggers; to add one: kosmo triggers add orders flow.lua\n")
    else:
        heads = ("name", "takes", "added", "runs", "last run", "script")
        output.write_text(table([heads, *map(_row, found)], "", ("bold",)) + "\n")
    return 0


def _row(one: Trigger) -> tuple[str, ...]:
    last = f"{one.last_run} {one.last_state or 'removed'}" if one.last_run else ""
    takes = "signatures" if one.signed else "a secret"
    return one.name, takes, ages.local_time(one.added), f"{one.runs}", last, safe(one.script)
