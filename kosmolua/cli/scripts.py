"""``scripts``: keep scripts by name, with the descriptions in their headers."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.errors import UsageError
from kosmolua.settings import library
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

ACTIONS = {
    "list": "list the kept scripts",
    "add FILE": "keep a script",
    "show NAME": "print a script; with --json also its arguments",
    "run NAME [ARG=VALUE ...]": "run a script with arguments by name; options of kosmo lua follow --",
}


def run(command: str, argv: list[str]) -> int:
    action = argv[0] if argv else ""
    if action == "run":
        return _run(command, argv[1:])
    parsed = _parser(command).parse_args(argv)
    if parsed.action == "add":
        return _add(parsed)
    return _list(parsed) if parsed.action == "list" else _show(parsed)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Keep Lua scripts by name, and run them with arguments by name. The header of a script "
        "describes it and its arguments: --@ describe: TEXT, and --@ arg NAME TYPE: TEXT.",
        f"kosmo {command} run draw prompt='a fox' -- --max-cost 0.1",
    )
    options_.add_action(made, ACTIONS)
    made.add_argument("script", nargs="?", metavar="FILE|NAME", help="file to add, or name of a kept script")
    made.add_argument("--name", metavar="NAME", help="add: keep the script under this name (default: that of the file)")
    made.add_argument("--overwrite", action="store_true", help="add: replace an existing script of that name")
    options_.add_json(made)
    return made


def _add(parsed: argparse.Namespace) -> int:
    from kosmolua.gate import needs
    from kosmolua.gate.described import describe
    from kosmolua.host import source

    file = _named(parsed, "FILE")
    text = source.read(file)
    name = parsed.name or os.path.basename(file).removesuffix(".lua").replace("-", "_")
    needs.read(text, file)
    found = describe(text, file)
    path = library.add(os.environ, name, text, overwrite=parsed.overwrite)
    if parsed.json:
        output.show_json({"success": True, "name": name, "path": path, "describe": found.summary})
    else:
        print(safe(f"kept {name} in {path}; run it: {' '.join(['kosmo scripts run', name, *found.required])}"))
        if not found.summary:
            print("kosmo: describe it in its first line: --@ describe: TEXT", file=sys.stderr)
    return 0


def _list(parsed: argparse.Namespace) -> int:
    from kosmolua.gate.described import describe

    names = library.names(os.environ)
    rows = [(name, describe(library.read(os.environ, name), f"{name}.lua").summary) for name in names]
    if parsed.json:
        output.show_json({"success": True, "scripts": [{"name": name, "describe": about} for name, about in rows]})
        return 0
    if rows:
        cells = [(safe(name), safe(about)) for name, about in rows]
        output.write_text(table([("name", "description"), *cells], "", ("bold",)) + "\n")
    else:
        print("no scripts are kept; add one: kosmo scripts add FILE")
    return 0


def _show(parsed: argparse.Namespace) -> int:
    from kosmolua.gate.described import describe

    name = _named(parsed, "NAME")
    text = library.read(os.environ, name)
    found = describe(text, f"{name}.lua")
    if parsed.json:
        given = {"name": name, "path": library.path_of(os.environ, name), "describe": found.summary}
        output.show_json({"success": True, **given, "schema": found.schema(), "source": text.decode(errors="replace")})
    else:
        source = text.decode(errors="replace")
        output.write_text(safe(source) if sys.stdout.isatty() else source)
    return 0


def _run(command: str, argv: list[str]) -> int:
    """Run a kept script: ``run NAME key=value… [-- flags of lua]``."""
    from kosmolua.cli import lua
    from kosmolua.gate.described import describe, pairs

    at = argv.index("--") if "--" in argv else len(argv)
    own, flags = argv[:at], argv[at + 1 :]
    if not own or own[0].startswith("-"):
        _parser(command).parse_args(["run", *own])
        raise UsageError("scripts run: missing script name", hint="list them: kosmo scripts list")
    name = own[0]
    _check_words(name, own[1:])
    found = describe(library.read(os.environ, name), f"{name}.lua")
    values = found.values(pairs(own[1:], f"{name}.lua", found), f"{name}.lua")
    return lua.run("integrations:lua", [*flags, library.path_of(os.environ, name)], named=values)


def _check_words(script: str, words: list[str]) -> None:
    """Options of kosmo lua come after ``--``."""
    at = next((at for at, word in enumerate(words) if word.startswith("-")), None)
    if at is not None:
        command = shlex.join(["kosmo", "scripts", "run", script, *words[:at], "--", *words[at:]])
        raise UsageError(
            f"scripts run: expected NAME=VALUE, got {words[at][:100]!r}",
            hint=f"give options of kosmo lua after --: {command}",
        )


def _named(parsed: argparse.Namespace, what: str) -> str:
    if not parsed.script:
        raise UsageError(
            f"scripts {parsed.action}: missing {what}",
            hint=f"example: kosmo scripts {parsed.action} {'draw.lua' if parsed.action == 'add' else 'draw'}",
        )
    return str(parsed.script)
