"""The rules, each a function of the check and one source. A rule reports what is certain as an error, and leaves alone
what it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.check.look import Look
    from kosmolua.check.program import Source

    Rule = Callable[[Look, Source], None]


def rules(*, plain: bool) -> Iterable[Rule]:
    """The rules for a program; for a ``plain`` one, which calls no host function, only the rules of the language."""
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
