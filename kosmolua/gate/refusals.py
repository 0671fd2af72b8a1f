"""Refusals of the gate: each names the rule and how to allow the call."""

from __future__ import annotations

from kosmolua.errors import PermissionDeniedError
from kosmolua.gate.budget import starts_compute
from kosmolua.gate.policy import Decision
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings import paths

NO_TERMINAL = "there is no terminal to ask on"


def denied(operation: Operation, decision: Decision) -> PermissionDeniedError:
    """The policy denies the call."""
    return PermissionDeniedError(
        f"{operation.name}: the policy denies this {operation.access}: {decision.rule}",
        hint=f"{_how_to_allow(operation, decision)}, or --force",
    )


def refused(operation: Operation) -> PermissionDeniedError:
    return PermissionDeniedError(f"{operation.name}: you refused it", hint="run the command again to be asked again")


def unasked(operation: Operation, decision: Decision, absent: str = NO_TERMINAL) -> PermissionDeniedError:
    """``absent`` is the reason why nobody could be asked."""
    return PermissionDeniedError(
        f"{operation.name}: this {operation.access} needs approval, and {absent}: {decision.rule}",
        code="approval_required",
        hint=f"{_how_to_allow(operation, decision)}, or bypass the policy: --force",
    )


def unpriced(operation: Operation, rule: str, absent: str = NO_TERMINAL) -> PermissionDeniedError:
    error = unasked(operation, Decision("ask", rule), absent)
    error.hint = "add its price to config.toml (see kosmo integrations:docs budgets), or limit something else"
    if not starts_compute(operation):
        error.hint = "set min_instances to 0, or run it on a terminal to be asked"
    return error


def _how_to_allow(operation: Operation, decision: Decision) -> str:
    """What to change, given what decided: a flag changes neither a rule nor what a project's file says for later."""
    flag = f"--{operation.access} allow"
    if decision.secret:
        return f'add a rule to config.toml with verdict = "allow" and functions = "{operation.name}"'
    if decision.number:
        return f"change rule {decision.number} in {decision.origin}"
    if decision.origin == f"--{operation.access}":
        return f"allow it for this command: {flag}"
    if decision.origin.endswith(paths.PROJECT_FILE):
        always = f"change replicate.permissions.{operation.access} in {decision.origin}"
    else:
        always = f"kosmo integrations:configure {catalogue.PROVIDER} {flag}"
    return f"allow it for this command: {flag}, or always: {always}"
