"""The session that a command's flags ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua import config, credentials
from kosmolua.cli.options import Options
from kosmolua.cli.output import safe
from kosmolua.gate import policy, prompt
from kosmolua.gate.session import Session

if TYPE_CHECKING:
    from kosmolua.replicate.client import Client

EMULATOR_URL = "http://emulator.localhost/v1"
_EMULATED = config.Settings(
    url=config.Value(EMULATOR_URL, "--emulate"),
    read=config.Value("allow", "emulator"),
    write=config.Value("allow", "emulator"),
)


def open_session(options: Options, script: str | None = None) -> Session:
    """The session for a command. Nothing is looked up or imported before its first call."""
    defaults = _EMULATED if options.emulate else config.DEFAULTS
    settings = config.load(
        {} if options.emulate else os.environ, read=options.read, write=options.write, defaults=defaults
    )
    return Session(
        _emulated_client(options) if options.emulate else _client(options, settings),
        policy.rules_of(settings),
        prompt.for_streams(),
        account=options.account,
        force=options.force,
        dry_run=options.dry_run,
        script=script,
    )


def _client(options: Options, settings: config.Settings) -> Callable[[str], Client]:
    def connect(account: str) -> Client:
        token = credentials.find(os.environ, account)
        from kosmolua.replicate.client import Client

        return Client(
            token=token.reveal(),
            base_url=settings.url.value,
            insecure_http=options.insecure_http,
            on_retry=_tell_retry,
        )

    return connect


def _tell_retry(reason: str, seconds: float) -> None:
    print(safe(f"kosmo: {reason}; again in {seconds:.1f} s"), file=sys.stderr, flush=True)


def _emulated_client(options: Options) -> Callable[[str], Client]:
    def connect(account: str) -> Client:
        from kosmolua.emulator import Emulator
        from kosmolua.replicate.client import Client, in_process

        transport = in_process(Emulator(faults=options.fault))
        token = f"emulated-{account}"
        return Client(token=token, base_url=EMULATOR_URL, transport=transport, on_retry=_tell_retry)

    return connect
