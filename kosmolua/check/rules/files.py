"""Files that a script saves or reads, and the directories that it may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kosmolua.check.look import Look, argument, is_open
from kosmolua.check.program import Program, Source
from kosmolua.check.rules.calls import target
from kosmolua.check.rules.helpers import TAKE_A_MODEL, helper_of, uses
from kosmolua.check.tree import Call, Function, Index, Node, Operation, Table
from kosmolua.replicate.catalogue import BY_NAME

_MODEL_OUTPUT = frozenset({"run"})
_WRITES = frozenset({"write_file", "append_file"})


def saves(look: Look, source: Source) -> None:
    for at, within, node, certain in _saves(look, source):
        path = look.literal(node)
        _check(look, at, within, path, "write", certain=certain, directory=_directory(look, node))


def _directory(look: Look, node: Node | None) -> str | None:
    """The directory of a path whose first part is known."""
    found, certain = look.program.value(node), True
    while isinstance(found, Operation) and found.operator == "..":
        found, certain = look.program.value(found.left), False
    if isinstance(found, Call) and found.method is None and look.program.path(found.callee) == ("string", "format"):
        found, certain = look.program.value(argument(found, 0)), False
    start = look.literal(found)
    if not isinstance(start, str) or "\0" in start:
        return None
    start = start if certain else start.partition("%")[0]
    return os.path.dirname(start) or "."


def _saves(look: Look, source: Source) -> Iterator[tuple[int, Function, Node | None, bool]]:
    for use in uses(look, source):
        if use.name == "download" and (len(use.call.arguments) > 1 or not is_open(use.call)):
            yield use.call.at, use.call.within, argument(use.call, 1), True
        elif use.name in _WRITES and use.call.arguments:
            yield use.call.at, use.call.within, argument(use.call, 0), True
    for call, certain in method_saves(look, source):
        yield call.at, call.within, argument(call, 0), certain


def method_saves(look: Look, source: Source) -> Iterator[tuple[Call, bool]]:
    """The calls of `:save`, each with whether its object is certainly an output."""
    if "save" in look.program.members:
        return  # the script has its own method
    for call in source.tree.calls:
        if call.method == "save":
            yield call, _is_output(look, look.program, call.callee)


def _is_output(look: Look, program: Program, node: Node) -> bool:
    """Whether an expression is a model's output, or an item of it."""
    found = program.value(node)
    while isinstance(found, Index):
        found = program.value(found.base)
    if not isinstance(found, Call):
        return False
    helper = helper_of(look, found)
    return helper is not None and helper[0] in _MODEL_OUTPUT


def reads(look: Look, source: Source) -> None:
    sent = {id(node) for call in source.tree.calls if _sends(look, call) for node in _within(call)}
    for use in uses(look, source):
        if use.name == "file" and use.call.arguments:
            path = look.literal(use.call.arguments[0])
            _check(look, use.call.at, use.call.within, path, "read", certain=id(use.call) in sent)


def modules(look: Look, source: Source) -> None:
    """Required modules, which need a readable directory as files do."""
    for where, call, file in look.program.required:
        if where is source:
            _check(look, call.at, call.within, file, "read", certain=True)


def _sends(look: Look, call: Call) -> bool:
    """Whether a call sends its arguments: a file is read only then."""
    helper = helper_of(look, call)
    found = target(look.program.path(call.callee)) if call.method is None else None
    return (helper is not None and helper[0] in TAKE_A_MODEL) or (found is not None and found.name in BY_NAME)


def _within(call: Call) -> Iterator[Node]:
    """The expressions in the call's arguments and their tables."""
    left: list[Node] = [*call.arguments]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, Table):
            left += [value for _, value in node.items]


def _check(
    look: Look, at: int, within: Function, path: object, how: str, *, certain: bool, directory: str | None = None
) -> None:
    opened = look.world.writable if how == "write" else look.world.readable
    flag, writes = f"--allow-{how}", directory
    directory = directory or (os.path.dirname(path) or "." if isinstance(path, str) else "DIR")
    what = f"{'saves' if how == 'write' else 'reads'} {repr(path[:100]) if isinstance(path, str) else 'a file'}"
    if opened is None:
        look.report(
            at,
            "note",
            "needs_files",
            f"{what}, which needs {flag}",
            f"Add {flag} {directory} to the command that runs it.",
            within,
        )
    elif not opened:
        severity = look.certain(at, within) if certain else "warning"
        message = f"{what}, but no directory is allowed for {'writing' if how == 'write' else 'reading'}"
        look.report(
            at, severity, "permission_denied", message, f"Add {flag} {directory} to the command.", within, writes
        )
    elif isinstance(path, str) and "\0" not in path and not _is_inside(path, opened):
        message = f"{what}, outside the open directories: {', '.join(opened)}"
        severity = look.certain(at, within) if certain else "warning"
        look.report(
            at, severity, "permission_denied", message, f"Add {flag} {directory} to the command.", within, writes
        )


def _is_inside(path: str, directories: tuple[str, ...]) -> bool:
    real = os.path.realpath(path)
    roots = [os.path.realpath(os.path.expanduser(directory)) for directory in directories]
    return any(os.path.commonpath([real, root]) == root for root in roots)
