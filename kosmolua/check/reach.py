"""Whether a place in a script is reached in every run. A problem that depends on the command, such as a permission, is
certain only there: `if args[1] then image:save(args[1]) end` needs no directory in a run without arguments.
"""

from __future__ import annotations

from collections.abc import Iterator

from kosmolua.check.program import Program, Source
from kosmolua.check.tree import Call, Function, Index, Name, Node, Operation

MAX_CALLS = 5  # the deepest nesting of calls to follow
_STARTING = frozenset({("parallel",), ("spawn",)})
_LEAVING = frozenset({("exit",), ("os", "exit")})


def is_reached(program: Program, source: Source, at: int, within: Function, depth: int = MAX_CALLS) -> bool:
    """Whether every run reaches the place, whatever its arguments and answers are."""
    tree = source.tree
    if not depth or any(start <= at <= end for _, start, end in tree.branches):
        return False
    if any(place < at and function is within for place, function in tree.returns):
        return False
    if any(call.at < at and program.path(call.callee) in _LEAVING for call in tree.calls):
        return False
    if any(loop.at <= at <= loop.end and any(map(_reads_args, loop.expressions)) for loop in tree.loops):
        return False
    if within.parent is None:
        return source is program.sources[0] or depth == MAX_CALLS
    return any(is_reached(program, source, call.at, call.within, depth - 1) for call in _calls(program, source, within))


def _calls(program: Program, source: Source, function: Function) -> Iterator[Call]:
    """The calls that run a function, directly or as a task that starts at once."""
    for call in source.tree.calls:
        is_started = function in call.arguments and program.path(call.callee) in _STARTING
        if is_started or (isinstance(call.callee, Name) and program.value(call.callee) is function):
            yield call


def _reads_args(node: Node) -> bool:
    """Whether an expression depends on the script's arguments."""
    match node:
        case Name():
            return node.local is None and node.text in ("arg", "args")
        case Call():
            return any(map(_reads_args, node.arguments))
        case Index():
            return _reads_args(node.base)
        case Operation():
            return _reads_args(node.left)
    return False
