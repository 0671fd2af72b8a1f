"""``repl``: the prompt. It takes the flags of ``integrations:lua``, whose ``--repl`` it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kosmolua import paths
from kosmolua.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from kosmolua.cli.options import Options
    from kosmolua.gate.prompt import Prompter
    from kosmolua.gate.services import Services
    from kosmolua.gate.session import Session
    from kosmolua.repl.shell import Shell
    from kosmolua.runtime.port import Start

STARTUP = "repl.lua"
HISTORY = "history"


def run(command: str, argv: list[str]) -> int:
    from kosmolua.cli import lua

    return lua.run(command, ["--repl", *argv])


def start(parsed: argparse.Namespace, options: Options, args: Sequence[str]) -> int:
    """The prompt, on a terminal."""
    if parsed.isolation == "none":
        raise UsageError("the prompt runs Lua in a process of its own; --isolation none is for scripts")
    if options.json or parsed.explain:
        raise UsageError("--json and --explain are for scripts, and not for the prompt")
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.inline import Inline
    from kosmolua.repl.screen import Screen
    from kosmolua.runtime.interactive import LIMITS, Interpreter

    screen = Screen(plain=_is_plain())
    prompter = Inline(screen)
    calls = Calls(options, lambda: _open_session(parsed, options, prompter), lambda: _services(parsed))
    interpreter = Interpreter(
        calls,
        screen,
        lambda: _first(options, args),
        limits=LIMITS._replace(memory=parsed.memory_limit),
        isolation=parsed.isolation,
    )
    from kosmolua.repl.shell import Shell
    from kosmolua.repl.snapshot import Snapshot

    try:
        _serve(parsed, Shell(interpreter, calls, screen, prompter, Snapshot(interpreter, _accounts)))
    finally:
        interpreter.close()
        if calls.opened:
            from kosmolua.cli.lua import tell_running

            tell_running(calls.opened, cancel=parsed.cancel_on_exit)
        calls.close()
    return 0


def _serve(parsed: argparse.Namespace, shell: Shell) -> None:
    """Run what stands in the startup file and on the command line, and then what is typed."""
    startup = os.path.join(paths.config_directory(os.environ), STARTUP)
    for text in [f":load {startup}"] * os.path.isfile(startup) + [f":load {parsed.file}"] * (parsed.file is not None):
        shell.enter(text)
    if parsed.eval is not None:
        shell.enter(parsed.eval)
    if _is_dumb():
        from kosmolua.repl.plain import Plain

        shell.run(Plain(shell.is_complete))
        return
    from kosmolua.repl.history import History
    from kosmolua.repl.line import Line

    history = History(os.path.join(paths.state_directory(os.environ), HISTORY))
    shell.run(
        Line(
            history=history,
            known=shell.known,
            is_complete=shell.is_complete,
            status=shell.status,
            warn=shell.warn,
            warm=shell.warm,
            keys=parsed.keys,
        )
    )


def _first(options: Options, args: Sequence[str]) -> Start:
    from kosmolua import config
    from kosmolua.replicate import catalogue
    from kosmolua.runtime.interactive import start as first

    accounts = [] if options.emulate else config.accounts(os.environ)
    functions = [operation.names for operation in catalogue.OPERATIONS]
    return first(functions, provider=catalogue.PROVIDER, accounts=accounts, args=args)


def _open_session(parsed: argparse.Namespace, options: Options, prompter: Prompter) -> Session:
    from kosmolua.cli.lua import files_of
    from kosmolua.cli.session import open_session
    from kosmolua.gate.budget import Caps
    from kosmolua.gate.session import Run

    caps = Caps(**{name: getattr(parsed, f"max_{name}") for name in Caps.__struct_fields__})
    return open_session(options, Run(script="the prompt", files=files_of(parsed)), caps=caps, prompter=prompter)


def _services(parsed: argparse.Namespace) -> Services:
    from kosmolua.cli.lua import files_of
    from kosmolua.gate.services import Services

    return Services(files_of(parsed), "")


def _accounts() -> list[str]:
    from kosmolua import config

    return [config.DEFAULT_ACCOUNT, *config.accounts(os.environ)]


def _is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") in ("", "dumb")


def _is_plain() -> bool:
    return _is_dumb() or bool(os.environ.get("NO_COLOR"))
