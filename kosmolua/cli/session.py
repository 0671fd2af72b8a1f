"""The session that a command's flags ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from kosmolua import config, credentials
from kosmolua.cli.options import Options
from kosmolua.cli.output import safe
from kosmolua.errors import ConfigurationError
from kosmolua.gate import audit, policy, prompt
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.session import Run, Session
from kosmolua.replicate.catalogue import PROVIDER

if TYPE_CHECKING:
    from kosmolua.replicate.client import Client

EMULATOR_URL = "http://emulator.localhost/v1"


def open_session(options: Options, run: Run | None = None, source: bytes = b"", caps: Caps | None = None) -> Session:
    """The session for a command, or for a script of that text. No token is looked up, and no client imported, before
    its first call.
    """
    run = run or Run()
    run = run if run.id else msgspec.structs.replace(run, id=os.urandom(6).hex())
    settings = _emulated(options) if options.emulate else settings_of(options)
    caps = caps or Caps()
    return Session(
        _emulated_client(options) if options.emulate else _client(options, settings),
        policy.policy_of(settings),
        prompt.for_streams(),
        account=options.account,
        force=options.force,
        dry_run=options.dry_run,
        run=run,
        budget=Budget(caps.tightened(run.needs.caps) if run.needs else caps, settings.prices),
        audit=audit.Audit(audit.file_of(os.environ), _origin(options, run, source), warn),
        remember=None if options.emulate else _remember,
    )


def warn(text: str) -> None:
    print(safe(f"kosmo: {text}"), file=sys.stderr, flush=True)


def _origin(options: Options, run: Run, source: bytes) -> audit.Origin:
    import hashlib

    digest = f"sha256:{hashlib.sha256(source).hexdigest()}" if run.script else None
    return audit.Origin(run.id, run.script, digest, options.emulate)


def _remember(rule: config.Rule) -> None:
    from kosmolua.configure import add_rule

    path = add_rule(rule, os.environ)
    warn(f"wrote the rule into {path}")


def settings_of(options: Options) -> config.Settings:
    """The settings in force here. What of the files is not taken is told on standard error."""
    settings = config.load(os.environ, read=options.read, write=options.write)
    for notice in settings.notices:
        warn(notice)
    return settings


def _emulated(options: Options) -> config.Settings:
    """The emulator costs nothing: all is allowed that no flag forbids."""
    return config.Settings(
        url=config.Value(EMULATOR_URL, "--emulate"),
        read=config.Value(options.read or "allow", "--read" if options.read else "emulator"),
        write=config.Value(options.write or "allow", "--write" if options.write else "emulator"),
    )


def _client(options: Options, settings: config.Settings) -> Callable[[str], Client]:
    def connect(account: str) -> Client:
        check_enabled(settings)
        token = credentials.find(os.environ, settings.accounts, account)
        from kosmolua.replicate.client import Client, checked_url

        url, insecure = settings.url_of(account), options.insecure_http
        return Client(
            token=token.reveal(),
            base_url=checked_url(url.value, insecure_http=insecure, origin=url.origin),
            insecure_http=insecure,
            on_retry=_tell_retry,
        )

    return connect


def check_enabled(settings: config.Settings) -> None:
    if not settings.enabled.value:
        raise ConfigurationError(
            f"{PROVIDER} is disabled by {settings.enabled.origin}",
            hint=f"enable it: kosmo integrations:configure {PROVIDER} --enable",
        )


def _tell_retry(reason: str, seconds: float) -> None:
    warn(f"{reason}; again in {seconds:.1f} s")


def _emulated_client(options: Options) -> Callable[[str], Client]:
    def connect(account: str) -> Client:
        from kosmolua.emulator import Emulator
        from kosmolua.replicate.client import Client, in_process

        transport = in_process(Emulator(faults=options.fault))
        token = f"emulated-{account}"
        return Client(token=token, base_url=EMULATOR_URL, transport=transport, on_retry=_tell_retry)

    return connect
