"""``runs``: list, show, resume, export and prune runs that have a journal."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from shlex import quote
from typing import Any

from kosmolua.cli import options, output, submitted
from kosmolua.errors import JournalError, UsageError
from kosmolua.journal import runs
from kosmolua.journal.arguments import MAX_SHOWN
from kosmolua.journal.fit import of_a_prompt
from kosmolua.journal.records import is_of_the_api
from kosmolua.journal.runs import Summary
from kosmolua.journal.summaries import summaries
from kosmolua.replicate.prices import Prices
from kosmolua.replicate.token import hidden
from kosmolua.settings import ages, config, paths
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

ACTIONS = {
    "list": "list the runs",
    "show RUN": "show a run and its calls",
    "resume RUN [OPTIONS]": "continue a run; takes the options and arguments of kosmo lua",
    "undo RUN": "cancel and delete what a run created, after asking; options: kosmo runs undo --help",
    "export RUN": "print a run's calls as JSON Lines",
    "prune [RUN ...]": "delete these runs, or those that --older-than selects, with their journals and kept outputs",
    "logs RUN": "print what a submitted run printed",
    "cancel RUN": "cancel a submitted run",
}
_EXAMPLE = "resume nightly --write allow"


def run(command: str, argv: list[str]) -> int:
    action, *rest = argv or ["list"]
    given = argv[: argv.index("--")] if "--" in argv else argv
    submitted_too = any(word.partition("=")[0] == "--database" for word in given)
    if {"-h", "--help"} & {*given} and action in {"list", "show", "logs", "cancel", "export", "prune"}:
        action = ""  # the actions share one help text
    elif action in {"logs", "cancel"} or (submitted_too and action not in {"undo", "-h", "--help"}):
        return submitted.run(command, argv)
    if action == "resume":
        return _resume(command, rest)
    if action == "undo":
        from kosmolua.cli import undo

        return undo.run(command, rest)
    parsed = _parser(command).parse_intermixed_args(argv)
    if parsed.follow:
        raise UsageError("--follow needs the action logs", hint=f"kosmo {command} logs -f RUN")
    match parsed.action:
        case "list":
            return _list(as_json=parsed.json)
        case "show":
            return _show(_one(command, parsed.run), as_json=parsed.json)
        case "export":
            path = _one(command, parsed.run)
            for entry in runs.entries(path):
                output.write_text(_line(path, entry))
            return 0
    return _prune(command, parsed)


def _parser(command: str) -> options.Parser:
    made = options.parser(
        command,
        "List, show, resume, undo, export or prune runs that have a journal. With --database, list, show, resume, "
        "undo and prune apply to the runs of kosmo submit, as logs and cancel always do.",
        f"kosmo {command} {_EXAMPLE}\n  kosmo {command} undo nightly --dry-run\n  kosmo {command} logs -f 1f2e3d4c5b6a",
    )
    options.add_action(made, ACTIONS)
    made.add_argument("run", nargs="*", metavar="RUN", help="id, name or file of a run; id or key of a submitted run")
    submitted.add_older_than(made)
    submitted.add_flags(made)
    options.add_json(made)
    return made


def _one(command: str, names: list[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"expected one run, got {len(names)}", hint=f"list the runs: kosmo {command} list")
    return runs.find(os.environ, names[0])


def _prices() -> Prices:
    from kosmolua.settings import pricelist

    return pricelist.in_force(config.load(os.environ), os.environ)


def _summaries() -> Iterable[Summary]:
    for each in summaries(os.environ, _prices()):
        if isinstance(each, JournalError):
            output.print_error(each)
        else:
            yield each


def _list(*, as_json: bool) -> int:
    found = sorted(_summaries(), key=lambda each: each.began)
    if as_json:
        output.show_json({"success": True, "runs": found})
    elif not found:
        output.write_text("no runs; to record one: kosmo lua --journal NAME, or :journal NAME at the prompt\n")
    else:
        rows = [("name", "id", "state", "began", "calls", "jobs", "cost", "script"), *map(_row, found)]
        output.write_text(table(rows, "", ("bold",)) + "\n")
    return 0


def _row(one: Summary) -> tuple[str, ...]:
    spent = one.spent
    counts = (f"{spent['calls']:g}", f"{spent['predictions']:g}", f"{spent['cost']:g}")
    return (
        safe(one.name),
        safe(one.id),
        one.state,
        ages.local_time(one.began),
        *counts,
        safe(os.path.basename(one.script)),
    )


def _show(path: str, *, as_json: bool) -> int:
    one = runs.summary(path, _prices(), environment=os.environ)
    calls = list(runs.entries(path, answers=False))
    if as_json:
        output.show_json({"success": True, "run": one, "calls": calls})
        return 0
    facts = [
        ("name", one.name),
        ("run", one.id),
        ("script", hidden(" ".join([one.script, *(["--", *one.args] if one.args else [])]))),
        *([("arguments", _named(one.named))] if one.named else []),
        *([] if one.prompt else [("account", one.account)]),
        ("journal", one.path),
        *([("outputs", f"{one.outputs} kept in {paths.outputs_of(one.path)}")] if one.outputs else []),
        ("state", f"{one.state}: {one.error.removeprefix(f'{one.state}: ')}" if one.error else one.state),
        ("began", f"{ages.local_time(one.began)}, run {one.times} time{'s' * (one.times != 1)}"),
        ("spent", ", ".join(f"{name} {value:g}" for name, value in one.spent.items())),
        *(
            [("estimated", ", ".join(f"{name} {value:g}" for name, value in one.guessed.items()))]
            if one.guessed
            else []
        ),
    ]
    listed = [entry for entry in calls if is_of_the_api(entry["function"])]
    rows = [("at", "task", "function", "account", "state", "model", "arguments"), *map(_call, listed)]
    text = table([(name, safe(value)) for name, value in facts], "") + "\n\n" + table(rows, "", ("bold",))
    if len(listed) < len(calls):
        text += f"\n\nand {len(calls) - len(listed)} calls of host functions such as time; to list them: --json"
    how = f"kosmo repl --journal {quote(one.path)}" if one.prompt else f"kosmo runs resume {one.id}"
    output.write_text(text + "\n" + (f"\nto resume: {safe(how)}\n" if one.state != "finished" else ""))
    return 0


def _named(given: dict[str, Any]) -> str:
    """Arguments by name, on one line. Their values are text, numbers, booleans and lists."""
    text = " ".join(f"{name}={value}" for name, value in sorted(given.items()))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _call(entry: dict[str, Any]) -> tuple[str, ...]:
    words = (entry["function"], entry["account"], entry["state"], entry["model"] or "", entry["arguments"][:80])
    input_ = f"{entry['input']}:" if "input" in entry else ""
    return (
        ages.local_time(entry["at"]),
        f"{input_}{entry['task']}.{entry['request']}",
        *(safe(word) for word in words),
    )


def _line(path: str, entry: dict[str, Any]) -> str:
    try:
        return output.to_json(_plain(entry), indent=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(f"cannot export {path}: an answer cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """The value with bytes as Base64, at any depth."""
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
    return output.plain(value)


def _resume(command: str, argv: list[str]) -> int:
    if argv[:1] in (["-h"], ["--help"]):
        made = options.parser(
            f"{command} resume",
            "Continue a run with its journal: answered calls are not sent again. Takes the options of kosmo lua; see "
            "kosmo lua --help. With --database, continue a submitted run that failed or was canceled.",
            f"kosmo {command} {_EXAMPLE}",
        )
        made.add_argument("run", metavar="RUN", help="id, name or file of a run; with --database its id or key")
        made.parse_args(argv)
    if not argv or argv[0].startswith("-"):
        raise UsageError("missing run to resume", hint=f"for example: kosmo {command} {_EXAMPLE}")
    from kosmolua.cli import lua

    path = runs.find(os.environ, argv[0])
    one = runs.summary(path)
    if one.prompt:
        raise of_a_prompt(path, emulated=one.emulated)
    script, source = runs.source_of(path)
    what = [script] if os.path.isfile(script) else ["--eval", os.fsdecode(source)]
    flags = ["--account", one.account]
    flags += ["--wait-for-approval"] if one.state == "waiting" and "--wait-for-approval" not in argv else []
    flags += ["--emulate"] if one.emulated and "--emulate" not in argv else []
    given = [*what, "--journal", path, *flags, *argv[1:], "--", *one.args]
    return lua.run("integrations:lua", given, named=one.named)


def _prune(command: str, parsed: argparse.Namespace) -> int:
    if not parsed.run and parsed.older_than is None:
        raise UsageError(
            "expected runs to delete, or --older-than TIME", hint=f"for example: kosmo {command} prune --older-than 30d"
        )
    paths = [runs.find(os.environ, name) for name in parsed.run]
    kept: list[str] = []
    if parsed.older_than is not None:
        before = time.time() - parsed.older_than
        old = [one for one in _summaries() if (one.ended or one.began) <= before and one.state != "running"]
        paths += [one.path for one in old if one.state == "finished"]
        kept = [one.name for one in old if one.state != "finished" and one.path not in paths]
    paths = list(dict.fromkeys(paths))
    for path in paths:
        runs.remove(os.environ, path)
    if parsed.json:
        output.show_json({"success": True, "removed": paths, "kept": kept})
        return 0
    output.write_text("".join(f"removed {safe(path)}\n" for path in paths))
    if parsed.older_than is not None:
        output.write_text("".join(f"kept {safe(name)}\n" for name in kept))
        output.write_text(f"{_counted(len(paths), len(kept), command)}\n")
    return 0


def _counted(removed: int, kept: int, command: str) -> str:
    """What a prune by age did. Runs that may be resumed go by name only."""
    text = f"removed {removed} run{'s' * (removed != 1)}"
    return f"{text}; kept {kept} failed, interrupted or waiting: kosmo {command} prune NAME" if kept else text
