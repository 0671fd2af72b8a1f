"""``submit``: add a run for a worker to execute."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.worker import WORKER_NEEDED, add_database, opened
from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate import described
from kosmolua.host import source
from kosmolua.settings import ages, approvers, config

if TYPE_CHECKING:
    from kosmolua.gate.needs import Needs


def run(command: str, argv: list[str]) -> int:
    argv, args = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parsed = _parser(command).parse_args(argv)
    name, text = _source(parsed)
    described.by_name(text, args, name)
    from kosmolua.journal.records import Head

    head = Head(script=name, source=text, args=args, account=parsed.account)
    names = _approvers(parsed.approvers)
    with opened(parsed.database) as database:
        from kosmolua.worker import runs

        caps, by = options_.caps(parsed), approvers.current()
        identifier, new = runs.submit(database, head, key=parsed.key, caps=caps, at=parsed.at, by=by, approvers=names)
    if parsed.json:
        output.show_json({"success": True, "run": identifier, "new": new})
    else:
        output.write_text(f"{identifier}\n")
        same = " --database URL" if parsed.database else ""
        print(f"look at it: kosmo runs logs -f {identifier}{same}", file=sys.stderr)
    return 0


def _approvers(text: str | None) -> list[str] | None:
    """The approvers that the flag names. Raises a `PermissionDeniedError` if only the submitter is named."""
    settings, user = config.load(os.environ).approvals, approvers.current()
    names = approvers.chosen(settings, text)
    if names is not None and approvers.Rules(settings, (names,)).nobody(user):
        raise PermissionDeniedError(
            f"--approvers: {approvers.listed(names)}: {user} submits the run, so another person must approve it",
            hint="name somebody else, or allow it in config.toml: approvals.own = true",
        )
    return names


def _source(parsed: argparse.Namespace) -> tuple[str, bytes]:
    if (parsed.file is None) == (parsed.eval is None):
        raise UsageError(
            "expected either FILE or --eval CODE", hint="for example: kosmo submit flow.lua --key order-4711"
        )
    if parsed.eval is not None:
        return "eval", os.fsencode(parsed.eval)
    return source_of(parsed.file)


def source_of(file: str) -> tuple[str, bytes]:
    """The full path and the text of a script. Raises a `UsageError`."""
    text = source.read(file)
    if text.startswith(b"\x1b"):
        raise UsageError(f"{file} is bytecode, not Lua text", hint="submit the source text it was compiled from")
    if len(text) > source.MAX_SOURCE:
        raise UsageError(
            f"{file} is longer than {source.MAX_SOURCE} bytes",
            hint="move its data out of the script, for example into arguments",
        )
    return os.path.abspath(file), text


def valid_source(file: str) -> tuple[str, bytes, Needs]:
    """The full path, the text and the header of a script that runs later, when nobody may see a syntax error. Raises a
    `UsageError` for one.
    """
    script, text = source_of(file)
    from kosmolua.check import syntax
    from kosmolua.check.engine import Engine
    from kosmolua.gate import needs

    declared = needs.read(text, file)
    with Engine() as engine:
        refusal = engine.refusal(file, text)
    if refusal:
        found = syntax.problem(file, text.decode(errors="replace"), *refusal)
        raise UsageError(
            f"{file}:{found.line}: {found.message}", hint=found.hint or f"check it: kosmo check {quote(file)}"
        )
    return script, text, declared


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Add a run of a script, and print its id. The worker that executes the run uses the policy and the tokens of "
        "its own machine. " + WORKER_NEEDED,
        f"kosmo {command} flow.lua --key order-4711 --max-predictions 5 -- 4711",
    )
    made.add_argument("file", nargs="?", metavar="FILE", help="script to run; it cannot `require` other files")
    made.add_argument("--eval", "-e", metavar="CODE", help="run CODE instead of a file")
    add_database(made)
    made.add_argument("--key", metavar="KEY", help="a key of your choice; a second run with the same key is not added")
    made.add_argument(
        "--account", default="default", metavar="NAME", help="use the credentials of this account (default: default)"
    )
    made.add_argument("--at", type=_time, metavar="TIME", help="begin at 2026-12-24T18:00, or in 90s, 30m, 12h, 7d")
    options_.add_approvers(made)
    options_.add_caps(made)
    options_.add_json(made)
    made.add_argument("args", nargs="*", metavar="-- ARGS", help="arguments of the script, in `args` and `...`")
    return made


def _time(text: str) -> float:
    seconds = ages.seconds_of(text)
    if seconds is not None:
        return time.time() + seconds
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-12-24T18:00, or 90s, 30m, 12h, 7d, got {text!r}"
        ) from None
