"""``runs`` for submitted runs: list, show, cancel and resume the runs in a database, and print their logs."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options, output
from kosmolua.cli.worker import add_database, opened
from kosmolua.errors import UsageError
from kosmolua.settings import ages
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    from kosmolua.worker.database import Database
    from kosmolua.worker.runs import RunInfo

ACTIONS = {
    "list": "list the submitted runs",
    "show RUN": "show a run and its calls",
    "logs RUN": "print what a run printed",
    "cancel RUN": "cancel a run",
    "resume RUN": "continue a run that failed or was canceled",
    "prune [RUN ...]": "delete these runs, or those that --older-than selects",
}
_LONGEST = 1000  # characters of a script's path and arguments
_PAUSE = 0.5  # seconds between checks for new output


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_intermixed_args(argv)
    if parsed.action == "list" and parsed.run:
        raise UsageError(
            f"list does not take a run, got {parsed.run[0]!r}", hint=f"kosmo {command} show RUN --database"
        )
    if parsed.action == "prune":
        return _prune(command, parsed)
    if parsed.older_than is not None:
        raise UsageError(
            "--older-than needs the action prune", hint=f"kosmo {command} prune --database --older-than 30d"
        )
    if parsed.action != "list" and len(parsed.run) != 1:
        raise UsageError(f"expected one run, got {len(parsed.run)}", hint=f"list them: kosmo {command} list --database")
    with opened(parsed.database) as database:
        from kosmolua.worker import runs

        if parsed.action == "list":
            return _list(runs.listed(database), as_json=parsed.json)
        one = runs.find(database, parsed.run[0])
        match parsed.action:
            case "show":
                return _show(database, one, as_json=parsed.json)
            case "logs":
                return _logs(database, one, follow=parsed.follow)
            case "cancel":
                return _report(one, runs.cancel(database, one.id), as_json=parsed.json)
        if not runs.resume(database, one.id):
            raise UsageError(
                f"run {one.id} is {one.state}; only a failed or canceled run can be resumed",
                hint=f"see it: kosmo {command} show {one.id} --database",
            )
        return _report(one, "ready", as_json=parsed.json)


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "List submitted runs, show one with its calls, print its output, cancel it, resume one that failed, or "
        "delete those that have ended.",
        f"kosmo {command} logs -f 1f2e3d4c5b6a",
    )
    options.add_action(made, ACTIONS)
    made.add_argument("run", nargs="*", metavar="RUN", help="id or key of a run")
    add_flags(made)
    add_older_than(made)
    options.add_json(made)
    return made


def add_older_than(made: options.Parser) -> None:
    made.add_argument(
        "--older-than",
        "--older",
        type=_age,
        metavar="TIME",
        help="prune: delete runs that finished at least TIME ago, such as 12h, 30d or 2w; with --database also failed "
        "and canceled ones, which otherwise are deleted by name only",
    )


def _age(text: str) -> float:
    seconds = ages.seconds_of(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(f"expected a time such as 12h, 30d or 2w, got {text!r}")
    return seconds


def _prune(command: str, parsed: argparse.Namespace) -> int:
    if bool(parsed.run) == (parsed.older_than is not None):
        raise UsageError(
            "expected either runs to delete or --older-than TIME",
            hint=f"for example: kosmo {command} prune --database --older-than 30d",
        )
    with opened(parsed.database) as database:
        from kosmolua.worker import pruning, runs

        named = [runs.find(database, name) for name in parsed.run]
        for one in named:
            pruning.check(database, one)
        found = pruning.prune(database, parsed.older_than or 0.0, [one.id for one in named] if named else None)
    if parsed.json:
        output.show_json({"success": True, "removed": found.removed, "kept": found.kept})
        return 0
    output.write_text(f"removed {len(found.removed)} run{'s' * (len(found.removed) != 1)}\n")
    for identifier in found.kept:
        output.write_text(
            f"kept {identifier}: it is unknown whether a write of this run, or an identical write, happened; "
            f"to find out: kosmo {command} resume {identifier} --database\n"
        )
    return 0


def add_flags(made: options.Parser) -> None:
    add_database(made)
    made.add_argument("--follow", "-f", action="store_true", help="logs: print new output until the run has ended")


def _report(one: RunInfo, state: str, *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "run": one.id, "state": state})
    else:
        what = "it will end within seconds" if state == "running" else f"it is {state}"
        output.write_text(f"{one.id}: {what}\n")
    return 0


def _list(found: list[RunInfo], *, as_json: bool) -> int:
    if as_json:
        output.show_json({"success": True, "runs": found})
    elif not found:
        output.write_text("no runs; to add one: kosmo submit flow.lua\n")
    else:
        rows = [
            (
                one.id,
                one.state,
                ages.local_time(one.began),
                f"{one.calls}",
                safe(one.account),
                safe(one.key or ""),
                safe(one.script),
            )
            for one in found
        ]
        heads = ("id", "state", "began", "calls", "account", "key", "script")
        output.write_text(table([heads, *rows], "", ("bold",)) + "\n")
    return 0


def _show(database: Database, one: RunInfo, *, as_json: bool) -> int:
    from kosmolua.journal.runs import entry
    from kosmolua.worker.store import PostgresStore

    store = PostgresStore(database, one.id)
    with store.hold():
        calls = [entry(line) for line in store.lines(answers=False)]
    if as_json:
        output.show_json({"success": True, "run": one, "calls": calls})
        return 0
    facts = [
        ("run", one.id),
        *([("key", one.key)] if one.key else []),
        ("script", " ".join([one.script, *(["--", *one.args] if one.args else [])])[:_LONGEST]),
        *([("started by", one.started_by)] if one.started_by else []),
        ("account", one.account),
        ("state", f"{one.state}{f' on {one.worker}' if one.worker else ''}{f': {one.error}' if one.error else ''}"),
        ("began", ages.local_time(one.began)),
        *([("ended", ages.local_time(one.ended))] if one.ended else []),
        *([("waits for", f"{one.waits} jobs")] if one.waits else []),
        *([("waits for", f"{one.approvals} approvals: kosmo approvals list --run {one.id}")] if one.approvals else []),
        *([("submitted by", one.submitted_by)] if one.submitted_by else []),
        *([("approvers", ", ".join(one.approvers))] if one.approvers is not None else []),
        *([("wakes at", ages.local_time(one.wakes))] if one.wakes else []),
        *([("results", output.to_json(one.results, indent=False))] if one.results is not None else []),
    ]
    rows = [("at", "task", "function", "state", "model", "arguments"), *map(_call, calls)]
    output.write_text(table([(name, safe(value)) for name, value in facts], "") + "\n\n")
    output.write_text(table(rows, "", ("bold",)) + "\n")
    return 0


def _call(entry: dict[str, Any]) -> tuple[str, ...]:
    words = (entry["function"], entry["state"], entry["model"] or "", entry["arguments"][:80])
    return (ages.local_time(entry["at"]), f"{entry['task']}.{entry['request']}", *(safe(word) for word in words))


def _logs(database: Database, one: RunInfo, *, follow: bool) -> int:
    """Print the run's output, and its logs on standard error."""
    from kosmolua.worker import runs

    after = 0
    while True:
        ended = runs.find(database, one.id).state in runs.ENDED
        found = runs.prints(database, one.id, after)
        for number, stream, text in found:
            after = number
            shown = text.decode(errors="replace")
            if stream == 1:
                output.write_text(safe(shown) if sys.stdout.isatty() else shown)
            else:
                print(safe(shown), end="", file=sys.stderr)
        if not found:
            if ended or not follow:
                return 0
            time.sleep(_PAUSE)
