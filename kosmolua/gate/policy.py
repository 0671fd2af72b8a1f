"""May this be called? A pure function of the rules and the call.

A rule names functions by glob, and may look at the account and at arguments. Of the rules that match, the most
specific decides, and the strictest of those that are equally specific. An access class, ``read`` or ``write``, has a
verdict of its own for what no rule speaks of.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
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
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REFERENCE = re.compile(rf"({_NAME}/{_NAME})(?::({_NAME}))?")
_IDENTIFIER = re.compile(_NAME)
_TRUE, _FALSE = frozenset({"true", "t", "1", "on", "yes", "y"}), frozenset({"false", "f", "0", "off", "no", "n"})
_WILD = re.compile(r"[*?\[]")
_EXACT = 1000  # a whole name is more specific than any glob


class Condition(Struct, frozen=True):
    """What an argument must be: text that the glob matches, or, if the rule says a number or a boolean, that value in
    any form in which the API reads it.
    """

    name: str
    glob: str
    value: float | bool | None = None

    def holds(self, found: Any) -> bool:
        if self.value is not None:
            return _is_value(found, self.value)
        text = found if isinstance(found, str) else _as_text(found)
        return fnmatch.fnmatchcase(text, self.glob)


class Rule(Struct, frozen=True):
    """A verdict for the functions that one of the globs names, where all conditions hold.

    ``text`` is how people write it, with its origin.
    """

    verdict: Verdict
    text: str
    functions: tuple[str, ...] = ("*",)
    conditions: tuple[Condition, ...] = ()


class Policy(Struct, frozen=True):
    """``classes`` has the rule of each access class, ``rules`` what is finer. A flag that tightens is a ``ceiling``:
    no rule allows what it forbids.
    """

    classes: Mapping[Access, Rule] = {}
    rules: tuple[Rule, ...] = ()
    ceilings: frozenset[Access] = frozenset()
    _naming: dict[str, tuple[Rule, ...]] = msgspec.field(default_factory=dict)

    def naming(self, operation: Operation) -> tuple[Rule, ...]:
        """The rules whose globs name the function, most specific first; they are sorted once."""
        found = self._naming.get(operation.name)
        if found is None:
            named = [rule for rule in self.rules if any(_fits(operation, glob) for glob in rule.functions)]
            found = tuple(sorted(named, key=lambda rule: _rank(rule, operation), reverse=True))
            self._naming[operation.name] = found
        return found


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
    rules = policy.naming(call.operation)
    return [(rule, doubts) for rule in rules if (doubts := _doubts(rule, call)) is not None]


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
    wanted = {condition.name: condition for condition in other.conditions}
    mine = {condition.name: condition for condition in one.conditions}
    return all(name in wanted and _within(wanted[name], mine[name]) for name in doubts)


def _within(one: Condition, other: Condition) -> bool:
    """Whether the other holds for all that the one does. A star takes in another's wildcards, and nothing else does."""
    if one.value is not None or other.value is not None:
        return one.value == other.value
    return one.glob == other.glob or (not {"?", "["} & set(other.glob) and fnmatch.fnmatchcase(one.glob, other.glob))


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
    name = max(_literal(glob) for glob in rule.functions if _fits(operation, glob))
    spelt = sum(_literal(condition.glob) for condition in rule.conditions)
    return len(rule.conditions), name, spelt, VERDICTS.index(rule.verdict)


def _fits(operation: Operation, glob: str) -> bool:
    return fnmatch.fnmatchcase(operation.name, glob)


def _literal(glob: str) -> int:
    return len(_WILD.sub("", glob)) if _WILD.search(glob) else _EXACT


def _names(rule: Rule, operation: Operation) -> bool:
    return operation.name in rule.functions


# Matching ---------------------------------------------------------------------------------------------------------


class Told(Struct, frozen=True):
    """What a call tells of a fact: the values, and whether part of it was given in a form that is not understood."""

    values: tuple[Any, ...] = ()
    unclear: bool = False


def _doubts(rule: Rule, call: Call) -> list[str] | None:
    """None if a condition does not hold, else the names of the conditions that the call leaves open."""
    doubts = []
    for condition in rule.conditions:
        holds = _holds(condition, call)
        if holds is False:
            return None
        if holds is None:
            doubts.append(condition.name)
    return doubts


def _holds(condition: Condition, call: Call) -> bool | None:
    """Whether a condition holds; None if the call does not tell."""
    told = _told(call, condition.name)
    found = {condition.holds(value) for value in told.values}
    if len(found) == 1 and (not told.unclear or (condition.name == "version" and found == {True})):
        return found.pop()  # a version is what its text is, whatever the API makes of it
    if not told.values and not told.unclear and call.complete and call.operation.parameter(condition.name):
        return False  # it is left out
    return None


def fact(call: Call, name: str) -> str | None:
    """What a condition looks at, as text; None if the call does not tell. Models are in lower case."""
    told = _told(call, name)
    if told.unclear or len(set(map(str, told.values))) != 1:
        return None
    value = told.values[0]
    return value if isinstance(value, str) else _as_text(value)


def names(call: Call, name: str) -> bool:
    """Whether the call says something about a fact, understood or not."""
    return _told(call, name) != Told()


def _told(call: Call, name: str) -> Told:
    if name == "account":
        return Told((call.account,))
    if name == "model":
        return _models(call.arguments)
    if name == "deployment":
        return _paired(call.arguments, "deployment")
    value: Any = call.arguments
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if name == "version":
        return _versions(value if value is not None else call.arguments.get("version_id"))
    return Told() if value is None else Told((value,))


def _models(arguments: Mapping[str, Any]) -> Told:
    """Every model that the arguments name. A bare version names none, and is not unclear."""
    pair = _paired(arguments, "model")
    values, unclear = list(pair.values), pair.unclear
    for name in ("model", "version"):
        given = arguments.get(name)
        match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if match:
            values.append(match[1].lower())
        elif given is not None:
            unclear |= not (name == "version" and isinstance(given, str) and _IDENTIFIER.fullmatch(given))
    return Told(tuple(values), unclear)


def _versions(given: Any) -> Told:
    """The version's id, if it is told, else the text as it is, which is unclear unless a rule spells it out."""
    if given is None:
        return Told()
    match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
    if match and match[2]:
        return Told((match[2],))
    return Told((given,), unclear=not (isinstance(given, str) and _IDENTIFIER.fullmatch(given)))


def _paired(arguments: Mapping[str, Any], kind: str) -> Told:
    given: list[Any] = [arguments.get(f"{kind}_{part}") for part in ("owner", "name")]
    if isinstance(whole := arguments.get(kind), str) and kind == "deployment":
        given = list(whole.split("/")[:2])  # as a person writes it in a question about the policy
    if all(isinstance(part, str) and _IDENTIFIER.fullmatch(part) for part in given):
        pair = f"{given[0]}/{given[1]}"
        return Told((pair.lower() if kind == "model" else pair,))
    return Told((), unclear=any(part is not None for part in given))


def _as_text(value: Any) -> str:
    """As JSON writes it; a whole number is the same text with a fraction of zero and without."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _is_value(found: Any, wanted: float | bool) -> bool:
    """Whether a value is that number or boolean, or text that the API would read as it: Python's own reading."""
    if isinstance(wanted, bool):
        text = str(int(found) if found in (0, 1) else found) if isinstance(found, int | float) else found
        return isinstance(text, str) and text.strip().lower() in (_TRUE if wanted else _FALSE)
    if isinstance(found, int | float):
        return found == wanted
    return isinstance(found, str) and _reads_as(found, wanted)


def _reads_as(text: str, wanted: float) -> bool:
    from decimal import Decimal, InvalidOperation

    try:
        exact = Decimal(text.strip()) == Decimal(str(wanted))
        return exact or (isinstance(wanted, float) and float(text) == wanted)
    except (InvalidOperation, ValueError):
        return False


def model_of(arguments: Mapping[str, Any]) -> str | None:
    """``owner/name`` where the arguments name a model: a bare version, or a deployment, does not."""
    for name in ("model", "version"):
        given = arguments.get(name)
        match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if match:
            return match[1]
    if _paired(arguments, "model").values:
        return f"{arguments['model_owner']}/{arguments['model_name']}"
    return None


def narrow_rule(operation: Operation, arguments: Mapping[str, Any], account: str) -> config.Rule | None:
    """The rule that allows such a call for good: this function, on this account, with what it runs, word for word.

    None if it names a model in a form that is not understood.
    """
    call = Call(operation, account, arguments)
    told = {name: _told(call, name) for name in ("model", "deployment", "version")}
    named = arguments.keys() & {"model", "model_owner", "model_name"}
    if told["deployment"].unclear or (told["model"].unclear and named):
        return None
    values = ((name, told[name].values[0]) for name in told if told[name].values)
    conditions: dict[str, str | int | float | bool] = {name: literal(str(value)) for name, value in islice(values, 1)}
    return config.Rule("allow", operation.name, literal(account), conditions)


def literal(text: str) -> str:
    """A glob that matches this text alone."""
    return _WILD.sub(lambda found: f"[{found[0]}]", text)


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
    _check_conditions(functions, said.arguments, origin)
    conditions = [Condition("account", said.account)] if said.account is not None else []
    conditions += [_condition(name, value) for name, value in said.arguments.items()]
    words = " ".join(f"{condition.name}={condition.glob}" for condition in conditions)
    text = f"{said.verdict} {', '.join(functions)}{' where ' if words else ''}{words} ({origin})"
    return Rule(said.verdict, text, functions, tuple(conditions))


def _condition(name: str, value: str | float | bool) -> Condition:
    if isinstance(value, str):
        return Condition(name, value.lower() if name == "model" else value)
    return Condition(name, _as_text(value), value)


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


@lru_cache(maxsize=1024)
def named(glob: str) -> tuple[Operation, ...]:
    """The operations that a glob names, the fetching of files and streams among them."""
    known = (*catalogue.OPERATIONS, *catalogue.TRANSFERS)
    return tuple(operation for operation in known if _fits(operation, glob))


def _check_conditions(functions: tuple[str, ...], conditions: Mapping[str, Any], origin: str) -> None:
    operations = {operation for glob in functions for operation in named(glob)}
    names = {*DERIVED, *(parameter.name for operation in operations for parameter in operation.parameters)}
    for name, value in conditions.items():
        _check_value(name, value, origin)
        if name.partition(".")[0] not in names:
            raise ConfigurationError(
                f"{origin}: none of its functions has an argument {name[:100]!r}",
                hint=f"conditions may ask for {', '.join(sorted(names))}",
            )


def _check_value(name: str, value: str | float | bool, origin: str) -> None:
    """Raise a `ConfigurationError` for a value that nothing can match: the rule would be without effect."""
    if name in DERIVED and not (isinstance(value, str) and ("/" in value or _WILD.search(value))):
        raise ConfigurationError(
            f"{origin}: expected {name} = owner/name or a pattern, got {str(value)[:100]!r}",
            hint=f'write it as in {name} = "meta/*"',
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{origin}: expected a finite number, got {value} - at {name[:100]!r}")
