"""May this be called? A pure function of the rules and the call.

A rule names functions by glob, and may look at the account and at arguments. Of the rules that match, the most
specific decides, and the strictest of those that are equally specific. An access class, ``read`` or ``write``, has a
verdict of its own for what no rule speaks of.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Access, Operation
from kosmolua.settings import config
from kosmolua.settings.config import VERDICTS, Settings, Value, Verdict

DERIVED = ("model", "deployment")  # what a condition may ask for beside the arguments themselves
_KNOWN: dict[str, Verdict] = {"allow": "allow", "ask": "ask", "deny": "deny"}
_REFERENCE = re.compile(r"([^/:]+/[^/:]+)(:[^/:]+)?")
_WILD = re.compile(r"[*?\[]")
_EXACT = 1000  # a whole name is more specific than any glob


class Rule(Struct, frozen=True):
    """A verdict for the functions that one of the globs names, where all conditions hold.

    ``text`` is how people write it, with its origin. ``conditions`` are pairs of a name and a glob.
    """

    verdict: Verdict
    text: str
    functions: tuple[str, ...] = ("*",)
    conditions: tuple[tuple[str, str], ...] = ()


class Policy(Struct, frozen=True):
    """``classes`` has the rule of each access class, ``rules`` what is finer. A flag that tightens is a ``ceiling``:
    no rule allows what it forbids.
    """

    classes: Mapping[Access, Rule] = {}
    rules: tuple[Rule, ...] = ()
    ceilings: frozenset[Access] = frozenset()


class Call(Struct, frozen=True):
    """What is to be decided: the function, on which account, with which arguments. They are ``complete`` where it is a
    call that is made, and what it leaves out is left out.
    """

    operation: Operation
    account: str = config.DEFAULT_ACCOUNT
    arguments: Mapping[str, Any] = {}
    from_script: bool = False
    complete: bool = False


class Decision(Struct, frozen=True):
    verdict: Verdict
    rule: str


def policy_of(settings: Settings) -> Policy:
    """The policy that settings amount to. A verdict that is none of the three is the strictest.

    Raises a `ConfigurationError` for a rule that cannot mean anything: it may be one that forbids.
    """
    said: dict[Access, Value[str]] = {"read": settings.read, "write": settings.write}
    return Policy(
        {access: _class_rule(access, value) for access, value in said.items()},
        tuple(_rule(rule, f"{origin}, rule {number}") for number, (origin, rule) in _numbered(settings.rules)),
        frozenset(access for access, value in said.items() if value.origin == f"--{access}" and value.value != "allow"),
    )


def decide(policy: Policy, call: Call) -> Decision:
    """The verdict for one call, and the rule that gives it. Where no rule speaks the answer is deny.

    A secret that the API answers with is handed to a script by a rule that names the function, and by no other.
    """
    by_class = policy.classes.get(call.operation.access)
    found = _deciding(policy, call) if policy.rules else by_class
    if found is None:
        return Decision("deny", "no rule")
    if by_class and call.operation.access in policy.ceilings and _stricter(by_class.verdict, found.verdict):
        found = by_class
    if call.operation.secret and call.from_script and found.verdict == "allow" and not _names(found, call.operation):
        return Decision("ask", f"{call.operation.name} answers with a secret")
    return Decision(found.verdict, found.text)


def matching(policy: Policy, call: Call) -> list[tuple[Rule, list[str]]]:
    """The rules that match a call, most specific first, each with the conditions that cannot be told."""
    found = [(rule, doubts) for rule in policy.rules if (doubts := _doubts(rule, call)) is not None]
    return sorted(found, key=lambda pair: _rank(pair[0], call.operation), reverse=True)


def may_be(policy: Policy, call: Call) -> bool:
    """Whether the function is allowed or asked for with some arguments, whatever those of this call are."""
    by_class = policy.classes.get(call.operation.access)
    if by_class and by_class.verdict == "deny" and call.operation.access in policy.ceilings:
        return False
    found: list[tuple[Rule, list[str]]] = []
    for rule, doubts in matching(policy, call):
        if not any(_covers(*before, rule) for before in found):
            found.append((rule, doubts))
        if not doubts:
            break
    else:
        found += [(by_class, [])] if by_class else []
    return any(rule.verdict != "deny" for rule, _ in found)


def _covers(one: Rule, doubts: list[str], other: Rule) -> bool:
    """Whether the one decides whatever the other matches: as far as globs tell, its open conditions hold then too."""
    wanted, globs = dict(other.conditions), dict(one.conditions)
    return all(name in wanted and _within(wanted[name], globs[name]) for name in doubts)


def _within(glob: str, other: str) -> bool:
    """Whether the other matches all that the glob does. A star takes in another's wildcards, and nothing else does."""
    return glob == other or (not {"?", "["} & set(other) and fnmatch.fnmatchcase(glob, other))


def _deciding(policy: Policy, call: Call) -> Rule | None:
    """The first rule that matches for certain, or the strictest of those above it that may match and are stricter."""
    certain, doubtful = policy.classes.get(call.operation.access), []
    for rule, doubts in matching(policy, call):
        if not doubts:
            certain = rule
            break
        doubtful.append((rule, doubts))
    strictest = max(doubtful, key=lambda pair: VERDICTS.index(pair[0].verdict), default=None)
    if strictest and (certain is None or _stricter(strictest[0].verdict, certain.verdict)):
        rule, doubts = strictest
        return msgspec.structs.replace(rule, text=f"{rule.text}; the call does not tell its {' and '.join(doubts)}")
    return certain


def _stricter(one: Verdict, other: Verdict) -> bool:
    return VERDICTS.index(one) > VERDICTS.index(other)


def _rank(rule: Rule, operation: Operation) -> tuple[int, int, int, int]:
    """How specific a rule is: by its conditions, by the function's name, by what the conditions spell out."""
    name = max(_literal(glob) for glob in rule.functions if fnmatch.fnmatchcase(operation.name, glob))
    spelt = sum(_literal(glob) for _, glob in rule.conditions)
    return len(rule.conditions), name, spelt, VERDICTS.index(rule.verdict)


def _literal(glob: str) -> int:
    return len(_WILD.sub("", glob)) if _WILD.search(glob) else _EXACT


def _names(rule: Rule, operation: Operation) -> bool:
    return operation.name in rule.functions


# Matching ---------------------------------------------------------------------------------------------------------


def _doubts(rule: Rule, call: Call) -> list[str] | None:
    """None where the rule does not match, else the conditions that the call leaves open."""
    if not any(fnmatch.fnmatchcase(call.operation.name, glob) for glob in rule.functions):
        return None
    doubts = []
    for name, glob in rule.conditions:
        value = fact(call, name)
        if value is None and call.complete and call.operation.parameter(name):
            return None
        if value is None:
            doubts.append(name)
        elif not fnmatch.fnmatchcase(value, glob):
            return None
    return doubts


def fact(call: Call, name: str) -> str | None:
    """What a condition looks at, as text; None where the call does not tell. Models are told in lower case."""
    if name == "account":
        return call.account
    if name == "model":
        found = model_of(call.arguments)
        return found.lower() if found else None
    if name == "deployment":
        return _pair(call.arguments, "deployment")
    value: Any = call.arguments
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if value is None or isinstance(value, str) else _as_text(value)


def _as_text(value: Any) -> str:
    """As JSON writes it; a whole number is the same text with a fraction of zero and without."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value, enc_hook=repr).decode()


def model_of(arguments: Mapping[str, Any]) -> str | None:
    """``owner/name`` where the arguments name a model: a bare version, or a deployment, does not."""
    for name in ("model", "version"):
        given = arguments.get(name)
        match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if match:
            return match[1]
    return _pair(arguments, "model")


def _pair(arguments: Mapping[str, Any], kind: str) -> str | None:
    owner, name = arguments.get(f"{kind}_owner"), arguments.get(f"{kind}_name")
    if not isinstance(owner, str) or not isinstance(name, str) or "/" in owner + name:
        return None
    return f"{owner}/{name}"


# Reading rules ----------------------------------------------------------------------------------------------------


def _class_rule(access: Access, value: Value[str]) -> Rule:
    return Rule(_KNOWN.get(value.value, "deny"), f"{access}={value.value} ({value.origin})")


def _numbered(rules: Iterable[tuple[str, config.Rule]]) -> Iterable[tuple[int, tuple[str, config.Rule]]]:
    """Each rule with its place among those of its file."""
    counts: dict[str, int] = {}
    for origin, rule in rules:
        counts[origin] = counts.get(origin, 0) + 1
        yield counts[origin], (origin, rule)


def _rule(said: config.Rule, origin: str) -> Rule:
    functions = tuple(_glob(glob, origin) for glob in said.globs)
    if not functions:
        raise ConfigurationError(
            f"{origin}: it names no function", hint='leave `functions` out, or name some: ["create_*"]'
        )
    conditions = [("account", said.account)] if said.account is not None else []
    conditions += [(name, _text(name, value)) for name, value in said.arguments.items()]
    _check_conditions(functions, said.arguments, origin)
    words = " ".join(f"{name}={glob}" for name, glob in conditions)
    text = f"{said.verdict} {', '.join(functions)}{' where ' if words else ''}{words} ({origin})"
    return Rule(said.verdict, text, functions, tuple(conditions))


def _text(name: str, value: str | float | bool) -> str:
    text = value if isinstance(value, str) else _as_text(value)
    return text.lower() if name == "model" else text


def _glob(glob: str, origin: str) -> str:
    """The glob, with short names. Raises a `ConfigurationError` where it names no function."""
    found = catalogue.find(glob)
    name = found.name if found else glob.removeprefix(f"{catalogue.PROVIDER}.").removeprefix(f"{catalogue.PROVIDER}_")
    if not named(name):
        from difflib import get_close_matches

        near = get_close_matches(name, [operation.name for operation in catalogue.OPERATIONS], n=1)
        raise ConfigurationError(
            f"{origin}: no function is called {glob[:100]!r}" + (f"; did you mean {near[0]}?" if near else ""),
            hint="see them all: kosmo integrations:replicate",
        )
    return name


def named(glob: str) -> list[Operation]:
    """The operations that a glob names, the fetching of files and streams among them."""
    known = (*catalogue.OPERATIONS, *catalogue.TRANSFERS)
    return [operation for operation in known if fnmatch.fnmatchcase(operation.name, glob)]


def _check_conditions(functions: tuple[str, ...], conditions: Mapping[str, Any], origin: str) -> None:
    operations = {operation for glob in functions for operation in named(glob)}
    names = {*DERIVED, *(parameter.name for operation in operations for parameter in operation.parameters)}
    for name in conditions:
        if name.partition(".")[0] not in names:
            raise ConfigurationError(
                f"{origin}: none of its functions has an argument {name[:100]!r}",
                hint=f"conditions may ask for {', '.join(sorted(names))}",
            )
