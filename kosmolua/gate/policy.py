"""Whether a call is allowed: a pure function of the rules and the call.

A rule selects functions by glob, and may have conditions on the account and on arguments. The most specific matching
rule decides; of equally specific rules, the strictest. If no rule matches, the verdict of the access class, ``read`` or
``write``, applies.
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
from kosmolua.replicate.catalogue import CUSTOM, Access, Operation
from kosmolua.settings import config
from kosmolua.settings.config import VERDICTS, Settings, Value, Verdict

DERIVED = ("model", "deployment")  # names in conditions that are derived from arguments
_KNOWN: dict[str, Verdict] = {"allow": "allow", "ask": "ask", "deny": "deny"}
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REFERENCE = re.compile(rf"({_NAME}/{_NAME})(?::({_NAME}))?")
_IDENTIFIER = re.compile(_NAME)
_TRUE, _FALSE = frozenset({"true", "t", "1", "on", "yes", "y"}), frozenset({"false", "f", "0", "off", "no", "n"})
_WILD = re.compile(r"[*?\[]")
_EXACT = 1000  # a whole name is more specific than any glob


class Condition(Struct, frozen=True):
    """What an argument must be: text that matches the glob, or, if the rule has a number or boolean, that value in any
    form the API accepts.
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
    """A verdict for the functions that match one of the globs, if all conditions hold.

    ``text`` is the rule for people, with its origin. ``number`` is its place in the file, 0 for an access class.
    """

    verdict: Verdict
    text: str
    functions: tuple[str, ...] = ("*",)
    conditions: tuple[Condition, ...] = ()
    origin: str = ""
    number: int = 0


class Policy(Struct, frozen=True):
    """``classes`` has the rule of each access class, ``rules`` the more specific ones. A flag that restricts a class is
    a ``ceiling``: no rule can allow what it forbids.
    """

    classes: Mapping[Access, Rule] = {}
    rules: tuple[Rule, ...] = ()
    ceilings: frozenset[Access] = frozenset()
    _naming: dict[str, tuple[Rule, ...]] = msgspec.field(default_factory=dict)

    def naming(self, operation: Operation) -> tuple[Rule, ...]:
        """The rules whose globs match the function, most specific first; they are sorted only once."""
        found = self._naming.get(operation.name)
        if found is None:
            named = [rule for rule in self.rules if any(_fits(operation, glob) for glob in rule.functions)]
            found = tuple(sorted(named, key=lambda rule: _rank(rule, operation), reverse=True))
            self._naming[operation.name] = found
        return found


class Call(Struct, frozen=True):
    """The call to decide on: function, account and arguments. ``complete`` means that all arguments are known, so that
    a missing one is absent.
    """

    operation: Operation
    account: str = config.DEFAULT_ACCOUNT
    arguments: Mapping[str, Any] = {}
    from_script: bool = False
    complete: bool = False


class Decision(Struct, frozen=True):
    """A verdict and the rule that gives it. ``secret``: the answer has a secret, which no access class allows."""

    verdict: Verdict
    rule: str
    origin: str = ""
    number: int = 0
    secret: bool = False


def policy_of(settings: Settings) -> Policy:
    """The policy in the settings. An unknown verdict counts as deny.

    Raises a `ConfigurationError` for an invalid rule, since ignoring it could allow a forbidden call.
    """
    said: dict[Access, Value[str]] = {"read": settings.read, "write": settings.write}
    return Policy(
        {access: _class_rule(access, value) for access, value in said.items()},
        tuple(_rule(rule, origin, number) for number, origin, rule in _numbered(settings)),
        frozenset(access for access, value in said.items() if value.origin == f"--{access}" and value.value != "allow"),
    )


def decide(policy: Policy, call: Call) -> Decision:
    """The verdict for one call, and the rule that gives it. Without any rule the verdict is deny.

    A script gets an answer that contains a secret only if a rule allows that function by its full name.
    """
    by_class = policy.classes.get(call.operation.access)
    found = _deciding(policy, call) if policy.rules else by_class
    if found is None:
        return Decision("deny", "no rule")
    if by_class and call.operation.access in policy.ceilings and _stricter(by_class.verdict, found.verdict):
        found = by_class
    if call.operation.secret and call.from_script and found.verdict == "allow" and not _names(found, call.operation):
        return Decision("ask", f"{call.operation.name} answers with a secret", secret=True)
    return Decision(found.verdict, found.text, found.origin, found.number)


def matching(policy: Policy, call: Call) -> list[tuple[Rule, list[str]]]:
    """The rules that match a call, most specific first, each with its undecidable conditions."""
    rules = policy.naming(call.operation)
    return [(rule, doubts) for rule in rules if (doubts := _doubts(rule, call)) is not None]


def may_be(policy: Policy, call: Call) -> bool:
    """Whether the policy allows the function, or says to ask, for some arguments that include those of this call."""
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
    """Whether ``one`` decides every call that ``other`` matches: its undecidable conditions follow from the other's."""
    wanted = {condition.name: condition for condition in other.conditions}
    mine = {condition.name: condition for condition in one.conditions}
    return all(name in wanted and _within(wanted[name], mine[name]) for name in doubts)


def _within(one: Condition, other: Condition) -> bool:
    """Whether ``other`` matches every value that ``one`` matches. Only ``*`` covers another glob's wildcards."""
    if one.value is not None or other.value is not None:
        return one.value == other.value
    return one.glob == other.glob or (not {"?", "["} & set(other.glob) and fnmatch.fnmatchcase(one.glob, other.glob))


def _deciding(policy: Policy, call: Call) -> Rule | None:
    """The first rule that certainly matches, or the strictest rule above it that may match, if that is stricter."""
    certain, doubtful = policy.classes.get(call.operation.access), []
    for rule, doubts in matching(policy, call):
        if not doubts:
            certain = rule
            break
        doubtful.append((rule, doubts))
    strictest = max(doubtful, key=lambda pair: VERDICTS.index(pair[0].verdict), default=None)
    if strictest and (certain is None or _stricter(strictest[0].verdict, certain.verdict)):
        rule, doubts = strictest
        return msgspec.structs.replace(
            rule, text=f"{rule.text}; the call does not determine its {' and '.join(doubts)}"
        )
    return certain


def _stricter(one: Verdict, other: Verdict) -> bool:
    return VERDICTS.index(one) > VERDICTS.index(other)


def _rank(rule: Rule, operation: Operation) -> tuple[int, int, int, int]:
    """How specific a rule is: number of conditions, literal length of the function glob, then of the conditions."""
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


class Fact(Struct, frozen=True):
    """The values that a call has for a condition's name, and whether a part could not be parsed."""

    values: tuple[Any, ...] = ()
    unclear: bool = False


def _doubts(rule: Rule, call: Call) -> list[str] | None:
    """None if a condition does not hold, else the names of the undecidable conditions."""
    doubts = []
    for condition in rule.conditions:
        holds = _holds(condition, call)
        if holds is False:
            return None
        if holds is None:
            doubts.append(condition.name)
    return doubts


def _holds(condition: Condition, call: Call) -> bool | None:
    """Whether a condition holds; None if undecidable."""
    known = _fact_of(call, condition.name)
    found = {condition.holds(value) for value in known.values}
    if len(found) == 1 and (not known.unclear or (condition.name == "version" and found == {True})):
        return found.pop()  # a version is compared as text, however the API parses it
    if not known.values and not known.unclear and call.complete and call.operation.parameter(condition.name):
        return False  # the argument is absent
    return None


def fact(call: Call, name: str) -> str | None:
    """The call's value for a condition's name, as text; None if unknown. Models are in lower case."""
    known = _fact_of(call, name)
    if known.unclear or len(set(map(str, known.values))) != 1:
        return None
    value = known.values[0]
    return value if isinstance(value, str) else _as_text(value)


def names(call: Call, name: str) -> bool:
    """Whether the call has a value for a condition's name, even one that cannot be parsed."""
    return _fact_of(call, name) != Fact()


def _fact_of(call: Call, name: str) -> Fact:
    if name == "account":
        return Fact((call.account,))
    if name == "model":
        return _models(call.arguments)
    if name == "deployment":
        return _paired(call.arguments, "deployment")
    value: Any = call.arguments
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if name == "version":
        return _versions(value if value is not None else call.arguments.get("version_id"))
    return Fact() if value is None else Fact((value,))


def _models(arguments: Mapping[str, Any]) -> Fact:
    """All models that the arguments name. A bare version names no model, and does not count as unclear."""
    pair = _paired(arguments, "model")
    values, unclear = list(pair.values), pair.unclear
    for name in ("model", "version"):
        given = arguments.get(name)
        match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if match:
            values.append(match[1].lower())
        elif given is not None:
            unclear |= not (name == "version" and isinstance(given, str) and _IDENTIFIER.fullmatch(given))
    return Fact(tuple(values), unclear)


def _versions(given: Any) -> Fact:
    """The version's id, else the unparsed text, which is unclear unless a rule matches it literally."""
    if given is None:
        return Fact()
    match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
    if match and match[2]:
        return Fact((match[2],))
    return Fact((given,), unclear=not (isinstance(given, str) and _IDENTIFIER.fullmatch(given)))


def _paired(arguments: Mapping[str, Any], kind: str) -> Fact:
    given: list[Any] = [arguments.get(f"{kind}_{part}") for part in ("owner", "name")]
    if isinstance(whole := arguments.get(kind), str) and kind == "deployment":
        given = list(whole.split("/")[:2])  # as written in a policy query
    if all(isinstance(part, str) and _IDENTIFIER.fullmatch(part) for part in given):
        pair = f"{given[0]}/{given[1]}"
        return Fact((pair.lower() if kind == "model" else pair,))
    return Fact((), unclear=any(part is not None for part in given))


def _as_text(value: Any) -> str:
    """The value as JSON; 1.0 and 1 give the same text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _is_value(found: Any, wanted: float | bool) -> bool:
    """Whether a value is that number or boolean, or text that the API, which is written in Python, parses as it."""
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
    """``owner/name`` if the arguments name a model; None for a bare version or a deployment."""
    for name in ("model", "version"):
        given = arguments.get(name)
        match = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if match:
            return match[1]
    if _paired(arguments, "model").values:
        return f"{arguments['model_owner']}/{arguments['model_name']}"
    return None


def narrow_rule(operation: Operation, arguments: Mapping[str, Any], account: str) -> config.Rule | None:
    """The rule that always allows such a call: this function, on this account, with exactly what the call runs.

    None if the model's name cannot be parsed.
    """
    call = Call(operation, account, arguments)
    facts = {name: _fact_of(call, name) for name in ("model", "deployment", "version")}
    named = arguments.keys() & {"model", "model_owner", "model_name"}
    if facts["deployment"].unclear or (facts["model"].unclear and named):
        return None
    values = ((name, facts[name].values[0]) for name in facts if facts[name].values)
    conditions: dict[str, str | int | float | bool] = {name: literal(str(value)) for name, value in islice(values, 1)}
    return config.Rule("allow", operation.name, literal(account), conditions)


def literal(text: str) -> str:
    """A glob that matches only this text."""
    return _WILD.sub(lambda found: f"[{found[0]}]", text)


# Reading rules ----------------------------------------------------------------------------------------------------


def _class_rule(access: Access, value: Value[str]) -> Rule:
    return Rule(_KNOWN.get(value.value, "deny"), f"{access}={value.value} ({value.origin})", origin=value.origin)


def _numbered(settings: Settings) -> Iterable[tuple[int, str, config.Rule]]:
    """Each rule with its number in its file, and the file."""
    counts: dict[str, int] = {}
    for origin, rule in settings.rules:
        place = counts[origin] = counts.get(origin, 0) + 1
        yield settings.numbers.get(origin, {}).get(place, place), origin, rule


def _rule(said: config.Rule, file: str, number: int) -> Rule:
    origin = f"{file}, rule {number}"
    functions = tuple(_glob(glob, origin) for glob in said.globs)
    if not functions:
        raise ConfigurationError(f"{origin}: `functions` is empty", hint='omit `functions`, or list some: ["create_*"]')
    _check_conditions(functions, said.arguments, origin)
    conditions = [Condition("account", said.account)] if said.account is not None else []
    conditions += [_condition(name, value) for name, value in said.arguments.items()]
    words = " ".join(f"{condition.name}={condition.glob}" for condition in conditions)
    text = f"{said.verdict} {', '.join(functions)}{' where ' if words else ''}{words} ({origin})"
    return Rule(said.verdict, text, functions, tuple(conditions), file, number)


def _condition(name: str, value: str | float | bool) -> Condition:
    if isinstance(value, str):
        return Condition(name, value.lower() if name == "model" else value)
    return Condition(name, _as_text(value), value)


def _glob(glob: str, origin: str) -> str:
    """The glob for short names. Raises a `ConfigurationError` if it matches no function."""
    if glob.startswith(CUSTOM):
        return glob  # the settings do not know the host's own functions
    found = catalogue.find(glob)
    name = found.name if found else glob.removeprefix(f"{catalogue.PROVIDER}.").removeprefix(f"{catalogue.PROVIDER}_")
    if not named(name):
        from kosmolua.replicate.nearest import nearest

        near = nearest(name, [operation.name for operation in catalogue.OPERATIONS])
        raise ConfigurationError(
            f"{origin}: unknown function {glob[:100]!r}" + (f"; did you mean {near[0]}?" if near else ""),
            hint="list all functions: kosmo integrations:replicate",
        )
    return name


@lru_cache(maxsize=1024)
def named(glob: str) -> tuple[Operation, ...]:
    """The operations that a glob matches, including the transfers of files and streams."""
    known = (*catalogue.OPERATIONS, *catalogue.TRANSFERS)
    return tuple(operation for operation in known if _fits(operation, glob))


def _check_conditions(functions: tuple[str, ...], conditions: Mapping[str, Any], origin: str) -> None:
    operations = {operation for glob in functions for operation in named(glob)}
    names = {*DERIVED, *(parameter.name for operation in operations for parameter in operation.parameters)}
    for name, value in conditions.items():
        _check_value(name, value, origin)
        if name.partition(".")[0] not in names and not any(glob.startswith(CUSTOM) for glob in functions):
            raise ConfigurationError(
                f"{origin}: none of the rule's functions has an argument {name[:100]!r}",
                hint=f"conditions may use {', '.join(sorted(names))}",
            )


def _check_value(name: str, value: str | float | bool, origin: str) -> None:
    """Raise a `ConfigurationError` for a value that nothing can match; such a rule has no effect."""
    if name in DERIVED and not (isinstance(value, str) and ("/" in value or _WILD.search(value))):
        raise ConfigurationError(
            f"{origin}: expected {name} = owner/name or a pattern, got {str(value)[:100]!r}",
            hint=f'example: {name} = "meta/*"',
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{origin}: expected a finite number, got {value} - at {name[:100]!r}")
