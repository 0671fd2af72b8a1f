"""Literal inputs of models, checked against the model's schema if known."""

from __future__ import annotations

import re
from shlex import quote
from typing import NamedTuple

from kosmolua.check.look import NOTHING, Look, Named, argument, table_of
from kosmolua.check.names import nearest
from kosmolua.check.program import Source
from kosmolua.check.rules.calls import target
from kosmolua.check.rules.helpers import TAKE_A_MODEL, uses
from kosmolua.check.tree import Call, Node, Table
from kosmolua.replicate.catalogue import BY_NAME
from kosmolua.replicate.inputs import Input, Inputs

_FILE_NAME = re.compile(
    r"(?i)[^\s:]{1,200}\.(png|jpe?g|gif|webp|bmp|tiff?|svg|mp3|wav|flac|ogg|m4a|mp4|mov|webm|avi|mkv|pdf|zip|csv)"
)
_FILE_WORD = re.compile(
    r"(?i)(^|_)(image|images|img|mask|audio|video|file|photo|picture|frame|document|pdf|zip)(_|s?$)"
)


class Given(NamedTuple):
    """A model's input in a call. ``exact``: the input is sent unchanged, without conversions."""

    call: Call
    reference: str
    node: Node
    exact: bool = False


def inputs(look: Look, source: Source) -> None:
    for given in _given(look, source):
        version = look.world.version(given.reference) if given.reference else None
        named = Named(look.program, given.node)
        if version and version.inputs.fields:
            _check(look, given, named, version.inputs)
        else:
            _guess(look, given, named)


def _given(look: Look, source: Source) -> list[Given]:
    """Every input that is a table in the script, with its model if known."""
    found = []
    for use in uses(look, source):
        node, options = table_of(look.program, argument(use.call, 1)), argument(use.call, 2)
        if use.name in TAKE_A_MODEL and node and _is_validated(look, options):
            found.append(Given(use.call, _text(look.literal(argument(use.call, 0))), node))
    for call in source.tree.calls:
        called = target(look.program.path(call.callee)) if call.method is None else None
        if called and called.name in BY_NAME and BY_NAME[called.name].starts == "prediction":
            arguments = Named(look.program, argument(call, 0))
            item = arguments.items.get("input")
            if item and isinstance(item[1], Table):
                found.append(Given(call, _reference(look, arguments), item[1], exact=True))
    return found


def _is_validated(look: Look, options: Node | None) -> bool:
    if options is not None and not isinstance(options, Table):
        return False
    item = Named(look.program, options).items.get("validate")
    return item is None or look.literal(item[1]) is True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _reference(look: Look, arguments: Named) -> str:
    given = {name: _text(look.literal(value)) for name, (_, value) in arguments.items.items()}
    if given.get("version"):
        return given["version"]
    for prefix, kind in (("", "model"), ("deployments/", "deployment")):
        owner, name = given.get(f"{kind}_owner"), given.get(f"{kind}_name")
        if owner and name:
            return f"{prefix}{owner}/{name}"
    return ""


# With a schema ----------------------------------------------------------------------------------------------------


def _check(look: Look, given: Given, named: Named, known: Inputs) -> None:
    fields = {field.name: field for field in known.fields}
    for name, (at, node) in named.items.items():
        if name in fields:
            _check_value(look, given, fields[name], node)
            if fields[name].shape.deprecated:
                message = f"{given.reference}: input `{name}` is deprecated"
                look.report(at, "warning", "deprecated", message, _see(given), given.call.within)
        elif not known.open:
            near = nearest(name, fields)
            suggestion = f"; did you mean `{near}`?" if near else f"; it takes {', '.join(list(fields)[:20])}"
            if name == "input" and isinstance(look.program.value(node), Table) and fields:
                suggestion = f"; pass its fields directly: {{ {next(iter(fields))} = … }}"
            _report(look, given, at, f"unknown input `{name}`{suggestion}")
    missing = [field.name for field in known.fields if field.required and field.name not in named.items]
    if missing and not named.open and named.items.keys() <= fields.keys():
        _report(look, given, given.call.at, f"missing {', '.join(f'`{name}`' for name in missing)}")


def _check_value(look: Look, given: Given, field: Input, node: Node) -> None:
    value = look.literal(node)
    if value is NOTHING or value is None:
        return
    one = Inputs((field,), open=True)
    for problem in (one.wrong if given.exact else one.check)({field.name: value})[:1]:
        _report(look, given, node.at, problem)


def _report(look: Look, given: Given, at: int, message: str) -> None:
    look.report(at, "error", "invalid_arguments", f"{given.reference}: {message}", _see(given), given.call.within)


def _see(given: Given) -> str:
    return f"See its inputs: kosmo model {quote(given.reference)}"


# Without one ------------------------------------------------------------------------------------------------------


def _guess(look: Look, given: Given, named: Named) -> None:
    """Common mistakes in the input of a model whose schema is unknown."""
    for name, (_, node) in named.items.items():
        value = look.literal(node)
        if isinstance(value, str) and _FILE_WORD.search(name) and _FILE_NAME.fullmatch(value):
            message = f'`{name}` is the text "{value}", not the file of that name'
            look.report(node.at, "warning", "plain_file", message, f'Write file("{value}").', given.call.within)
    if list(named.items) == ["input"] and isinstance(named.items["input"][1], Table) and given.call.method is None:
        at = named.items["input"][0]
        message = "the inputs are in a table `input` within the input"
        look.report(at, "warning", "nested_input", message, 'Write run(model, { prompt = "…" }).', given.call.within)
