"""Calls of the catalogue's functions: the form of the call, names of parameters, and literal values."""

from __future__ import annotations

import re
from typing import NamedTuple

from kosmolua.check.look import NOTHING, Look, Named, argument, is_open, kind
from kosmolua.check.names import nearest
from kosmolua.check.program import Path, Source
from kosmolua.check.tree import Call, Name, Node, Table
from kosmolua.replicate.catalogue import BY_NAME, OPERATIONS, PROVIDER, Operation, Parameter
from kosmolua.replicate.namespaces import NAMESPACES

DEFAULT = "default"
_KINDS = {"integer": int, "boolean": bool, "object": dict, "array": list, "string": str}
_JOBS = frozenset({"create", "wait", "get_prediction", *(one.name for one in OPERATIONS if one.starts)})
_EACH = {"limit"}  # options of `each` that are often given as arguments


class Target(NamedTuple):
    """The function or helper that is called, and the account that it is called for."""

    name: str
    account: str


def target(path: Path | None) -> Target | None:
    """The function that a path names, if the path leads into the provider's table."""
    if path is None or path[:1] != (PROVIDER,) or len(path) not in {2, 3}:
        return None
    if path[2:] and path[1] in NAMESPACES:
        return None  # a namespace of the official clients, reported elsewhere
    return Target(path[-1], path[1] if path[2:] else DEFAULT)


def functions(look: Look, source: Source) -> None:
    for call in source.tree.calls:
        path = look.program.path(call.callee)
        if call.method is not None:
            if path == (PROVIDER,):
                _colon(look, call)
            elif call.method not in look.program.members:
                _job(look, call)
            continue
        found = target(path)
        operation = BY_NAME.get(found.name) if found else None
        if operation and path not in look.program.fields:
            _function(look, call, operation)


def _job(look: Look, call: Call) -> None:
    """A method of a prediction or training: they are plain tables."""
    local = call.callee.local if isinstance(call.callee, Name) else None
    made = look.program.value(call.callee)
    found = target(look.program.path(made.callee)) if isinstance(made, Call) and made.method is None else None
    if local is None or found is None or found.name not in _JOBS:
        return
    name, method = local.name, call.method
    ways = {
        "wait": f"Write {name} = wait({name}).",
        "cancel": f"Write replicate.cancel_prediction {{ prediction_id = {name}.id }}.",
    }
    message = f"predictions have no method {method}"
    look.report(call.at, "warning", "unknown_name", message, ways.get(str(method)), call.within)


def _colon(look: Look, call: Call) -> None:
    message = f"{PROVIDER}:{call.method}(…) passes the table {PROVIDER} itself as the arguments"
    look.report(call.at, "error", "invalid_arguments", message, f"Write {PROVIDER}.{call.method}(…).", call.within)


def _function(look: Look, call: Call, operation: Operation) -> None:
    first = argument(call, 0)
    several = len(call.arguments) > 1
    found = kind(look.program, first)
    if several or (found not in {None, "table", "nil"}):
        what = f"{len(call.arguments)} arguments" if several else f"a {found}"
        message = f"{operation.name}: expected one table of named arguments, got {what}"
        look.report(call.at, "error", "invalid_arguments", message, f"Write {_example(operation)}.", call.within)
    elif first is None or isinstance(first, Table):
        check_arguments(look, call, operation, first)


def _example(operation: Operation) -> str:
    names = [parameter.name for parameter in operation.parameters if parameter.required][:3]
    return f"{PROVIDER}.{operation.name} {{ {', '.join(f'{name} = …' for name in names)} }}"


def check_arguments(look: Look, call: Call, operation: Operation, given: Node | None, *, paged: bool = False) -> None:
    """Check the named arguments of a function; ``paged`` are those passed through `each`."""
    named = Named(look.program, given)
    parameters = {parameter.name: parameter for parameter in operation.parameters}
    aliases = {parameter.alias: parameter for parameter in operation.parameters if parameter.alias}
    for name, (at, value) in named.items.items():
        if known := parameters.get(name) or aliases.get(name):
            _check_value(look, call, known, operation, value)
        elif not (operation.name == "create_file" and name == "path"):
            _unknown(look, call, operation, name, at, paged=paged)
    missing = [name for name, one in parameters.items() if one.required and name not in named.items]
    if not named.items.keys() <= parameters.keys():
        missing = []  # the unknown name may be a misspelling of a missing one, or `path` replaces it
    if missing and not named.open and not is_open_call(call, given):
        message = f"{operation.name}: missing {', '.join(f'`{name}`' for name in missing)}"
        look.report(call.at, "error", "invalid_arguments", message, _see(operation), call.within)


def is_open_call(call: Call, given: Node | None) -> bool:
    """Whether the arguments may be the results of another call."""
    return given is None and is_open(call)


def _see(operation: Operation) -> str:
    return f"See its parameters: kosmo integrations:docs {operation.name}"


def _unknown(look: Look, call: Call, operation: Operation, name: str, at: int, *, paged: bool) -> None:
    names = [parameter.name for parameter in operation.parameters]
    near = nearest(name, names) or next(
        (one for one in names if one.endswith(f"_{name}") or name in one.split("_")), None
    )
    suggestion = (
        f"; did you mean `{near}`?" if near else f"; it takes {', '.join(names)}" if names else "; it takes none"
    )
    hint = _see(operation)
    if paged and name in _EACH:
        suggestion, hint = "; it is an option", f'Write each("{operation.name}", {{}}, {{ {name} = … }}).'
    message = f"{operation.name}: unknown parameter `{name}`{suggestion}"
    look.report(at, "error", "invalid_arguments", message, hint, call.within)


def _check_value(look: Look, call: Call, parameter: Parameter, operation: Operation, node: Node) -> None:
    value = look.literal(node)
    wrong = None if value in (NOTHING, None) else _wrong(parameter, value)
    if wrong is None and look.literal(node) is NOTHING and isinstance(node, Table) and parameter.kind == "array":
        for _, item in node.items:
            _check_item(look, call, parameter, operation, item)
    if wrong:
        message = f"{operation.name}: {wrong} - at `{parameter.name}`"
        look.report(node.at, "error", "invalid_arguments", message, _see(operation), call.within)


def _check_item(look: Look, call: Call, parameter: Parameter, operation: Operation, item: Node) -> None:
    value = look.literal(item)
    wrong = _word(parameter, value) if isinstance(value, str) else None
    if wrong:
        message = f"{operation.name}: {wrong} - at `{parameter.name}`"
        look.report(item.at, "error", "invalid_arguments", message, _see(operation), call.within)


def _wrong(parameter: Parameter, value: object) -> str | None:
    if parameter.kind == "bytes" or value in ({}, []):
        return None
    if not _fits(parameter, value):
        return f"expected {_article(parameter.kind)}, got {_shown(value)}"
    if isinstance(value, list):
        return next((wrong for item in value if (wrong := _word(parameter, item))), None)
    if isinstance(value, int) and not isinstance(value, bool):
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            return f"expected an integer from {low} to {high}, got {value}"
    return _word(parameter, value)


def _fits(parameter: Parameter, value: object) -> bool:
    if parameter.kind == "integer":
        is_digits = isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value) is not None
        return is_digits or (isinstance(value, int) and not isinstance(value, bool))
    return isinstance(value, _KINDS[parameter.kind])


def _word(parameter: Parameter, value: object) -> str | None:
    """The error for a text that does not match its enum or pattern."""
    if not isinstance(value, str):
        return None
    if parameter.enum and value not in parameter.enum:
        near = nearest(value, parameter.enum)
        suggestion = f"; did you mean {near}?" if near else ""
        return f"expected one of {', '.join(parameter.enum)}, got {_shown(value)}{suggestion}"
    if parameter.pattern and parameter.kind == "string" and not re.search(parameter.pattern, value):
        return f"expected {parameter.expected or parameter.pattern}, got {_shown(value)}"
    return None


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value[:60]}"'
    if isinstance(value, dict | list):
        return "a table"
    return str(value).lower()
