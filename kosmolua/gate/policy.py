"""May this be called? A pure function of the rules and the call."""

from __future__ import annotations

from msgspec import Struct

from kosmolua.config import Settings, Value, Verdict
from kosmolua.replicate.catalogue import Access, Operation

_KNOWN: dict[str, Verdict] = {"allow": "allow", "ask": "ask", "deny": "deny"}


class Rule(Struct, frozen=True):
    """A verdict for an access class. ``text`` is how people write it, with its origin: ``write=ask (default)``."""

    access: Access
    verdict: Verdict
    text: str


class Decision(Struct, frozen=True):
    verdict: Verdict
    rule: str


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules that settings amount to. A verdict that is none of the three is the strictest."""
    return (_rule("read", settings.read), _rule("write", settings.write))


def _rule(access: Access, value: Value[str]) -> Rule:
    return Rule(access, _KNOWN.get(value.value, "deny"), f"{access}={value.value} ({value.origin})")


def decide(rules: tuple[Rule, ...], operation: Operation, *, from_script: bool = False) -> Decision:
    """The verdict for one call, and the rule that gives it. Where no rule speaks the answer is deny.

    A secret that the API answers with is never handed to a script because reading in general is allowed.
    """
    rule = next((rule for rule in rules if rule.access == operation.access), None)
    if rule is None:
        return Decision("deny", "no rule")
    if operation.secret and from_script and rule.verdict == "allow":
        return Decision("ask", f"{operation.name} answers with a secret")
    return Decision(rule.verdict, rule.text)
