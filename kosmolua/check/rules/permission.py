"""Calls that the script's header or the policy would refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from kosmolua.check.look import NOTHING, Look, Named, argument
from kosmolua.check.program import Source
from kosmolua.check.rules.calls import target
from kosmolua.check.rules.files import method_saves
from kosmolua.check.rules.helpers import TAKE_A_MODEL, uses
from kosmolua.check.tree import Call, Table
from kosmolua.errors import KosmoError, UsageError
from kosmolua.gate import policy
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import BY_NAME, Operation
from kosmolua.replicate.versions import parse


class ScriptCall(NamedTuple):
    """A call that the script makes: one of ``operations``, with the arguments that are known."""

    call: Call
    operations: tuple[Operation, ...]
    account: str
    arguments: Mapping[str, Any]


def permission(look: Look, source: Source) -> None:
    for wanted in _wanted(look, source):
        refusals = [_refusal(look, operation, wanted) for operation in wanted.operations]
        first = refusals[0] if refusals else None
        if first and all(refusals):
            severity = look.certain(wanted.call.at, wanted.call.within)
            look.report(wanted.call.at, severity, first.code, first.message, first.hint, wanted.call.within)


def _refusal(look: Look, operation: Operation, wanted: ScriptCall) -> KosmoError | None:
    call = policy.Call(operation, wanted.account, wanted.arguments, from_script=True)
    needs = look.world.needs
    if needs:
        seen = policy.fact(call, "model") is not None
        try:
            (needs if seen else replace(needs, models=None)).check(call)
        except KosmoError as error:
            return error
    return look.world.refusal(operation, wanted.account, wanted.arguments)


def _wanted(look: Look, source: Source) -> Iterator[ScriptCall]:
    for call in source.tree.calls:
        found = target(look.program.path(call.callee)) if call.method is None else None
        operation = BY_NAME.get(found.name) if found else None
        if found and operation and len(call.arguments) < 2:  # noqa: PLR2004 - more arguments are reported elsewhere
            yield ScriptCall(call, (operation,), found.account, _literals(look, argument(call, 0)))
    for use in uses(look, source):
        first = look.literal(argument(use.call, 0))
        if use.name in TAKE_A_MODEL and isinstance(first, str):
            yield from _runs(use.call, first, use.account)
        elif use.name == "download":
            yield ScriptCall(use.call, (catalogue.DOWNLOAD,), use.account, {})
        elif use.name == "each" and isinstance(first, str) and first in BY_NAME:
            yield ScriptCall(use.call, (BY_NAME[first],), use.account, _literals(look, argument(use.call, 1)))
    for call in (call for call, certain in method_saves(look, source) if certain):
        yield ScriptCall(call, (catalogue.DOWNLOAD,), "", {})


def _runs(call: Call, reference: str, account: str) -> Iterator[ScriptCall]:
    """The functions that may run a model."""
    try:
        meant = parse(reference)
    except UsageError:
        return
    names = {"model_owner": meant.owner, "model_name": meant.name}
    if meant.deployment:
        names = {"deployment_owner": meant.owner, "deployment_name": meant.name}
        yield ScriptCall(call, (BY_NAME["create_deployment_prediction"],), account, names)
    elif meant.version:
        yield ScriptCall(call, (BY_NAME["create_prediction"],), account, {"version": reference})
    else:
        both = (BY_NAME["create_model_prediction"], BY_NAME["create_prediction"])
        yield ScriptCall(call, both, account, names)


def _literals(look: Look, node: object) -> dict[str, Any]:
    if not isinstance(node, Table):
        return {}
    items = Named(look.program, node).items
    values = {name: look.literal(value) for name, (_, value) in items.items()}
    return {name: value for name, value in values.items() if value is not NOTHING}
