"""``schedule``: run scripts at recurring times, on workers."""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.submit import valid_source
from kosmolua.cli.worker import WORKER_NEEDED, add_database, opened
from kosmolua.errors import UsageError
from kosmolua.gate import described
from kosmolua.settings import approvers, cron
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    from kosmolua.worker.schedules import NewSchedule, Schedule

ACTIONS = {
    "list [NAME]": "list the schedules",
    "add [NAME] ['CRON'] FILE": "add a schedule for a script; arguments of the script follow --",
    "remove NAME": "remove a schedule; its runs continue",
    "pause NAME": "start no runs until the schedule is resumed",
    "resume NAME": "start runs of a paused schedule again",
    "run NAME": "start a run now",
}
_OVERLAPS = ("skip", "queue", "allow")
_USE = "[NAME] ['CRON'] FILE"


def run(command: str, argv: list[str]) -> int:
    argv, args = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parsed = _parser(command).parse_intermixed_args(argv)
    if parsed.action == "add":
        return _add(command, parsed, args)
    _check_words(command, parsed, args)
    name = parsed.words[0] if parsed.words else ""
    with opened(parsed.database) as database:
        from kosmolua.worker import schedules

        match parsed.action:
            case "list":
                return _list(schedules.listed(database, name or None), as_json=parsed.json)
            case "run":
                return _report(name, "run", schedules.run_now(database, name), as_json=parsed.json)
            case "pause":
                schedules.pause(database, name)
            case "resume":
                schedules.resume(database, name)
            case "remove":
                schedules.remove(database, name)
                return _report(name, "state", "removed", as_json=parsed.json)
        (one,) = schedules.listed(database, name)
    return _report(name, "state", "paused" if one.paused else f"next {_next(one)}", as_json=parsed.json)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Run a script at recurring times, by the database's clock. CRON is minute, hour, day of the month, month "
        "and day of the week; without it, the script's header must have one, such as --@ schedule: 0 3 * * *. A missed "
        "slot runs once, as soon as a worker is available. " + WORKER_NEEDED,
        f"kosmo {command} add nightly '0 3 * * *' flow.lua --tz Europe/Berlin --max-cost 2 -- ARGS\n"
        f"  kosmo {command} add flow.lua\n  kosmo {command} list",
    )
    options_.add_action(made, ACTIONS)
    made.add_argument("words", nargs="*", metavar="WORD", help=f"add: {_USE}; other actions: the name of a schedule")
    add_database(made)
    made.add_argument("--tz", metavar="ZONE", help="add: the time zone, such as Europe/Berlin (default: UTC)")
    made.add_argument(
        "--overlap",
        choices=_OVERLAPS,
        default=_OVERLAPS[0],
        help="add: if the previous run has not ended, skip the slot, queue it until then, or allow both runs (default: "
        "skip)",
    )
    made.add_argument("--replace", action="store_true", help="add: replace an existing schedule of that name")
    made.add_argument(
        "--account", default="default", metavar="NAME", help="add: the credentials to use (default: default)"
    )
    options_.add_caps(made)
    options_.add_json(made)
    return made


def _check_words(command: str, parsed: argparse.Namespace, args: list[str]) -> None:
    if args:
        raise UsageError(f"{parsed.action} does not take script arguments", hint=f"kosmo {command} --help")
    few, most = (0, 1) if parsed.action == "list" else (1, 1)
    if not few <= len(parsed.words) <= most:
        raise UsageError(
            f"{parsed.action}: expected the name of one schedule, got {len(parsed.words)}",
            hint=f"list them: kosmo {command} list",
        )


def _add(command: str, parsed: argparse.Namespace, args: list[str]) -> int:
    planned = _new_schedule(command, parsed, args)
    with opened(parsed.database) as database:
        from kosmolua.worker import schedules

        state = schedules.add(database, planned, replace=parsed.replace)
        (one,) = schedules.listed(database, planned.name)
    if parsed.json:
        output.show_json({"success": True, "state": state, "schedule": one})
    else:
        then = "paused" if one.paused else f"next {_next(one)}"
        output.write_text(safe(f"{one.name}: {state}; {then} ({one.cron})") + "\n")
    return 0


def _new_schedule(command: str, parsed: argparse.Namespace, args: list[str]) -> NewSchedule:
    name, expression, file = _divided(command, parsed.words)
    script, text, needs = valid_source(file)
    from kosmolua.journal.records import Head
    from kosmolua.worker.schedules import NAME, NewSchedule

    declared = needs.schedule
    if expression is None and declared is None:
        raise UsageError(
            f"{file} has no schedule in its header, and none was given",
            hint=f"give one: kosmo {command} add NAME '0 3 * * *' {quote(file)}; "
            "or write --@ schedule: 0 3 * * * in line 1",
        )
    header, zone = declared or ("", "UTC")
    name = os.path.basename(file).removesuffix(".lua") if name is None else name
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"invalid name {name[:120]!r}: expected up to 100 letters, digits, '.', '_' or '-'",
            hint=f"for example: kosmo {command} add nightly '0 3 * * *' flow.lua",
        )
    described.by_name(text, args, script)
    head = Head(script=script, source=text, args=args, account=parsed.account)
    caps = options_.caps(parsed)
    return NewSchedule(
        name=name,
        cron=header if expression is None else " ".join(expression.split()),
        zone=parsed.tz or (zone if expression is None else "UTC"),
        head=head,
        overlap=parsed.overlap,
        by=approvers.current(),
        **({} if caps is None else {"caps": caps}),
    )


def _divided(command: str, words: list[str]) -> tuple[str | None, str | None, str]:
    """The name, expression and file. The first of two words is an expression if it looks like one, else a name."""
    match words:
        case [file]:
            return None, None, file
        case [first, file] if " " in first or first.startswith("@"):
            return None, first, file
        case [name, file]:
            return name, None, file
        case [name, expression, file]:
            return name, expression, file
    raise UsageError(
        f"add: expected {_USE}, got {len(words)} words",
        hint=f"quote the expression: kosmo {command} add nightly '0 3 * * *' flow.lua",
    )


def _report(name: str, what: str, value: str, *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "schedule": name, what: value})
    else:
        output.write_text(f"{value}\n" if what == "run" else f"{name}: {value}\n")
    return 0


def _list(found: list[Schedule], *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "schedules": found})
    elif not found:
        output.write_text("no schedules; to add one: kosmo schedule add nightly '0 3 * * *' flow.lua\n")
    else:
        heads = ("name", "schedule", "next", "last run", "script")
        output.write_text(table([heads, *map(_row, found)], "", ("bold",)) + "\n")
        for one in found:
            if one.error:
                output.write_text(f"{one.name}: {safe(one.error)}\n")
    return 0


def _row(one: Schedule) -> tuple[str, ...]:
    last = [f"{one.last_run} {one.last_state or 'removed'}"] if one.last_run else []
    return (
        one.name,
        safe(one.cron),
        "paused" if one.paused else _next(one),
        ", ".join([*last, *([f"{one.skipped} skipped"] if one.skipped else [])]),
        safe(" ".join([os.path.basename(one.script), *(["--", *one.args] if one.args else [])])),
    )


def _next(one: Schedule) -> str:
    return _local(one.next, one)


def _local(at: float, one: Schedule) -> str:
    """A time in the schedule's own time zone."""
    try:
        return f"{datetime.fromtimestamp(at, cron.zone_of(one.zone)):%Y-%m-%d %H:%M} {one.zone}"
    except UsageError:  # this machine does not know the time zone
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
