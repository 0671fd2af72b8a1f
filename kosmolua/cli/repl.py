"""The prompt, which `kosmo repl` and `kosmo lua --repl` start on a terminal."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING

from kosmolua.cli.options import ISOLATION, STRICT
from kosmolua.cli.signals import Signals
from kosmolua.errors import Interrupted, UsageError
from kosmolua.settings import paths
from kosmolua.terminal.plain import is_dumb, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kosmolua.cli.options import Options, Parser
    from kosmolua.gate.files import Files
    from kosmolua.gate.prompt import Prompter
    from kosmolua.gate.run import Watcher
    from kosmolua.gate.session import Session
    from kosmolua.host.host import Host
    from kosmolua.repl.history import History
    from kosmolua.repl.journals import JournalOptions
    from kosmolua.repl.shell import Reader, Shell
    from kosmolua.runtime.frames import Start
    from kosmolua.runtime.launch import InteractiveChild
    from kosmolua.runtime.limits import Limits

STARTUP = "repl.lua"
HISTORY = "history"


_SCRIPT_ONLY = (
    *("json", "jq", "repl", "cpu_limit", "output_limit", "time_limit", "record", "replay", "report"),
    *("verbose", "no_check", "explain"),
)
_HELPS = {
    "file": "script to run before the prompt",
    "eval": "run CODE before the prompt",
    "isolation": f"{STRICT} (default: {ISOLATION[0]})",
    "journal": "record all inputs and answers in FILE or under a name, and resume from it",
    "args": "arguments, in `args` and `...`",
    **dict.fromkeys(_SCRIPT_ONLY, argparse.SUPPRESS),
}


def adapt(made: Parser) -> None:
    """Turn the parser for scripts into the parser for the prompt. Script options still work in a pipe."""
    made.description = "Start an interactive prompt for Lua. In a pipe, run standard input as a script."
    made.epilog = "example:\n  kosmo repl --emulate\n  kosmo repl --write ask --journal notes"
    made.adapt(_HELPS, {"isolation": f"{{{','.join(ISOLATION)}}}"})


def start(parsed: argparse.Namespace, options: Options, args: Sequence[str]) -> int:
    """Run the prompt on a terminal."""
    if parsed.isolation == "none":
        raise UsageError("--isolation none works only for scripts, not at the prompt")
    if options.json or parsed.explain:
        raise UsageError("--json and --explain work only for scripts, not at the prompt")
    if parsed.record or parsed.replay:
        raise UsageError("--record and --replay work only for scripts, not at the prompt")
    from kosmolua.runtime.launch import LIMITS, launch

    limits = LIMITS._replace(memory=parsed.memory_limit)
    # The child starts while this process imports other modules.
    child = launch(limits, parsed.isolation, paths.cache_directory(os.environ))
    made: list[Shell] = []

    def shell() -> Shell:
        """The shell. It is created on first use, after the prompt is visible."""
        if not made:
            made.append(_shell(parsed, options, args, limits, child))
        return made[0]

    with Signals((signal.SIGTERM, signal.SIGHUP)) as signals:  # Ctrl-C interrupts only the input
        try:
            _serve(parsed, shell)
        except Interrupted:
            pass
        finally:
            signals.hold()
            if made:
                made[0].close(cancel=parsed.cancel_on_exit)
            else:
                child[1].close()
        return signals.status(0)


def _shell(
    parsed: argparse.Namespace, options: Options, args: Sequence[str], limits: Limits, child: InteractiveChild
) -> Shell:
    from kosmolua.host.variables import variables
    from kosmolua.repl.calls import Calls
    from kosmolua.repl.inline import Inline
    from kosmolua.repl.models import Models
    from kosmolua.repl.screen import Screen
    from kosmolua.repl.shell import Shell
    from kosmolua.repl.snapshot import Snapshot
    from kosmolua.runtime.interactive import Interpreter

    env = variables(parsed.allow_env, os.environ)
    screen = Screen(plain=is_plain(os.environ))
    prompter = Inline(screen)
    hosts = _Hosts(parsed, options, prompter)
    calls = Calls(options, hosts)
    interpreter = Interpreter(
        calls, screen, lambda: _first(options, args, env), limits=limits, isolation=parsed.isolation, child=child,
        lane=calls.lane,
    )  # fmt: skip
    models = Models(calls)
    calls.seen = models.note
    known = Snapshot(interpreter, _accounts, models)
    return Shell(interpreter, calls, screen, prompter, known, args=args, settling=parsed.settling_time)


def _serve(parsed: argparse.Namespace, shell: Callable[[], Shell]) -> None:
    """Run the startup file and the command line, then the prompt."""
    from kosmolua.repl.shell import FIRST, run

    startup = os.path.join(paths.config_directory(os.environ), STARTUP)
    files = [path for path in (startup, parsed.file) if path and (path != startup or os.path.isfile(path))]
    inputs = [f":load {path}" for path in files] + ([parsed.eval] if parsed.eval is not None else [])
    print(_banner(emulate=parsed.emulate))
    reader = _reader(parsed, shell)
    if startup in files:
        shell().enter(inputs.pop(0), reader)
    if parsed.journal:
        shell().journals.use(_journal(parsed))
    for text in inputs:
        shell().enter(text, reader)
    run(shell, reader, shell().prompt if startup in files or inputs else FIRST)


def _banner(*, emulate: bool) -> str:
    """Two lines that fit on a narrow terminal."""
    from kosmolua._version import __version__

    where = "the emulator" if emulate else "Replicate"
    return f"kosmolua {__version__}: Lua for {where}\nhelp: all commands. run?: a page about run. Ctrl-D: leave."


def _reader(parsed: argparse.Namespace, shell: Callable[[], Shell]) -> Reader:
    if is_dumb(os.environ):
        from kosmolua.repl.plain import Plain

        return Plain(lambda text: shell().is_complete(text))
    from kosmolua.repl.line import Line

    return Line(
        history=_history(),
        known=lambda: shell().known,
        is_complete=lambda text: shell().is_complete(text),
        status=lambda: shell().status(),
        warn=lambda text: shell().warn(text),
        warm=lambda: shell().warm(),
        keys=parsed.keys,
    )


def _journal(parsed: argparse.Namespace) -> JournalOptions:
    from kosmolua.journal.records import Lookup
    from kosmolua.repl.journals import JournalOptions

    lookup = Lookup(settling=parsed.settling_time, adopt=parsed.adopt, again=parsed.send_again)
    return JournalOptions(parsed.journal, cut=parsed.from_here, lookup=lookup)


def _history() -> Callable[[], History]:
    made: list[History] = []

    def history() -> History:
        if not made:
            from kosmolua.repl.history import History

            made.append(History(os.path.join(paths.state_directory(os.environ), HISTORY)))
        return made[0]

    return history


def _first(options: Options, args: Sequence[str], env: Mapping[str, str]) -> Start:
    from kosmolua.replicate import catalogue
    from kosmolua.runtime.interactive import start as first
    from kosmolua.settings import config

    accounts = [] if options.emulate else config.accounts(os.environ)
    functions = [operation.names for operation in catalogue.OPERATIONS]
    return first(functions, provider=catalogue.PROVIDER, accounts=accounts, args=args, env=env)


class _Hosts:
    """The hosts of one prompt: commands such as `:emulate` create another one."""

    def __init__(self, parsed: argparse.Namespace, options: Options, prompter: Prompter) -> None:
        self._parsed = parsed
        self._options = options
        self._prompter = prompter
        self._made: list[Host] = []
        self._own: list[tuple[str, str]] = []
        self._files: Files | None = None

    def session(self, watcher: Watcher) -> Session:
        """A session with the current options."""
        made = self._host()
        return made.session("the prompt", self.files(), watcher)

    def files(self) -> Files:
        if self._files is None:
            self._files = (self._made[-1] if self._made else self._host()).files(self._own)
        return self._files

    def reserve(self, path: str, what: str) -> None:
        self._own.append((path, what))

    def close(self) -> None:
        if self._files:
            self._files.close()
        for host in self._made:
            host.close()

    def _host(self) -> Host:
        from kosmolua.cli.host import host_of
        from kosmolua.cli.options import caps

        parsed = self._parsed
        made = host_of(
            self._options,
            self._prompter,
            prepare=False,
            caps=caps(parsed),
            allow_read=parsed.allow_read,
            allow_write=parsed.allow_write,
            allow_env=parsed.allow_env,
        )
        self._made.append(made)
        return made


def _accounts() -> list[str]:
    from kosmolua.settings import config

    return [config.DEFAULT_ACCOUNT, *config.accounts(os.environ)]
