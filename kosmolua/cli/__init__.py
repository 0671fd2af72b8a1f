"""The command line: one module per family of commands, each imported when its command is given."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from kosmolua.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_SIGNALED,
    EXIT_USAGE,
    Interrupted,
    OutputError,
    UsageError,
    failure_of,
)

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from typing import NoReturn

# command -> (module, what it is for)
COMMANDS = {
    "integrations:lua": ("lua", "run a Lua script against Replicate (short: lua)"),
    "check": ("check", "report what is certain to fail in a script, without running it"),
    "repl": ("repl", "a prompt for Lua, with completion, help, real predictions and the permission gate"),
    "integrations:call": ("call", "call one function: integrations:call replicate.get_account --json"),
    "integrations:replicate": ("call", "the same without the prefix; alone it lists the functions"),
    "integrations:configure": ("configure", "store a token, set permissions, manage accounts"),
    "integrations:doctor": ("doctor", "check whether a call would work, and what to do where not"),
    "integrations:status": ("status", "show each setting in force, and where it came from"),
    "integrations:trust": ("status", "take what this project's .kosmo/config.toml loosens"),
    "integrations:policy": ("policy", "explain which rule decides a call: policy explain FUNCTION"),
    "integrations:list": ("reference", "list the providers, or a provider's functions"),
    "integrations:search": ("reference", "find functions by name or by what they do"),
    "integrations:docs": ("reference", "read about a function, the provider, or a topic"),
    "integrations:schema": ("reference", "print the JSON Schema of a function's arguments"),
    "integrations:examples": ("reference", "show a worked example of a function for each door"),
    "integrations:types": ("types", "write what an editor needs to complete and check scripts"),
    "integrations:fields": ("reference", "list what a provider needs to be configured"),
    "runs": ("runs", "list, show, resume, export and prune runs that keep a journal"),
    "prices": ("prices", "list what models cost, or import a dated price file"),
    "budget": ("budget", "set, show or remove a budget over all runs: per day, week or month"),
    "model": ("model", "show what a model takes and gives: model owner/name"),
    "webhooks:verify": ("webhooks", "check that a webhook was signed by Replicate"),
    "audit": ("audit", "show the calls that were made, by whom, and what was decided"),
    "mcp:serve": ("mcp", "serve an agent's client: each function as a tool, or Lua as one (--code)"),
    "mcp:install": ("mcp", "enter the server into a client: claude-code, cursor, vscode or codex"),
    "mcp:export": ("mcp", "print what mcp:install would enter"),
    "completion": ("completion", "print a completion script: completion bash, zsh or fish"),
    "emulator:serve": ("emulator", "serve Replicate offline on loopback, for any client"),
}
SHORT = {"lua": "integrations:lua"}


def program() -> NoReturn:
    """The console script. Ends the process at once: taking the interpreter apart costs a twentieth of a short run."""
    from kosmolua.cli import streams

    streams.prepare()
    try:
        status = main()
    except SystemExit as ended:  # of argparse, after --help
        status = ended.code if isinstance(ended.code, int) else EXIT_FAILED if ended.code else 0
    try:
        sys.stdout.flush()
    except OutputError as error:
        status = status or _failed(error, as_json=False)
    os._exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run one command. The exit status is 0 where it is done, else as `kosmolua.errors` says."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(argv)
    except KeyboardInterrupt as why:
        print("interrupted", file=sys.stderr)
        return EXIT_SIGNALED + why.number if isinstance(why, Interrupted) else EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last stop before the interpreter's own
        return _failed(error, as_json="--json" in argv, command=" ".join(["kosmo", *argv[:1]]))


def _failed(error: BaseException, *, as_json: bool, command: str = "kosmo") -> int:
    from kosmolua.cli.output import show_error

    while isinstance(error, BaseExceptionGroup):  # of tasks, by asyncio
        error = error.exceptions[0]
    return show_error(failure_of(error, command), as_json=as_json)


def _dispatch(argv: list[str]) -> int:
    match argv:
        case [] | ["--help" | "-h" | "help", *_]:
            print(_help(), file=sys.stdout if argv else sys.stderr)
            return 0 if argv else EXIT_USAGE
        case ["--version" | "-V", *_]:
            from kosmolua._version import __version__

            print(f"kosmolua {__version__}")
            return 0
    command = SHORT.get(argv[0], argv[0])
    if command not in COMMANDS:
        raise _unknown(argv[0])
    _prefer_typing()
    module = import_module(f"kosmolua.cli.{COMMANDS[command][0]}")
    status: int = module.run(command, argv[1:])
    return status


def _prefer_typing() -> None:
    """Let msgspec take from typing what it would take from typing_extensions, where that is installed.

    All three names have been in typing since Python 3.11, and the other import costs a tenth of a short run.
    """
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # which makes importing it fail
        try:
            import_module("msgspec")
        finally:
            del sys.modules["typing_extensions"]


def _unknown(command: str) -> UsageError:
    from difflib import get_close_matches

    names = [*COMMANDS, *SHORT]
    tails = {name.rpartition(":")[2]: name for name in COMMANDS}
    near = get_close_matches(command, names, n=1) or [tails[t] for t in get_close_matches(command, tails, n=1)]
    return UsageError(
        f"no command is called {command!r}" + (f"; did you mean {near[0]}?" if near else ""),
        hint="see them all: kosmo --help",
    )


def _help() -> str:
    rows = "\n".join(f"  {name:<24}{what}" for name, (_, what) in COMMANDS.items())
    return f"""usage: kosmo COMMAND [ARGUMENTS]

LuaJIT workflows for the whole Replicate API, behind a permission gate.

{rows}

kosmo COMMAND --help tells more of each. Try one without an account:
  kosmo lua --emulate --eval 'return integrations.replicate.get_account{{}}'"""
