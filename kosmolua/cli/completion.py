"""``completion``: print a script that completes commands, functions and their parameters in bash, zsh or fish.

The script contains all tables, so that pressing Tab starts no process. Only models and inputs after `kosmo run` are
looked up by a command, on this machine.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from kosmolua.cli import COMMANDS, SHORT, options
from kosmolua.cli.output import write_text
from kosmolua.manual.topics import topics
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, Operation, Parameter
from kosmolua.terminal import shells

PROGRAMS = ("kosmo", "kosmokrator", "kosmolua")
SHELLS = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}
CALLS = ("integrations:call", "integrations:replicate")
_FILES = {"--output", "--path"}


def run(command: str, argv: list[str]) -> int:
    """Print the script for one shell, or the candidates that such a script asks for."""
    if argv[:1] == ["run"]:
        from kosmolua.cli import candidates

        return candidates.run(argv[1:], [flag for flag, takes in _flags("run").items() if takes])
    made = options.parser(
        command, "Print a script that completes commands, functions and --parameters in a shell.", _example(command)
    )
    made.add_argument("shell", choices=SHELLS, help="the shell")
    parsed = made.parse_args(argv)
    write_text(SHELLS[parsed.shell](knowledge()))
    return 0


def _example(command: str) -> str:
    return "\n  ".join(
        [
            f'eval "$(kosmo {command} bash)"           # in ~/.bashrc',
            f'eval "$(kosmo {command} zsh)"            # in ~/.zshrc, after compinit',
            f"kosmo {command} fish | source            # in ~/.config/fish/config.fish",
        ]
    )


@cache
def knowledge() -> shells.Knowledge:
    """The tables of a completion script, derived from the commands, flags and functions."""
    flags = {command: _flags(command) for command in COMMANDS}
    valued = {flag for found in flags.values() for flag, takes in found.items() if takes}
    valued |= {_flag(p) for operation in OPERATIONS for p in operation.parameters if p.kind != "boolean"}
    return shells.Knowledge(
        programs=PROGRAMS,
        provider=PROVIDER,
        commands={**{name: what for name, (_, what) in COMMANDS.items()}, **_short()},
        short=SHORT,
        functions={operation.name: operation.summary for operation in OPERATIONS},
        flags={command: tuple(found) for command, found in flags.items()},
        parameters={operation.name: _parameters(operation) for operation in OPERATIONS},
        values=_values(),
        arguments=_arguments(),
        valued=tuple(sorted(valued | _FILES)),
        calls=CALLS,
    )


def _short() -> dict[str, str]:
    return {name: f"short for {command}" for name, command in SHORT.items()}


def _flags(command: str) -> dict[str, bool]:
    """The flags of a command, and whether each takes a value. They come from a table for calls, else from the help."""
    if command in CALLS:
        shared = {f"--{name.replace('_', '-')}": value is not None for name, (value, _) in options.FLAGS.items()}
        return {**shared, "--arg": True, "--output": True, "--help": False}
    return dict(_options(_help(command)))


def _options(text: str) -> Iterator[tuple[str, bool]]:
    """Read ``  --limit N, -l N  what it is``: the long name, and whether it takes a value."""
    for line in text.splitlines():
        if line.startswith("  -"):
            for part in line.strip().split("  ")[0].split(", "):
                name, _, value = part.partition(" ")
                if name.startswith("--") and name != "--":
                    yield name, bool(value)


def _help(command: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        import_module(f"kosmolua.cli.{COMMANDS[command][0]}").run(command, ["--help"])
    return text.getvalue()


def _flag(parameter: Parameter) -> str:
    return f"--{parameter.name.replace('_', '-')}"


def _parameters(operation: Operation) -> tuple[str, ...]:
    more = ["--all"] * operation.paged + ["--path"] * (operation.name == "create_file")
    return (*map(_flag, operation.parameters), *more)


def _values() -> dict[str, tuple[str, ...]]:
    """``FUNCTION --flag`` -> the values it takes; only ``--flag`` if they are the same in every command."""
    words = {
        f"{operation.name} {_flag(parameter)}": parameter.enum
        for operation in OPERATIONS
        for parameter in operation.parameters
        if parameter.enum
    }
    return {**words, **{f"--{access}": options.VERDICTS for access in ("read", "write")}}


def _arguments() -> Mapping[str, tuple[str, ...]]:
    """The arguments of commands other than calls, such as function names with the provider's prefix."""
    functions = tuple(f"{PROVIDER}.{operation.name}" for operation in OPERATIONS)
    known = {
        "integrations:docs": (PROVIDER, *topics(), *functions),
        "integrations:schema": functions,
        "integrations:examples": functions,
        "integrations:policy": ("explain", "list", *functions),
        "completion": tuple(SHELLS),
    }
    modules = {command: import_module(f"kosmolua.cli.{module}") for command, (module, _) in COMMANDS.items()}
    known |= {name: options.names_of(module.ACTIONS) for name, module in modules.items() if hasattr(module, "ACTIONS")}
    providers = dict.fromkeys(("integrations:list", "integrations:fields", *_CONFIGURING), (PROVIDER,))
    return {command: words for command, words in {**providers, **known}.items() if command in COMMANDS}


_CONFIGURING = ("integrations:configure", "integrations:doctor", "integrations:status")
