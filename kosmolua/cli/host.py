"""Make the host that the flags of a command describe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from kosmolua.cli.options import Options
from kosmolua.host.host import Host
from kosmolua.host.options import HostOptions
from kosmolua.settings import config
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.gate.prompt import Answer, Prompter, Question


def host_of(options: Options, prompter: Prompter | None = None, **more: Any) -> Host:
    """A host that prints notices on standard error. It asks on a terminal unless given a prompter. ``more`` are other
    options.
    """
    check_settings()
    return Host.of(options_of(options, prompter, **more))


def options_of(options: Options, prompter: Prompter | None = None, **more: Any) -> HostOptions:
    """The host options that the flags of a command describe."""
    return HostOptions(
        account=options.account,
        read=options.read,
        write=options.write,
        force=options.force,
        dry_run=options.dry_run,
        emulate=options.emulate,
        faults=options.fault,
        models=options.models,
        cogs=options.cog,
        insecure_http=options.insecure_http,
        prompter=prompter or _Streams(),
        on_retry=lambda reason, seconds: print_notice(f"{reason}; retrying in {seconds:.1f} s"),
        on_notice=print_notice,
        **more,
    )


def check_settings() -> None:
    """Raise a `ConfigurationError` for an invalid settings file or rule, even if no call is made."""
    settings = config.load(os.environ)
    if settings.rules:
        from kosmolua.gate.policy import policy_of

        policy_of(settings)


class _Streams:
    """Asks on the terminal, if there is one. The first question imports the modules for it."""

    _asks: Prompter | None = None

    def ask(self, question: Question) -> Answer | None:
        from kosmolua.gate import prompt

        self._asks = self._asks or prompt.for_streams()
        return self._asks.ask(question)

    def withdraw(self, question: Question) -> None:
        from kosmolua.gate.prompt import Terminal

        if isinstance(self._asks, Terminal):
            self._asks.withdraw(question)


def print_notice(text: str) -> None:
    """Print a line on standard error, above the progress line if there is one."""
    from kosmolua.terminal.screen import LINE, SCREEN

    with SCREEN:
        LINE.wipe()
        print(safe(f"kosmo: {text}"), file=sys.stderr, flush=True)
