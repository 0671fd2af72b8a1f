"""Completion scripts for bash, zsh and fish. Each contains tables and a few lines of code that read them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from msgspec import Struct


class Knowledge(Struct, frozen=True, kw_only=True):
    """The tables for completion. ``valued`` are the flags that take a value; ``calls`` the commands that take a
    function, the first of them with the provider's prefix.
    """

    programs: tuple[str, ...]
    provider: str
    commands: Mapping[str, str]
    short: Mapping[str, str]
    functions: Mapping[str, str]
    flags: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[str, ...]]
    arguments: Mapping[str, tuple[str, ...]]
    valued: tuple[str, ...]
    calls: tuple[str, str]


def bash(known: Knowledge) -> str:
    return f"# completion of {known.programs[0]} for bash\n{_common(known)}{_read('complete.bash')}" + _ending(
        "complete -o bashdefault -o default -F _kosmo", known
    )


def zsh(known: Knowledge) -> str:
    header = f"#compdef {' '.join(known.programs)}\n# completion of {known.programs[0]} for zsh\n"
    return header + _common(known) + _read("complete.zsh").replace("PROGRAMS", " ".join(known.programs))


def fish(known: Knowledge) -> str:
    tables = "\n".join(
        [
            _switch("__kosmo_flags", known.flags),
            _switch("__kosmo_parameters", known.parameters),
            _switch("__kosmo_values", known.values),
            _switch("__kosmo_arguments", known.arguments),
            _switch("__kosmo_short", {name: (command,) for name, command in known.short.items()}),
            _listing("__kosmo_commands", known.commands),
            _listing("__kosmo_functions", known.functions),
            _membership(known),
        ]
    )
    programs = " ".join(known.programs)
    return f"# completion of {known.programs[0]} for fish\n{tables}\n" + _filled(_read("complete.fish"), known).replace(
        "PROGRAMS", programs
    )


def _read(name: str) -> str:
    """The text of one of the scripts in this directory."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _ending(command: str, known: Knowledge) -> str:
    return f"{command} {' '.join(known.programs)}\n"


def _filled(script: str, known: Knowledge) -> str:
    return script.replace("PROVIDER", known.provider).replace("CALL", known.calls[0]).replace("DIRECT", known.calls[1])


# Code for bash and zsh ---------------------------------------------------------------------------------------------


def _common(known: Knowledge) -> str:
    tables = [
        _case("_kosmo_flags", known.flags),
        _case("_kosmo_parameters", known.parameters),
        _case("_kosmo_values", known.values),
        _case("_kosmo_arguments", known.arguments),
        _case("_kosmo_short", {name: (command,) for name, command in known.short.items()}),
        f"_kosmo_takes_value() {{\n  case $1 in\n    {'|'.join(known.valued)}) return 0 ;;\n  esac\n  return 1\n}}",
        f"_kosmo_commands='{' '.join(known.commands)}'",
        f"_kosmo_functions='{' '.join(known.functions)}'",
    ]
    return "\n".join(tables) + _filled(_read("complete.sh"), known)


def _case(name: str, table: Mapping[str, Iterable[str]]) -> str:
    rows = "".join(f"    '{key}') echo '{' '.join(words)}' ;;\n" for key, words in table.items())
    return f"{name}() {{\n  case $1 in\n{rows}  esac\n}}"


# fish ---------------------------------------------------------------------------------------------------------------


def _switch(name: str, table: Mapping[str, Iterable[str]]) -> str:
    rows = "".join(
        f"        case '{key}'\n            printf '%s\\n' {' '.join(words)}\n" for key, words in table.items() if words
    )
    return f"function {name}\n    switch $argv[1]\n{rows}    end\nend"


def _listing(name: str, table: Mapping[str, str]) -> str:
    rows = "".join(f"    printf '%s\\t%s\\n' $argv[1]{word} {_quoted(what)}\n" for word, what in table.items())
    return f"function {name}\n{rows}end"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _membership(known: Knowledge) -> str:
    return f"function __kosmo_takes_value\n    contains -- $argv[1] {' '.join(known.valued)}\nend"
