"""The description in a script's header, for people and agents: what the script does, and its arguments.

--@ describe: Draw a picture and enlarge it
--@ arg prompt string: what to draw
--@ arg scale integer = 2: how many times larger
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.needs import header

Type = Literal["string", "number", "integer", "boolean", "list"]
_TYPES = ("string", "number", "integer", "boolean", "list")
MAX_ARGUMENTS = 100  # of a script
_ARGUMENT = re.compile(r"arg[:\s]\s*(?P<name>[A-Za-z_]\w{0,39})\s+(?P<type>\w+)(?P<optional>\?)?"
                       r"(?:\s*=\s*(?P<default>\"[^\"]*\"|[^\s:]+))?(?:\s*:\s*|\s+|$)(?P<about>.*)")  # fmt: skip
_DESCRIBE = re.compile(r"describe(?:\s*:\s*|\s+)(?P<text>.+)")
_WORDS: dict[str, bool] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Argument(Struct, frozen=True, kw_only=True):
    """An argument of a script. ``default`` is None unless the header states one."""

    name: str
    type: Type
    about: str = ""
    required: bool = True
    default: Any = None


class Description(Struct, frozen=True):
    """A script's description from its header."""

    summary: str = ""
    arguments: tuple[Argument, ...] = ()

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return {
            "type": "object",
            "properties": {each.name: _property(each) for each in self.arguments},
            "required": [each.name for each in self.arguments if each.required],
            "additionalProperties": False,
        }

    def values(self, given: Mapping[str, Any], script: str) -> dict[str, Any]:
        """The arguments converted to their types, with defaults filled in. Raises an `ArgumentError`."""
        known = {each.name: each for each in self.arguments}
        for name in given:
            if name not in known:
                from kosmolua.replicate.structs import suggestion

                message = f"{script}: unknown argument `{name[:100]}`{suggestion(name, [*known])}"
                raise ArgumentError(message, hint=self.hint)
        found = {each.name: each.default for each in self.arguments if each.default is not None}
        for name, value in given.items():
            if value is not None:
                found[name] = _value(known[name], value, script, self.hint)
        missing = [f"`{each.name}`" for each in self.arguments if each.required and each.name not in found]
        if missing:
            raise ArgumentError(f"{script}: missing {', '.join(missing)}", hint=self.hint)
        return found

    @property
    def required(self) -> list[str]:
        """The arguments without a default, as words of a command line: ``prompt=STRING``."""
        return [f"{each.name}={each.type.upper()}" for each in self.arguments if each.required]

    @property
    def usage(self) -> str:
        """The arguments as words of a command line: ``prompt=STRING [scale=INTEGER]``."""
        words = [(f"{each.name}={each.type.upper()}", each.required) for each in self.arguments]
        return " ".join(word if required else f"[{word}]" for word, required in words)

    @property
    def hint(self) -> str:
        return f"give its arguments as {self.usage}" if self.arguments else "leave it out: the script takes none"


def by_name(source: bytes, words: Sequence[str], script: str) -> dict[str, Any] | None:
    """The arguments of a script from words such as ``prompt=a fox``, or None if its header declares no arguments.

    Raises a `UsageError` or an `ArgumentError`.
    """
    found = describe(source, script)
    return found.values(pairs(words, script, found), script) if found.arguments else None


def pairs(words: Sequence[str], script: str, found: Description) -> dict[str, str]:
    """The values of words such as ``prompt=a fox``, by name. Raises a `UsageError`."""
    given = dict[str, str]()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{script}: expected NAME=VALUE, got {word[:100]!r}", hint=found.hint)
        given[name] = value
    return given


def describe(source: bytes, script: str) -> Description:
    """The description in the header of a script. Raises a `UsageError` if it is invalid."""
    summary, arguments = "", list[Argument]()
    for number, line in header(source):
        text = line.strip()
        if found := _DESCRIBE.fullmatch(text):
            summary = found["text"].strip()
        elif re.match(r"arg\b", text):
            made = _argument(text, f"{script}:{number}")
            if any(each.name == made.name for each in arguments):
                raise UsageError(f"{script}: argument {made.name} is declared twice")
            if len(arguments) == MAX_ARGUMENTS:
                raise UsageError(
                    f"{script}:{number}: more than {MAX_ARGUMENTS} arguments",
                    hint="declare an argument of type list, or read a file",
                )
            arguments.append(made)
    return Description(summary, tuple(arguments))


def _argument(text: str, where: str) -> Argument:
    found = _ARGUMENT.fullmatch(text)
    if found is None or found["type"] not in _TYPES:
        raise UsageError(
            f"{where}: expected --@ arg NAME TYPE: WHAT, got {text[:100]!r}",
            hint=f"example: --@ arg prompt string: what to draw; types are {', '.join(_TYPES)}",
        )
    default = found["default"]
    bare = Argument(name=found["name"], type=found["type"], about=found["about"].strip())  # type: ignore[arg-type]
    value = None if default is None else _value(bare, default.strip('"'), where, f"correct the default of {bare.name}")
    return Argument(
        name=bare.name,
        type=bare.type,
        about=bare.about,
        required=default is None and not found["optional"],
        default=value,
    )


def _property(argument: Argument) -> dict[str, Any]:
    kind = {"type": "array", "items": {"type": "string"}} if argument.type == "list" else {"type": argument.type}
    default = "" if argument.default is None else f"Default: {argument.default}."
    about = " ".join(filter(None, [argument.about, default]))
    return {**kind, **({"description": about} if about else {})}


def _value(argument: Argument, given: Any, script: str, hint: str) -> Any:
    """A value of the argument's type, from data or from text."""
    converted = _converted(argument.type, given)
    if converted is None:
        raise ArgumentError(
            f"{script}: expected {'an' if argument.type == 'integer' else 'a'} {argument.type}, got {given!r} - at "
            f"`{argument.name}`"[:300],
            hint=hint,
        )
    return converted


def _converted(kind: Type, given: Any) -> Any:
    if kind == "boolean":
        return given if isinstance(given, bool) else _WORDS.get(given.lower()) if isinstance(given, str) else None
    if kind == "list":
        parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
        return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else None
    if kind == "string":
        return given if isinstance(given, str) else None
    return _number(kind, given)


def _number(kind: Type, given: Any) -> int | float | None:
    try:
        number = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    except ValueError:
        return None
    if number is None or number != number or abs(number) == float("inf"):  # noqa: PLR0124 - not a number
        return None
    if number.is_integer():
        return int(given) if isinstance(given, str) and given.lstrip("+-").isdecimal() else int(number)
    return number if kind == "number" else None
