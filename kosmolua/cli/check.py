"""``check``: report what is certain to fail in a script, without running it. Each run begins with the same check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kosmolua.check.gate import Policy, header
from kosmolua.cli import options as options_
from kosmolua.cli.versions import Versions
from kosmolua.errors import EXIT_FAILED, of_emulated_models
from kosmolua.host import source

if TYPE_CHECKING:
    import argparse

    from kosmolua.check.engine import Engine
    from kosmolua.check.problem import Problem
    from kosmolua.check.program import Find, Program
    from kosmolua.cli.options import Options


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    found: list[Problem] = []
    from kosmolua.check.engine import Engine

    with Engine() as engine, Versions(options, online=parsed.online or options.emulate) as online:
        for file in parsed.files:
            found += for_options(_checked(engine, online, parsed, options, file), options)
        if online.unknown and not (parsed.online or options.emulate or options.json):
            print("kosmo: inputs of models were not checked; add --online", file=sys.stderr)
    return _show(found, parsed.files, as_json=options.json)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Report what is certain to fail in a script, without running it: syntax errors, unknown names, parameters, "
        "options, files and calls that are not allowed, and inputs of models whose schema is on this machine or, with "
        "--online, fetched. Exit status: 0 no errors, 1 errors, 2 usage.",
        f"kosmo {command} flow.lua --allow-write out",
    )
    made.add_argument(
        "files", nargs="+", metavar="FILE", help="scripts to check; the modules that they require are checked too"
    )
    options_.add_shared(made)
    made.add_argument(
        "--online", action="store_true", help="fetch the schemas of models from the API; makes read calls only"
    )
    options_.add_functions(made)
    directory: dict[str, Any] = {"action": "append", "metavar": "DIR"}
    made.add_argument("--allow-read", **directory, help="assume that the script may read files below DIR; repeatable")
    made.add_argument("--allow-write", **directory, help="assume that the script may write files below DIR; repeatable")
    return made


def _checked(
    engine: Engine, online: Versions, parsed: argparse.Namespace, options: Options, file: str
) -> Sequence[Problem]:
    from kosmolua.check import syntax
    from kosmolua.check.checker import check
    from kosmolua.check.modules import beside
    from kosmolua.check.world import World

    text = source.read(file)
    program = program_of(file, text, beside(file))
    malformed = []
    for one in program.sources:
        refusal = engine.refusal(one.name, text if one.name == file else one.text.encode())
        if refusal:
            malformed.append(syntax.problem(one.name, one.text, *refusal))
    needs, misdeclared = header(text, file)
    world = World(
        known={**engine.names, **_custom(parsed)},
        readable=_directories(parsed.allow_read),
        writable=_directories(parsed.allow_write),
        version=online.version,
        refusal=Policy(options.read, options.write, force=options.force, emulate=options.emulate),
        needs=needs,
    )
    return [*misdeclared, *malformed, *check(program, world)]


def for_options(found: Sequence[Problem], options: Options) -> list[Problem]:
    """The problems. With the emulator, their hints name commands that show its models."""
    if not options.emulate:
        return [*found]
    from msgspec.structs import replace

    return [replace(one, hint=of_emulated_models(one.hint)) if one.hint else one for one in found]


def _custom(parsed: argparse.Namespace) -> dict[str, frozenset[str]]:
    """The names of the functions that --functions adds, by their table in scripts."""
    if not parsed.functions:
        return {}
    from kosmolua.cli import functions

    return {"custom": frozenset(functions.load(parsed.functions))}


def program_of(file: str, text: bytes, find: Find | None) -> Program:
    from kosmolua.check.program import Program, Source

    return Program(Source(file, text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")), find)


def _directories(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _show(found: Sequence[Problem], files: list[str], *, as_json: bool) -> int:
    from kosmolua.cli.output import show_json

    failed = any(problem.severity == "error" for problem in found)
    if as_json:
        problems = [problem.to_dict() for problem in found]
        show_json({"success": not failed, "files": files, "problems": problems})
    else:
        for problem in found:
            show(problem, sys.stdout)
    return EXIT_FAILED if failed else 0


def show(problem: Problem, stream: Any) -> None:
    from kosmolua.terminal.safe import safe

    word = "" if problem.severity == "error" else f"{problem.severity}: "
    print(safe(f"{problem.file}:{problem.line}: {word}{problem.message}"), file=stream)
    if problem.hint:
        print(safe(f"  hint: {problem.hint}"), file=stream)
