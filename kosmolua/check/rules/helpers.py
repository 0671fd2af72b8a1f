"""Calls of the helpers: their options, and the kinds of their arguments."""

from __future__ import annotations

import re
from typing import NamedTuple

from kosmolua.check.look import Look, Named, argument, is_open, kind, table_of
from kosmolua.check.names import HELPERS, nearest
from kosmolua.check.program import Path, Source
from kosmolua.check.rules.calls import DEFAULT, check_arguments, target
from kosmolua.check.tree import Call, Node, Table
from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import BY_NAME, OPERATIONS

_GLOBAL = frozenset(
    {
        *("run", "wait", "stream", "each", "download", "parallel", "race", "spawn", "file", "sleep"),
        *("write_file", "append_file"),
    }
)
# helper -> position of its options, counted from 0
_OPTIONS = {"run": 2, "create": 2, "stream": 2, "wait": 1, "each": 2, "parallel": 2, "write_file": 2}
TAKE_A_MODEL = frozenset({"run", "create", "stream"})


class Use(NamedTuple):
    """A call of a helper."""

    call: Call
    name: str
    account: str


def uses(look: Look, source: Source) -> list[Use]:
    """The calls of helpers in a source."""
    found = [(call, helper_of(look, call)) for call in source.tree.calls]
    return [Use(call, *helper) for call, helper in found if helper]


def helper_of(look: Look, call: Call) -> tuple[str, str] | None:
    """The helper of a call, and its account."""
    path: Path | None = look.program.path(call.callee) if call.method is None else None
    if path is None or path in look.program.fields:
        return None
    if len(path) == 1 and path[0] in _GLOBAL and not look.is_part:
        return path[0], DEFAULT
    found = target(path)
    return (found.name, found.account) if found and found.name in HELPERS else None


# Options ----------------------------------------------------------------------------------------------------------


def options(look: Look, source: Source) -> None:
    for use in uses(look, source):
        place = _OPTIONS.get(use.name)
        given = table_of(look.program, argument(use.call, place)) if place is not None else None
        if place is not None and given:
            _check_options(look, use, place, Named(look.program, given))


def _check_options(look: Look, use: Use, place: int, given: Named) -> None:
    known = option_types(use.name, place)
    for name, (at, value) in given.items.items():
        if name not in known:
            near = nearest(name, known)
            rest = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(known))}"
            message = f"{use.name}: unknown option `{name}`; {rest}"
            look.report(at, "error", "invalid_arguments", message, _see(use.name), use.call.within)
        else:
            _check_type(look, use, name, known[name], value)


def _check_type(look: Look, use: Use, name: str, expected: str, node: Node) -> None:
    """Check options of type number, function or enum; others are not checked."""
    found, words = kind(look.program, node), re.findall(r'"(\w+)"', expected)
    value = look.literal(node)
    if words and isinstance(value, str) and "[]" not in expected and value not in words:
        near = nearest(value, words)
        rest = f"; did you mean {near}?" if near else ""
        message = f"{use.name}: expected {' or '.join(words)} as `{name}`, got {value[:60]!r}{rest}"
        look.report(node.at, "error", "invalid_arguments", message, _see(use.name), use.call.within)
    wanted = _wanted(expected)
    if wanted and found not in {None, "nil", wanted}:
        message = f"{use.name}: expected a {wanted} as `{name}`, got a {found}"
        look.report(node.at, "error", "invalid_arguments", message, _see(use.name), use.call.within)


def _wanted(expected: str) -> str | None:
    """The only Lua type that an option accepts; None if not checked."""
    if expected.endswith("[]"):
        return "table"
    if set(expected.split("|")) <= {"number", "integer"}:
        return "number"
    return "function" if expected.startswith("fun(") else None


def option_types(name: str, place: int) -> dict[str, str]:
    """The options of a helper and their types, from the table that stubs and prompt also use."""
    from kosmolua.manual.stubs import options_of

    return {option.name: option.type for option in options_of(name, place)}


def _see(name: str) -> str:
    return f"See its options: kosmo integrations:docs {name}"


# Arguments --------------------------------------------------------------------------------------------------------


def shapes(look: Look, source: Source) -> None:
    """Arguments whose type the helper rejects."""
    for use in uses(look, source):
        if use.name in TAKE_A_MODEL:
            _model(look, use)
        elif use.name in _CHECKS:
            _CHECKS[use.name](look, use)


def _expect(look: Look, use: Use, place: int, what: str, *kinds: str, hint: str | None = None) -> bool:
    """Report an argument whose type is known and not accepted. Returns whether it may be valid."""
    node = argument(use.call, place)
    found = kind(look.program, node) if node else None if is_open(use.call) else "nothing"
    if found is None or found in kinds:
        return True
    at = node.at if node else use.call.at
    message = f"{use.name}: expected {what}, got {found if found in {'nil', 'nothing'} else f'a {found}'}"
    look.report(at, "error", "invalid_arguments", message, hint or _see(use.name), use.call.within)
    return False


def _model(look: Look, use: Use) -> None:
    also = ("table",) if use.name == "stream" else ()
    hint = f'Write {use.name}("owner/name", {{ prompt = "…" }}).'
    if not _expect(look, use, 0, "a model such as owner/name", "string", *also, hint=hint):
        return
    reference = look.literal(argument(use.call, 0))
    if isinstance(reference, str):
        from kosmolua.replicate.versions import parse

        try:
            parse(reference)
        except UsageError as error:
            look.report(use.call.arguments[0].at, "error", "usage", error.message, error.hint, use.call.within)
    if len(use.call.arguments) > 1:
        _expect(look, use, 1, "a table as input", "table", "nil")
    if len(use.call.arguments) > 2:  # noqa: PLR2004 - the options
        _expect(look, use, 2, "a table of options", "table", "nil")


def called_too_early(look: Look, source: Source) -> None:
    """A call's result passed instead of a function: the call costs money, and then the helper fails."""
    for call in source.tree.calls:
        path = look.program.path(call.callee) if call.method is None else None
        for node in _expected_functions(path, call):
            early = helper_of(look, node) if isinstance(node, Call) else None
            found = target(look.program.path(node.callee)) if isinstance(node, Call) and node.method is None else None
            name = early[0] if early else found.name if found and found.name in BY_NAME else None
            if name and path:
                message = f"{path[0]}: expected a function, got the result of {name}"
                hint = f"Write function() return {name}(…) end."
                look.report(node.at, "error", "invalid_arguments", message, hint, call.within)


def _expected_functions(path: Path | None, call: Call) -> list[Node]:
    match path:
        case ("pcall",) | ("xpcall",) | ("spawn",):
            return call.arguments[:1]
        case ("parallel",):
            return call.arguments[1:2]
        case ("race",):
            first = argument(call, 0)
            return [value for _, value in first.items] if isinstance(first, Table) else []
    return []


def _each(look: Look, use: Use) -> None:
    hint = 'Write each("list_models").'
    node = argument(use.call, 0)
    called = target(look.program.path(node)) if node else None
    if called and called.name in BY_NAME:
        message = "each: expected the name of a function, got the function itself"
        look.report(
            use.call.at, "error", "invalid_arguments", message, f'Write each("{called.name}").', use.call.within
        )
        return
    name = look.literal(node)
    if not _expect(look, use, 0, "the name of a function", "string", hint=hint) or not isinstance(name, str):
        return
    operation = BY_NAME.get(name)
    paged = [one.name for one in OPERATIONS if one.paged]
    if operation is None or not operation.paged:
        what = f"unknown function {name}" if operation is None else f"{name} has no pages"
        near = nearest(name, paged)
        message = f"each: {what}" + (f"; did you mean {near}?" if near else "")
        code = "unknown_function" if operation is None else "invalid_arguments"
        look.report(
            use.call.arguments[0].at, "error", code, message, f"Use one of {', '.join(paged)}.", use.call.within
        )
        return
    given = argument(use.call, 1)
    if isinstance(given, Table) or (given is None and not is_open(use.call)):
        check_arguments(look, use.call, operation, given, paged=True)


def _download(look: Look, use: Use) -> None:
    hint = 'Write download(output, "out/picture.png").'
    _expect(look, use, 0, "a URL, or an output that is one", "string", "table", hint=hint)
    if _expect(look, use, 1, "a path to save to", "string", hint=hint):
        path, what = look.literal(argument(use.call, 1)), look.program.value(argument(use.call, 0))
        if isinstance(what, Table) and what.items and isinstance(path, str) and not path.endswith("/"):
            message = 'download: expected a path that ends in "/" for a list of files'
            at = use.call.arguments[1].at
            look.report(at, "error", "invalid_arguments", message, f'Write "{path}/".', use.call.within)


def _parallel(look: Look, use: Use) -> None:
    hint = "Write parallel(items, function(item) … end, { limit = 4 })."
    _expect(look, use, 0, "a list", "table", hint=hint)
    _expect(look, use, 1, "a function after the list", "function", hint=hint)
    if len(use.call.arguments) > 2:  # noqa: PLR2004 - the options
        _expect(look, use, 2, "a table of options", "table", "nil", hint=hint)


def _race(look: Look, use: Use) -> None:
    hint = "Write race { function() … end, function() … end }."
    if _expect(look, use, 0, "a list of functions", "table", hint=hint):
        given = argument(use.call, 0)
        for key, item in given.items if isinstance(given, Table) else ():
            found = None if key else kind(look.program, item)
            if found not in {None, "function"}:
                message = f"race: expected a list of functions, got one with a {found}"
                look.report(item.at, "error", "invalid_arguments", message, hint, use.call.within)


def _spawn(look: Look, use: Use) -> None:
    _expect(look, use, 0, "a function", "function", hint="Write spawn(function() … end).")


def _file(look: Look, use: Use) -> None:
    _expect(look, use, 0, "the path of a file", "string", hint='Write file("picture.png").')


def _sleep(look: Look, use: Use) -> None:
    seconds = look.literal(argument(use.call, 0))
    if _expect(look, use, 0, "seconds", "number", hint="Write sleep(1.5).") and isinstance(seconds, int | float):
        if isinstance(seconds, bool) or seconds >= 0:
            return
        message = f"sleep: expected zero or more seconds, got {seconds}"
        look.report(use.call.at, "error", "invalid_arguments", message, None, use.call.within)


def _wait(look: Look, use: Use) -> None:
    _expect(look, use, 0, "a prediction, a training or an id", "table", "string", hint="Write wait(prediction).")
    if len(use.call.arguments) > 1:
        _expect(look, use, 1, "a table of options", "table", "nil", hint="Write wait(prediction, { timeout = 60 }).")


_CHECKS = {
    "each": _each, "download": _download, "parallel": _parallel, "race": _race, "spawn": _spawn, "file": _file,
    "sleep": _sleep, "wait": _wait,
}  # fmt: skip
