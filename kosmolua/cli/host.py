"""The host that a command's flags ask for."""

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
    """Notices go to standard error; a person is asked on a terminal, or by the prompter. ``more`` are other options."""
    check_settings()
    return Host.of(options_of(options, prompter, **more))


def options_of(options: Options, prompter: Prompter | None = None, **more: Any) -> HostOptions:
    """What the flags of a command say, as options of a host."""
    return HostOptions(
        account=options.account,
        read=options.read,
        write=options.write,
        force=options.force,
        dry_run=options.dry_run,
        emulate=options.emulate,
        faults=options.fault,
        insecure_http=options.insecure_http,
        prompter=prompter or _Streams(),
        on_retry=lambda reason, seconds: tell(f"{reason}; again in {seconds:.1f} s"),
        on_notice=tell,
        **more,
    )


def check_settings() -> None:
    """Raise a `ConfigurationError` for a file or a rule that is not understood, also where nothing would be called."""
    settings = config.load(os.environ)
    if settings.rules:
        from kosmolua.gate.policy import policy_of

        policy_of(settings)


class _Streams:
    """Asks on a terminal, where there is one; what that takes is imported with the first question."""

    _asks: Prompter | None = None

    def ask(self, question: Question) -> Answer | None:
        from kosmolua.gate import prompt

        self._asks = self._asks or prompt.for_streams()
        return self._asks.ask(question)

    def withdraw(self, question: Question) -> None:
        from kosmolua.gate.prompt import Terminal

        if isinstance(self._asks, Terminal):
            self._asks.withdraw(question)


def tell(text: str) -> None:
    from kosmolua.terminal.screen import LINE, SCREEN

    with SCREEN:
        LINE.wipe()
        print(safe(f"kosmo: {text}"), file=sys.stderr, flush=True)
