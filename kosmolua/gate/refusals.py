"""Refusals of the gate: each names the rule and how to allow the call."""

from __future__ import annotations

from kosmolua.errors import PermissionDeniedError
from kosmolua.gate.budget import starts_compute
from kosmolua.gate.policy import Decision
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation

NO_TERMINAL = "there is no terminal to ask on"


def denied(operation: Operation, decision: Decision) -> PermissionDeniedError:
    """The policy denies the call."""
    return PermissionDeniedError(
        f"{operation.name}: the policy denies this {operation.access}: {decision.rule}",
        hint=f"{_how_to_allow(operation)}, or --force",
    )


def refused(operation: Operation) -> PermissionDeniedError:
    return PermissionDeniedError(f"{operation.name}: you refused it", hint="run the command again to be asked again")


def unasked(operation: Operation, rule: str, absent: str = NO_TERMINAL) -> PermissionDeniedError:
    """``absent`` is the reason why nobody could be asked."""
    return PermissionDeniedError(
        f"{operation.name}: this {operation.access} needs approval, and {absent}: {rule}",
        code="approval_required",
        hint=f"{_how_to_allow(operation)}, or bypass the policy: --force",
    )


def unpriced(operation: Operation, rule: str, absent: str = NO_TERMINAL) -> PermissionDeniedError:
    error = unasked(operation, rule, absent)
    error.hint = "add its price to config.toml (see kosmo integrations:docs budgets), or limit something else"
    if not starts_compute(operation):
        error.hint = "set min_instances to 0, or run it on a terminal to be asked"
    return error


def _how_to_allow(operation: Operation) -> str:
    always = f"kosmo integrations:configure {catalogue.PROVIDER} --{operation.access} allow"
    return f"allow it for this command: --{operation.access} allow, or always: {always}"
