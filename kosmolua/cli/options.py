"""The flags that every command which calls functions has, and the session they ask for."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

from kosmolua import config, credentials
from kosmolua.errors import UsageError
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


class Options(Struct, kw_only=True):
    """What the shared flags said."""

    json: bool = False
    force: bool = False
    dry_run: bool = False
    emulate: bool = False
    account: str = credentials.DEFAULT_ACCOUNT
    read: str | None = None
    write: str | None = None
    insecure_http: bool = False
    fault: list[str] = []


# flag -> what it does; those that take a value name it.
FLAGS = {
    "json": (None, "answer with one JSON envelope"),
    "force": (None, "bypass the permission policy, and nothing else"),
    "dry_run": (None, "do everything but send; show the request"),
    "emulate": (None, "answer from the built-in emulator: no account, no network, no cost"),
    "account": ("NAME", "account to call as (default: default)"),
    "read": ("allow|ask|deny", "policy for reads in this run (default: allow)"),
    "write": ("allow|ask|deny", "policy for writes in this run (default: ask)"),
    "insecure_http": (None, "send the token over plain http beyond this machine"),
    "fault": ("SPEC", "with --emulate: misbehave, such as 429:create:retry_after=2; repeatable"),
}


def assign(options: Options, name: str, value: str | None) -> None:
    """Set one flag. Raises a `UsageError` for a value it does not take."""
    if name == "fault":
        options.fault = [*options.fault, value or ""]
    elif FLAGS[name][0] is None:
        setattr(options, name, True)
    else:
        if name in {"read", "write"} and value not in config.VERDICTS:
            raise UsageError(f"--{name}: expected allow, ask or deny, got {value!r}")
        setattr(options, name, value)


def open_session(options: Options, script: str | None = None) -> Session:
    """The session for a command. Nothing is looked up or imported before its first call."""
    if options.fault and not options.emulate:
        raise UsageError("--fault makes the emulator misbehave, and needs --emulate")
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

        return Client(token=token.reveal(), base_url=settings.url.value, insecure_http=options.insecure_http)

    return connect


def _emulated_client(options: Options) -> Callable[[str], Client]:
    def connect(account: str) -> Client:
        from kosmolua.emulator import Emulator
        from kosmolua.replicate.client import Client, in_process

        transport = in_process(Emulator(faults=options.fault))
        return Client(token=f"emulated-{account}", base_url=EMULATOR_URL, transport=transport)

    return connect


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a `UsageError` where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help")


def parser(command: str, description: str, example: str) -> Parser:
    return Parser(
        prog=f"kosmo {command}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_shared(made: Parser) -> None:
    for name, (value, what) in FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None:
            made.add_argument(flag, action="store_true", help=what)
        elif name == "fault":
            made.add_argument(flag, action="append", default=[], metavar=value, help=what)
        else:
            made.add_argument(flag, metavar=value, help=what)


def shared(parsed: argparse.Namespace) -> Options:
    options = Options()
    for name in FLAGS:
        given = getattr(parsed, name)
        for value in given if isinstance(given, list) else [given]:
            if value not in (None, False):
                assign(options, name, None if value is True else value)
    return options


_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int:
    """Bytes, as a number or with K, M or G behind it (powers of 1024)."""
    match = re.fullmatch(r"([0-9]{1,15})([kmgKMG]?)(?:i?[bB])?", text)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"expected bytes, such as 134217728 or 128M, got {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, more than zero, got {text!r}")
    return value
