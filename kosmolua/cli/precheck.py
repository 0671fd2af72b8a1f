"""Check a script before it runs, while its process starts. Makes no requests, and stops a script that is certain to
fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kosmolua.check.gate import Policy, header
from kosmolua.cli.versions import kept
from kosmolua.errors import CODES, KosmoError, UsageError

if TYPE_CHECKING:
    import argparse

    from kosmolua.check.problem import Problem
    from kosmolua.check.program import Program
    from kosmolua.check.world import World
    from kosmolua.cli.options import Options

MAX_LOOK = 128 * 1024  # bytes of a script and its modules; larger ones are not checked before a run
MAX_SHOWN = 5  # problems
_PERMISSION = frozenset({"permission_denied", "approval_required"})
_NAMES = frozenset({"unknown_name", "unknown_function", "not_available"})


def run(parsed: argparse.Namespace, options: Options, file: str, text: bytes) -> None:
    """Check a script that is about to run. Raises a `UsageError` for what is certain to fail, and prints warnings on
    standard error, each once.
    """
    from kosmolua.cli.check import for_options

    found = for_options(_look(parsed, options, file, text), options)
    if any(one.writes for one in found) and not options.json:
        found = _allow_saves(found, parsed)
    errors = [problem for problem in found if problem.severity == "error"]
    if found and not options.json:
        _show({(one.code, one.message): one for one in found if one.severity == "warning"}.values())
        _show(errors[1:])
    if errors:
        raise _refusal(errors)


def _allow_saves(found: list[Problem], parsed: argparse.Namespace) -> list[Problem]:
    """Ask for permission to write to the directories that the script saves to. Returns the remaining problems."""
    from kosmolua.cli.confirm import can_ask, confirmed

    if not can_ask():
        return found
    allowed = {
        directory
        for directory in dict.fromkeys(one.writes for one in found if one.writes)
        if confirmed(f"the script saves files; allow writing below {directory!r} for this run?")
    }
    if allowed:
        readable, writable = _opened(parsed)
        parsed.allow_read, parsed.allow_write = [*readable], [*writable, *sorted(allowed)]
        for directory in allowed:
            _make(directory)
    return [one for one in found if one.writes not in allowed or one.writes is None]


def _make(directory: str) -> None:
    try:
        os.makedirs(os.path.expanduser(directory), exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot create {directory!r}: {error.strerror}", hint="choose another directory: --allow-write DIR"
        ) from None


def _opened(parsed: argparse.Namespace) -> tuple[Sequence[str], Sequence[str]]:
    """The directories that the script may read, and those that it may write to."""
    from kosmolua.settings import config

    if parsed.allow_read or parsed.allow_write:
        return parsed.allow_read, parsed.allow_write
    configured = config.load(os.environ).directories
    return configured.read, configured.write


def _show(problems: Iterable[Problem]) -> None:
    from kosmolua.cli.check import show

    listed = list(problems)
    for problem in listed[:MAX_SHOWN]:
        show(problem, sys.stderr)
    if len(listed) > MAX_SHOWN:
        print(f"kosmo: and {len(listed) - MAX_SHOWN} more; to list all: kosmo check FILE", file=sys.stderr)


def _look(parsed: argparse.Namespace, options: Options, file: str, text: bytes) -> list[Problem]:
    from kosmolua.check.program import Program, Source

    if len(text) > MAX_LOOK:
        return []
    main = Source(file, text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace"))
    if main.broken or not (main.tree.names or main.tree.operations or main.tree.loops or main.tree.calls):
        return []  # LuaJIT will report the syntax error; the rest cannot be checked
    from kosmolua.check.modules import beside

    requires = any(name.text == "require" for name in main.tree.names)
    return _found(Program(main, beside(file, MAX_LOOK) if requires else None), parsed, options, text)


def _found(program: Program, parsed: argparse.Namespace, options: Options, text: bytes) -> list[Problem]:
    from msgspec.structs import replace

    from kosmolua.check.checker import check
    from kosmolua.check.look import spends
    from kosmolua.check.world import World

    world = _world(parsed, options, text) if spends(program) else World()
    custom = {"custom": frozenset(parsed.functions)} if parsed.functions else {}
    world = replace(world, known={**world.known, **custom}) if custom else world
    found = check(program, world)
    if any(one.code in _NAMES for one in found):
        from kosmolua.check.engine import Engine

        with Engine() as engine:  # only the sandbox knows all names that scripts have
            found = check(program, replace(world, known={**engine.names, **custom}))
    return found


def _world(parsed: argparse.Namespace, options: Options, text: bytes) -> World:
    from kosmolua.check.world import World
    from kosmolua.settings import config

    is_replayed = bool(parsed.replay) or _is_resumed(parsed)  # the journal may answer calls that the policy denies
    is_open = is_replayed or options.dry_run
    policy = Policy(options.read, options.write, force=options.force, emulate=options.emulate)
    opened = _opened(parsed)
    return World(
        accounts=frozenset(() if options.emulate else config.accounts(os.environ)),
        readable=None if is_open else tuple(opened[0]),
        writable=None if is_open else tuple(opened[1]),
        version=kept(options),
        refusal=(lambda *_: None) if is_replayed else policy,
        needs=header(text, "script")[0],
    )


def _is_resumed(parsed: argparse.Namespace) -> bool:
    """Whether the run resumes from a journal."""
    if not parsed.journal or parsed.fresh:
        return False
    from kosmolua.journal.runs import path_of

    return os.path.exists(path_of(os.environ, parsed.journal))


def _refusal(problems: Sequence[Problem]) -> KosmoError:
    """The error for a script that was not run. Its exit status is 3 if only permissions are missing, else 2."""
    first = problems[0]
    is_permission = all(one.code in _PERMISSION for one in problems)
    code = first.code if first.code in CODES and (is_permission or first.code not in _PERMISSION) else "invalid_script"
    error = UsageError(first.message, code=code, hint=first.hint, detail=[one.to_dict() for one in problems])
    error.where = f"{first.file}:{first.line}"  # type: ignore[attr-defined]
    return error
