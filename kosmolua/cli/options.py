"""Flags shared by the commands that call functions. Cheap to import, since the child starts before other imports."""

from __future__ import annotations

import argparse
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from kosmolua.errors import UsageError
from kosmolua.runtime.limits import Limits
from kosmolua.settings import ages
from kosmolua.terminal.text import table, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kosmolua.gate.budget import Caps
    from kosmolua.settings.config import Verdict

VERDICTS = ("allow", "ask", "deny")
TIMEOUT = 7 * 86_400.0  # seconds; the same as kosmolua.journal.approvals.TIMEOUT, which takes longer to import
ISOLATION = ("standard", "strict")
STRICT = "strict: JIT off; fail unless every sandbox layer is available"
_LIMITS = Limits()


class Options:
    """The values of the shared flags."""

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
        self.models: str | None = None
        self.cog: list[str] = []


_JQ = "for example: kosmo lua --jq .result flow.lua"
# flag -> (name of its value, help)
FLAGS = {
    "json": (None, "print one JSON envelope"),
    "jq": (
        "EXPR",
        "print the results of a jq expression over the JSON; needs the extra jq (without it: --json | jq EXPR)",
    ),
    "force": (None, "bypass the permission policy; other checks still apply"),
    "dry_run": (None, "print the request instead of sending it"),
    "emulate": (None, "use the built-in emulator: no account, no network, no cost"),
    "account": ("NAME", "use the credentials of this account (default: default)"),
    "read": ("allow|ask|deny", "set the policy for reads (default: as configured)"),
    "write": ("allow|ask|deny", "set the policy for writes (default: as configured)"),
    "insecure_http": (None, "allow sending the token over plain HTTP to other machines"),
    "fault": (
        "SPEC",
        "inject a fault into the emulator, such as 429:create:retry_after=2; see kosmo help faults; repeatable",
    ),
    "models": ("PATH", "add the public models of a file or directory to the emulator"),
    "cog": ("OWNER/NAME=URL", "add a model that runs on a cog server to the emulator; repeatable"),
}


def assign(options: Options, name: str, value: str | None) -> None:
    """Set one flag. Raises a `UsageError` for an invalid value."""
    if name == "jq":
        raise UsageError("--jq is a flag of the command; put it before the script's arguments", hint=_JQ)
    if name in {"fault", "cog"}:
        setattr(options, name, [*getattr(options, name), value or ""])
    elif FLAGS[name][0] is None:
        setattr(options, name, True)
    else:
        if name in {"read", "write"} and value not in VERDICTS:
            raise UsageError(f"--{name}: expected allow, ask or deny, got {value!r}")
        setattr(options, name, value)


def checked(options: Options) -> Options:
    """Return the options. Raises a `UsageError` if they cannot be combined."""
    if options.fault and not options.emulate:
        raise UsageError("--fault needs --emulate")
    if options.models and not options.emulate:
        raise UsageError("--models needs --emulate")
    if options.cog and not options.emulate:
        raise UsageError("--cog needs --emulate")
    if options.fault:
        from kosmolua.emulator.faults import parse_fault

        for spec in options.fault:
            parse_fault(spec)
    return options


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a `UsageError` instead of exiting. Its messages show no tokens."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"r8_\w+", "r8_…", message)
        raise UsageError(message + self._suggestion(message), hint=f"see {self.prog} --help")

    def adapt(self, helps: Mapping[str, str], metavars: Mapping[str, str]) -> None:
        """Change the help and the metavar of arguments, by name."""
        for action in self._actions:
            action.help = helps.get(action.dest, action.help)
            action.metavar = metavars.get(action.dest, action.metavar)

    @property
    def takes(self) -> dict[str, bool]:
        """All options, and whether each takes a value."""
        return {name: action.nargs != 0 for name, action in self._option_string_actions.items()}

    def _suggestion(self, message: str) -> str:
        from kosmolua.replicate.nearest import did_you_mean, nearest

        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0].partition("=")[0]
        if message.startswith("unrecognized arguments: -"):
            return did_you_mean(unknown, self._option_string_actions)
        choice = re.fullmatch(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
        near = nearest(choice[1], [one.strip("' ") for one in choice[2].split(",")]) if choice else []
        return f"; did you mean {near[0]}?" if near else ""


_MOST_IN_USAGE = 7  # options


class _Formatter(argparse.HelpFormatter):
    """Wraps the paragraphs of the description; keeps the lines of examples and of the table of actions."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """Abbreviate many options as [OPTIONS], since their list follows."""
        listed = list(actions)
        optional = [action for action in listed if action.option_strings and not action.required]
        if usage is None and len(optional) > _MOST_IN_USAGE:
            listed = [argparse.Action(["OPTIONS"], "", nargs=0), *(each for each in listed if each not in optional)]
            groups = ()
        super().add_usage(usage, listed, groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        kept = ("example:", "actions:")
        return "\n\n".join(
            part if part.startswith(kept) else super(_Formatter, self)._fill_text(part, width, indent) for part in parts
        )


# command -> the topic about it
TOPICS = {
    "run": "shell",
    "integrations:lua": "lua",
    "integrations:call": "arguments",
    "integrations:configure": "configuration",
    "integrations:status": "configuration",
    "integrations:policy": "permissions",
    "integrations:trust": "permissions",
    "budget": "budgets",
    "prices": "budgets",
    "models": "models",
    "model": "models",
    "runs": "runs",
    "approvals": "permissions",
    "emulator:serve": "faults",
    "triggers": "webhooks",
    "webhooks:serve": "webhooks",
    "webhooks:verify": "webhooks",
}


def parser(command: str, description: str, example: str) -> Parser:
    topic = TOPICS.get(command)
    return Parser(
        prog=f"kosmo {command}",
        description=description,
        epilog=f"example:\n  {example}" + (f"\n\ntopic: kosmo integrations:docs {topic}" if topic else ""),
        formatter_class=partial(_Formatter, width=max(40, min(100, width()))),  # without one argparse imports shutil
        allow_abbrev=False,
    )


def add_action(made: Parser, actions: Mapping[str, str], *, default: str = "list") -> None:
    """Add the action, the first word of a command. ``actions`` maps ``name WORDS`` to what the action does; the help
    shows them as a table.
    """
    rows = table(actions.items(), styles=())
    made.description = f"{made.description}\n\nactions:\n{rows}"
    made.add_argument(
        "action",
        nargs="?",
        choices=names_of(actions),
        default=default,
        metavar="ACTION",
        help=f"what to do (default: {default})",
    )


def names_of(actions: Mapping[str, str]) -> tuple[str, ...]:
    """The names of actions, without the words that they take."""
    return tuple(use.partition(" ")[0] for use in actions)


def add_json(made: Parser) -> None:
    """The flags of a command that prints JSON and calls no functions. `kosmolua.cli.filter` removes ``--jq``."""
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--jq", metavar="EXPR", help=FLAGS["jq"][1])


def add_shared(made: Parser) -> None:
    group = made.add_argument_group("options of every command that calls functions")
    for name, (value, what) in FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None:
            group.add_argument(flag, action="store_true", help=what)
        elif name == "fault":
            group.add_argument(flag, action="append", default=[], metavar=value, help=what)
        else:
            group.add_argument(flag, metavar=value, help=what)


def add_approval_timeout(made: Parser | argparse._ArgumentGroup) -> None:
    made.add_argument(
        "--approval-timeout",
        type=age,
        default=TIMEOUT,
        metavar="TIME",
        help="deny an approval that is still open after TIME, such as 12h or 7d (default: 7d)",
    )


def add_approvers(made: Parser | argparse._ArgumentGroup) -> None:
    made.add_argument(
        "--approvers",
        metavar="NAMES",
        help="let only these users and groups decide approvals, such as ana,@finance (default: all that the "
        "configuration allows)",
    )


def age(text: str) -> float:
    """The seconds in a duration such as 12h."""
    seconds = ages.seconds_of(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 30m, 12h or 7d, got {text!r}")
    return seconds


def shared(parsed: argparse.Namespace) -> Options:
    options = Options()
    for name in FLAGS:
        given = getattr(parsed, name)
        for value in given if isinstance(given, list) else [given]:
            if value not in (None, False):
                assign(options, name, None if value is True else value)
    return checked(options)


# Limits and budgets ------------------------------------------------------------------------------------------------


_LIMIT_FLAGS: dict[str, tuple[str, str]] = {
    "memory": ("BYTES", "limit the memory of Lua"),
    "cpu": ("SECONDS", "limit the CPU time"),
    "output": ("BYTES", "limit the printed output"),
    "time": ("SECONDS", "limit the wall-clock time"),
}


def add_isolation(made: Parser, *, none: str = "") -> None:
    """``none`` is the help for ``--isolation none``, where a command allows it."""
    choices = (*ISOLATION, "none") if none else ISOLATION
    text = "; ".join(filter(None, (STRICT, none)))
    made.add_argument("--isolation", choices=choices, default=ISOLATION[0], help=f"{text} (default: {ISOLATION[0]})")


def add_limits(made: Parser) -> None:
    """Add the flags that limit a script's resources."""
    group = made.add_argument_group("limits")
    for name, (unit, what) in _LIMIT_FLAGS.items():
        default = getattr(_LIMITS, name)
        shown = "none" if default is None else _size(default) if unit == "BYTES" else f"{default:g}"
        kind = size if unit == "BYTES" else seconds
        group.add_argument(
            f"--{name}-limit", type=kind, metavar=unit, default=default, help=f"{what} (default: {shown})"
        )


def limits(parsed: argparse.Namespace) -> Limits:
    return Limits(parsed.cpu_limit, parsed.memory_limit, parsed.output_limit, parsed.time_limit)


def add_gate(made: Parser) -> None:
    """Add the flags for a script's directories, environment variables and budget."""
    group = made.add_argument_group("files and environment")
    directory: dict[str, Any] = {"action": "append", "default": [], "metavar": "DIR"}
    group.add_argument(
        "--allow-read", **directory, help="allow the script to read files below DIR; repeatable (default: none)"
    )
    group.add_argument(
        "--allow-write",
        **directory,
        help="allow the script to write files below DIR, which is created if needed; repeatable (default: none)",
    )
    group.add_argument(
        "--allow-env",
        action="append",
        default=[],
        metavar="NAME",
        help="allow the script to read the environment variable NAME; repeatable (default: none)",
    )
    add_caps(made)


def add_functions(made: Parser, what: str = "") -> None:
    """Add the flag for the user's own Python functions."""
    usual = (
        "let scripts call Python functions as custom.NAME{...}; NAME in MODULE is a dictionary of functions or one "
        "function; the policy applies to them"
    )
    made.add_argument("--functions", metavar="MODULE:NAME", help=what or usual)


def add_caps(made: Parser) -> None:
    """Add the flags for a script's budget."""
    group = made.add_argument_group("budget of the run")
    for name, (kind, what) in CAPS.items():
        group.add_argument(f"--max-{name.replace('_', '-')}", type=kind, metavar="N", help=what)


def caps(parsed: argparse.Namespace) -> Caps | None:
    """The budget, or None without importing its module if no flag sets one."""
    given = {name: value for name in CAPS if (value := getattr(parsed, f"max_{name}")) is not None}
    if not given:
        return None
    from kosmolua.gate.budget import Caps

    return Caps(**given)


_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int:
    """Parse bytes: a number, or one followed by K, M or G (powers of 1024)."""
    match = re.fullmatch(r"([0-9]{1,15})([kmgKMG]?)(?:i?[bB])?", text)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"expected bytes, such as 134217728 or 128M, got {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def _size(value: int) -> str:
    """A number of bytes in the form that `size` reads."""
    unit = next(unit for unit, factor in reversed(_UNITS.items()) if value % factor == 0)
    return f"{value // _UNITS[unit]}{unit.upper()}"


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text!r}")
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
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return value


# budget of a run -> (how its flag is parsed, help)
CAPS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "calls": (count, "stop the run after N API calls"),
    "writes": (count, "stop the run after N calls that change something"),
    "predictions": (count, "stop the run after N predictions and trainings"),
    "seconds_of_compute": (amount, "stop the run after N seconds of compute, as the API counts them"),
    "cost": (amount, "stop the run before its cost exceeds N, by the price table"),
}
