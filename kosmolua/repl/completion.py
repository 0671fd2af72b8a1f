"""What may be typed next: a pure function of the text around the cursor and of what is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from kosmolua.repl.commands import COMMANDS
from kosmolua.repl.context import Call, Context, context
from kosmolua.repl.lexer import KEYWORDS
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, Operation, Parameter, find
from kosmolua.replicate.stubs import summaries

HELPERS = {
    **summaries(),
    "integrations": "The functions of each provider.",
    "app": "integrations, by another name.",
    "replicate": "The functions of the run's own account, and what workflows are written with.",
}
MAX_FILES = 200


class Candidate(Struct, frozen=True):
    """Something that may stand in the place of the last ``-start`` characters, with a word about it."""

    text: str
    start: int
    about: str = ""


class Known(Protocol):
    """What is there to be named."""

    def names(self, *path: str) -> Sequence[tuple[str, str]]:
        """The names within that value, or without a path in scope, and the type of each."""

    def accounts(self) -> Sequence[str]:
        """Of the provider."""

    def files(self, prefix: str) -> Sequence[str]:
        """The paths that begin so; directories end with a slash."""


def complete(before: str, after: str, known: Known) -> list[Candidate]:
    """The candidates at the cursor, best first."""
    if before.startswith("?"):
        return _starting(before[1:].lstrip(), _topics())
    if before.startswith(":"):
        return _command(before, known)
    here = context(before, after)
    if here.comment:
        return []
    if here.quote is not None:
        return _in_string(here, known)
    if here.path:
        return _fields(here, known)
    if here.path is None:
        return []
    parameters = parameters_of(here.call) if here.call else ()
    if here.call and here.call.naming and parameters:
        return _arguments(here.call, here.word, parameters)
    return [*_values(here, parameters), *(_in_scope(here.word, known) if here.word else ())]


def operation_of(path: Sequence[str]) -> Operation | None:
    """The function of the API that a path ends with."""
    return find(path[-1]) if path else None


def parameters_of(call: Call) -> Sequence[Parameter]:
    """What the table of a call may name. A call that begins with a model's name could ask that model here."""
    operation = operation_of(call.path)
    return operation.parameters if operation else ()


def signature(before: str) -> tuple[Operation, Parameter | None] | None:
    """The function whose arguments are being typed, and the parameter that is."""
    here = context(before)
    operation = operation_of(here.call.path) if here.call else None
    if not operation or not here.call:
        return None
    name = here.call.argument or (here.word if here.call.naming else "")
    return operation, operation.parameter(name)


def _starting(word: str, candidates: Iterable[tuple[str, str]]) -> list[Candidate]:
    """Those that begin so, and behind them those that hold the word."""
    low = word.lower()
    found = [(name, about) for name, about in candidates if low in name.lower()]
    found.sort(key=lambda item: not item[0].lower().startswith(low))
    return [Candidate(name, -len(word), about) for name, about in found]


def _command(before: str, known: Known) -> list[Candidate]:
    name, space, rest = before[1:].partition(" ")
    if not space:
        return _starting(name, ((command.name, command.about) for command in COMMANDS))
    command = next((each for each in COMMANDS if each.name == name), None)
    takes: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
        "file": lambda: ((path, "") for path in known.files(rest)),
        "account": lambda: ((name, "") for name in known.accounts()),
        "page": _topics,
        "switch": lambda: (("on", ""), ("off", "")),
        "keys": lambda: (("vi", ""), ("emacs", "")),
    }
    return _starting(rest, takes[command.takes]()) if command and command.takes in takes else []


def _topics() -> Iterator[tuple[str, str]]:
    yield from ((operation.name, operation.summary) for operation in OPERATIONS)
    yield from HELPERS.items()
    from kosmolua.topics import title, topics

    yield from ((name, title(text)) for name, text in topics().items())


def _in_string(here: Context, known: Known) -> list[Candidate]:
    call = here.call
    if not call or not call.argument:
        return []
    parameter = next((each for each in parameters_of(call) if each.name == call.argument), None)
    if parameter and parameter.enum:
        return _starting(here.word, ((value, "") for value in parameter.enum))
    if call.argument == "path":
        return [Candidate(path, -len(here.word)) for path in known.files(here.word)]
    return []


def _arguments(call: Call, word: str, parameters: Sequence[Parameter]) -> list[Candidate]:
    """Those that are not given yet, the required first."""
    left = [parameter for parameter in parameters if parameter.name not in call.given]
    left.sort(key=lambda parameter: not parameter.required)
    found = _starting(word, ((parameter.name, _about(parameter)) for parameter in left))
    return [Candidate(f"{item.text} = ", item.start, item.about) for item in found]


def _about(parameter: Parameter) -> str:
    return f"{parameter.kind}{', required' if parameter.required else ''}: {parameter.help}"


def _values(here: Context, parameters: Sequence[Parameter]) -> list[Candidate]:
    """What the argument takes, where that can be listed."""
    argument = here.call.argument if here.call else None
    parameter = next((each for each in parameters if each.name == argument), None)
    if not parameter:
        return []
    if parameter.kind == "boolean":
        return _starting(here.word, [("true", ""), ("false", "")])
    if parameter.enum and not here.word:
        values = [f'"{value}"' for value in parameter.enum]
        shown = values if parameter.kind == "string" else [f"{{ {value} }}" for value in values]
        return [Candidate(value, 0) for value in shown]
    return []


def _fields(here: Context, known: Known) -> list[Candidate]:
    path = here.path or ()
    found = known.names(*path)
    full = f"{PROVIDER}_"
    if not here.word.startswith(full):  # the short name stands for all names of a function
        found = [item for item in found if not item[0].startswith(full)]
    return _starting(here.word, ((name, _what(name, kind)) for name, kind in sorted(found)))


def _what(name: str, kind: str) -> str:
    operation = find(name) if kind == "function" else None
    return operation.summary if operation else kind


def _in_scope(word: str, known: Known) -> list[Candidate]:
    named = {name: kind for name, kind in known.names() if name.startswith(word)}  # few of many are sorted
    about = {name: HELPERS.get(name, kind) for name, kind in named.items()}
    about.update({name: "keyword" for name in KEYWORDS if name.startswith(word) and name != word})
    return [Candidate(name, -len(word), about[name]) for name in sorted(about, key=lambda n: (n.startswith("_"), n))]


def files(prefix: str, directory: str = ".") -> list[str]:
    """The paths below a directory that begin so; hidden ones where the prefix asks for them."""
    head, name = os.path.split(prefix)
    try:
        with os.scandir(os.path.join(directory, os.path.expanduser(head))) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(name)]
    except OSError:
        return []
    shown = sorted(item for item in found if name.startswith(".") or not item[0].startswith("."))
    return [os.path.join(head, entry) + "/" * is_directory for entry, is_directory in shown[:MAX_FILES]]
