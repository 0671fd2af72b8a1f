"""Completion, as a pure function of the text around the cursor and of the known names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import UNSET, Struct

from kosmolua.manual.stubs import Option, options_of
from kosmolua.repl.commands import COMMANDS
from kosmolua.repl.context import Context, OpenCall, context
from kosmolua.repl.helpers import HELPERS
from kosmolua.repl.lexer import KEYWORDS
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, Operation, Parameter, find

if TYPE_CHECKING:
    from kosmolua.replicate.inputs import Input
    from kosmolua.replicate.versions import Version

MAX_FILES = 200
_TAKE_A_MODEL = ("run", "stream", "create")  # their first argument is a model, the second the model's input


class Candidate(Struct, frozen=True):
    """A completion that replaces the last ``-start`` characters, with a short description."""

    text: str
    start: int
    about: str = ""


class Argument(Struct, frozen=True):
    """A field that a table may have. ``name`` is in Lua syntax. ``values`` lists the allowed values of the field, or of
    its items if it is ``many``. ``default`` is None if there is no default.
    """

    name: str
    kind: str
    required: bool = False
    help: str = ""
    values: tuple[Any, ...] = ()
    many: bool = False
    default: str | None = None


class Signature(Struct, frozen=True):
    """The function being called: its arguments, its result, and the argument being typed."""

    name: str
    arguments: Sequence[Argument]
    returns: str
    current: Argument | None


class Scope(Protocol):
    """The names that can be completed."""

    def names(self, *path: str) -> Sequence[tuple[str, str]]:
        """The names and types of the fields of the value at ``path``, or of everything in scope if there is no path."""

    def accounts(self) -> Sequence[str]:
        """The accounts of the provider."""

    def files(self, prefix: str) -> Sequence[str]:
        """The paths that begin with ``prefix``; directories end with a slash."""

    def models(self, word: str, account: str = "") -> Sequence[tuple[str, str]]:
        """The known models that match the word, best match first, with a description of each."""

    def version(self, reference: str, account: str = "") -> Version | None:
        """The version of a model, if known."""


def complete(before: str, after: str, scope: Scope) -> list[Candidate]:
    """The candidates at the cursor, best match first."""
    if before.startswith("?"):
        return _starting(before[1:].lstrip(), _topics())
    if before.startswith(":"):
        return _command(before, scope)
    here = context(before, after)
    if here.comment:
        return []
    if here.quote is not None:
        return _in_string(here, scope)
    if here.path:
        return _fields(here, scope)
    if here.path is None:
        return []
    arguments = parameters_of(here.call, scope) if here.call else ()
    if here.call and here.call.naming and arguments:
        return _arguments(here.call, here.word, arguments)
    return [*_values(here, arguments), *(_in_scope(here.word, scope) if here.word else ())]


def operation_of(path: Sequence[str]) -> Operation | None:
    """The API operation that the last name of a path stands for, if any."""
    return find(path[-1]) if path and path[:-1] != ("docs",) else None


def parameters_of(call: OpenCall, scope: Scope) -> Sequence[Argument]:
    """The fields that a call's table may have: a function's arguments, a helper's options, or a model's inputs."""
    operation = operation_of(call.path)
    if operation:
        return [_of_parameter(each) for each in operation.parameters]
    if not call.table:
        return ()
    version = _model_of(call, scope)
    if version:
        return [_of_input(each) for each in version.inputs.fields if each.name.isprintable()]
    listing = find(call.leading[0]) if call.path[-1] == "each" and call.position == 1 and call.leading else None
    if listing:
        return [_of_parameter(each) for each in listing.parameters]
    return [_of_option(each) for each in options_of(call.path[-1], call.position)]


def signature(before: str, scope: Scope) -> Signature | None:
    """The function being called, if its arguments are known."""
    call = context(before).call
    arguments = parameters_of(call, scope) if call else ()
    if not call or not arguments:
        return None
    name, returns = _called(call, scope)
    typed = call.argument or (context(before).word if call.naming else "")
    return Signature(name, arguments, returns, next((each for each in arguments if each.name == typed), None))


def _called(call: OpenCall, scope: Scope) -> tuple[str, str]:
    """The name of the function or model being called, and its result."""
    operation, version = operation_of(call.path), _model_of(call, scope)
    if operation:
        return operation.name, operation.returns or "nothing"
    if version:
        from kosmolua.replicate.outputs import output_words

        return call.leading[0], output_words(version.schema)
    return call.path[-1], ""


def _takes_a_model(call: OpenCall) -> bool:
    """Whether the function takes a model; `create` is not a global."""
    return call.path[-1] in _TAKE_A_MODEL and call.path != ("create",)


def _model_of(call: OpenCall, scope: Scope) -> Version | None:
    """The model whose input is being typed, if known."""
    if not (call.table and call.position == 1 and call.leading and _takes_a_model(call)):
        return None
    return scope.version(call.leading[0], _account(call, scope))


def _account(call: OpenCall, scope: Scope) -> str:
    """The account in a path such as replicate.work.run; empty for the run's account."""
    named = call.path[-2:-1]
    return named[0] if named and named[0] != PROVIDER and named[0] in scope.accounts() else ""


def _of_parameter(parameter: Parameter) -> Argument:
    values = (True, False) if parameter.kind == "boolean" else parameter.enum
    return Argument(
        parameter.name, parameter.kind, parameter.required, parameter.help, values, many=parameter.kind == "array"
    )


def _of_option(option: Option) -> Argument:
    values = (True, False) if option.type == "boolean" else tuple(re.findall(r'"(\w+)"', option.type))
    return Argument(option.name, option.type, False, option.about, values, many=option.type.endswith("[]"))


def _of_input(field: Input) -> Argument:
    """An input of a model as an argument. Its text comes from the model's owner, so it is untrusted."""
    from kosmolua.manual.reference import key, literal
    from kosmolua.replicate.ranges import bounds
    from kosmolua.replicate.shape import one_line

    shape, values = field.shape, field.shape.enum
    many = bool(not values and shape.items and shape.items.enum)
    if many and shape.items:
        values = shape.items.enum
    given = UNSET if shape.default is None else shape.default
    return Argument(
        key(field.name),
        " ".join(filter(None, [field.type, bounds(shape)])),
        field.required,
        one_line(shape.description),
        (True, False) if field.type == "boolean" else values,
        many,
        None if given is UNSET else literal(given),
    )


def _starting(word: str, candidates: Iterable[tuple[str, str]]) -> list[Candidate]:
    """The candidates that begin with the word, then those that contain it."""
    low = word.lower()
    found = [(name, about) for name, about in candidates if low in name.lower()]
    found.sort(key=lambda item: not item[0].lower().startswith(low))
    return [Candidate(name, -len(word), about) for name, about in found]


def _command(before: str, scope: Scope) -> list[Candidate]:
    name, space, rest = before[1:].partition(" ")
    if not space:
        return _starting(name, ((command.name, command.about) for command in COMMANDS))
    command = next((each for each in COMMANDS if each.name == name), None)
    takes: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
        "file": lambda: ((path, "") for path in scope.files(rest)),
        "journal": lambda: ((path, "") for path in (*scope.files(rest), "off")),
        "account": lambda: ((name, "") for name in scope.accounts()),
        "page": _topics,
        "switch": lambda: (("on", ""), ("off", "")),
        "keys": lambda: (("vi", ""), ("emacs", "")),
    }
    return _starting(rest, takes[command.takes]()) if command and command.takes in takes else []


def _topics() -> Iterator[tuple[str, str]]:
    yield from ((operation.name, operation.summary) for operation in OPERATIONS)
    yield from HELPERS.items()
    from kosmolua.manual.topics import title, topics

    yield from ((name, title(text)) for name, text in topics().items())


def _in_string(here: Context, scope: Scope) -> list[Candidate]:
    call = here.call
    if call and not call.table and call.position == 0 and not call.leading and _takes_a_model(call):
        return [
            Candidate(name, -len(here.word), about) for name, about in scope.models(here.word, _account(call, scope))
        ]
    if not call or not call.argument:
        return []
    argument = next((each for each in parameters_of(call, scope) if each.name == call.argument), None)
    if argument and not argument.many:
        words = [value for value in argument.values if isinstance(value, str) and value.isprintable()]
        if words:
            return _starting(here.word, ((value, "") for value in words))
    if call.argument == "path":
        return [Candidate(path, -len(here.word)) for path in scope.files(here.word)]
    return []


def _arguments(call: OpenCall, word: str, arguments: Sequence[Argument]) -> list[Candidate]:
    """The arguments that are not yet given, required ones first."""
    left = [argument for argument in arguments if argument.name not in call.given]
    left.sort(key=lambda argument: not argument.required)
    found = _starting(word, ((argument.name, about(argument)) for argument in left))
    return [Candidate(f"{item.text} = ", item.start, item.about) for item in found]


def about(argument: Argument) -> str:
    """One line about an argument."""
    kind = f"{argument.kind}{', required' if argument.required else ''}"
    return f"{kind}: {argument.help}" if argument.help else kind


def _values(here: Context, arguments: Sequence[Argument]) -> list[Candidate]:
    """The allowed values of the argument being typed, if they can be listed."""
    from kosmolua.manual.reference import literal

    name = here.call.argument if here.call else None
    argument = next((each for each in arguments if each.name == name), None)
    values = argument.values if argument else ()
    if values == (True, False):
        return _starting(here.word, [("true", ""), ("false", "")])
    if not argument or here.word:
        return []
    written = [literal(value) for value in values if not isinstance(value, str) or value.isprintable()]
    return [Candidate(f"{{ {value} }}" if argument.many else value, 0) for value in written]


def _fields(here: Context, scope: Scope) -> list[Candidate]:
    path = here.path or ()
    found = scope.names(*path)
    full = f"{PROVIDER}_"
    if not here.word.startswith(full):  # a function also has a short name
        found = [item for item in found if not item[0].startswith(full)]
    return _starting(here.word, ((name, _what(path, name, kind)) for name, kind in sorted(found)))


def _what(path: Sequence[str], name: str, kind: str) -> str:
    operation = operation_of((*path, name)) if kind == "function" else None
    return operation.summary if operation else kind


def _in_scope(word: str, scope: Scope) -> list[Candidate]:
    named = {name: kind for name, kind in scope.names() if name.startswith(word)}
    about = {name: HELPERS.get(name, kind) for name, kind in named.items()}
    about.update({name: "keyword" for name in KEYWORDS if name.startswith(word) and name != word})
    return [Candidate(name, -len(word), about[name]) for name in sorted(about, key=lambda n: (n.startswith("_"), n))]


def files(prefix: str, directory: str = ".") -> list[str]:
    """The paths in a directory that begin with ``prefix``; hidden files only if the last part of the prefix begins with
    a dot.
    """
    head, name = os.path.split(prefix)
    try:
        with os.scandir(os.path.join(directory, os.path.expanduser(head))) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(name)]
    except OSError:
        return []
    shown = sorted(item for item in found if name.startswith(".") or not item[0].startswith("."))
    return [os.path.join(head, entry) + "/" * is_directory for entry, is_directory in shown[:MAX_FILES]]
