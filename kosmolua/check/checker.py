"""Applies the rules to a whole program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kosmolua.check.look import CALLING, Look, reads

if TYPE_CHECKING:
    from kosmolua.check.problem import Problem
    from kosmolua.check.program import Program, Source
    from kosmolua.check.world import World

    Rule = Callable[[Look, Source], None]


def check(program: Program, world: World) -> list[Problem]:
    """All problems of a program that can be found without running it."""
    look = Look(program, world)
    for source in program.sources:
        look.source = source
        for rule in _rules(plain=not reads(program, CALLING)):
            rule(look, source)
    return look.problems()


def _rules(*, plain: bool) -> Iterable[Rule]:
    """The rules for a program. A ``plain`` program, which calls no host function, gets only the language rules."""
    from kosmolua.check.rules import modules, names, values

    language = (
        names.globals_,
        names.fields,
        values.operands,
        values.loops,
        values.lists,
        values.lengths,
        modules.modules,
    )
    if plain:
        return language
    from kosmolua.check.rules import calls, files, helpers, inputs, permission

    calling = (calls.functions, helpers.options, helpers.shapes, helpers.called_too_early, inputs.inputs)
    return (*language, *calling, files.saves, files.reads, files.modules, permission.permission)
