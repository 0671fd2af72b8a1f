"""The flags that every command which calls functions has. Cheap to import: the child starts before anything else."""

from __future__ import annotations

import argparse
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from kosmolua.errors import UsageError
from kosmolua.runtime.limits import Limits

if TYPE_CHECKING:
    from kosmolua.gate.budget import Caps
    from kosmolua.settings.config import Verdict

VERDICTS = ("allow", "ask", "deny")
_LIMITS = Limits()


class Options:
    """What the shared flags said."""

    def __init__(self) -> None:
        self.json = False
        self.force = False
        self.dry_run = False
        self.emulate = False
        self.account = "default"
        self.read: Verdict | None = None
        self.write: Verdict | None = None
        self.insecure_http = False
        self.fault: list[str] = []


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
        if name in {"read", "write"} and value not in VERDICTS:
            raise UsageError(f"--{name}: expected allow, ask or deny, got {value!r}")
        setattr(options, name, value)


def checked(options: Options) -> Options:
    """The options, where they go together."""
    if options.fault and not options.emulate:
        raise UsageError("--fault makes the emulator misbehave, and needs --emulate")
    return options


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a `UsageError` where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message + self._suggestion(message), hint=f"see {self.prog} --help")

    def _suggestion(self, message: str) -> str:
        from difflib import get_close_matches

        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0].partition("=")[0]
        near = get_close_matches(unknown, list(self._option_string_actions), n=1)
        return f"; did you mean {near[0]}?" if near and message.startswith("unrecognized") else ""


def parser(command: str, description: str, example: str) -> Parser:
    return Parser(
        prog=f"kosmo {command}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100),  # a width given spares shutil
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
    return checked(options)


# Limits and budgets ------------------------------------------------------------------------------------------------


def add_limits(made: Parser) -> None:
    """What a script may use."""
    made.add_argument("--memory-limit", type=size, metavar="BYTES", default=_LIMITS.memory, help="default: 128M")
    made.add_argument("--cpu-limit", type=seconds, metavar="SECONDS", default=_LIMITS.cpu, help="default: 30")
    made.add_argument("--output-limit", type=size, metavar="BYTES", default=_LIMITS.output, help="default: 10M")
    made.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="wall clock; default: none")


def limits(parsed: argparse.Namespace) -> Limits:
    return Limits(parsed.cpu_limit, parsed.memory_limit, parsed.output_limit, parsed.time_limit)


def add_gate(made: Parser) -> None:
    """What a script may do at most."""
    directory: dict[str, Any] = {"action": "append", "default": [], "metavar": "DIR"}
    made.add_argument("--allow-read", **directory, help="let it read files in there; repeatable; default: none")
    made.add_argument("--allow-write", **directory, help="let it write files in there; repeatable; default: none")
    made.add_argument("--max-calls", type=count, metavar="N", help="end it before it calls more often")
    made.add_argument("--max-writes", type=count, metavar="N", help="the same, of calls that change something")
    made.add_argument("--max-predictions", type=count, metavar="N", help="the same, of predictions and trainings")
    made.add_argument("--max-seconds-of-compute", type=amount, metavar="N", help="as the API counts them")
    made.add_argument("--max-cost", type=amount, metavar="N", help="by the price table in config.toml")


def caps(parsed: argparse.Namespace) -> Caps | None:
    """The budget, where a flag bounds it; a run that has none is spared its import."""
    names = ("calls", "writes", "predictions", "seconds_of_compute", "cost")
    given = {name: value for name in names if (value := getattr(parsed, f"max_{name}")) is not None}
    if not given:
        return None
    from kosmolua.gate.budget import Caps

    return Caps(**given)


_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int:
    """Bytes, as a number or with K, M or G behind it (powers of 1024)."""
    match = re.fullmatch(r"([0-9]{1,15})([kmgKMG]?)(?:i?[bB])?", text)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"expected bytes, such as 134217728 or 128M, got {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return int(text)


def amount(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?|\.[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, such as 2.50, got {text!r}")
    return float(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, more than zero, got {text!r}")
    return value
