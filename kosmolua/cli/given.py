"""The inputs of `kosmo run`, given as ``name=value``, ``name=@file`` and ``name=@-``, read by the model's schema."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from shlex import quote
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from kosmolua.cli import arguments, values
from kosmolua.errors import ArgumentError, UsageError
from kosmolua.replicate.structs import LocalFile
from kosmolua.replicate.token import quoted

if TYPE_CHECKING:
    from kosmolua.replicate.inputs import Inputs
    from kosmolua.replicate.shape import Shape

STDIN = "-"
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}


class Given(Struct):
    """A run's inputs, and the files to insert: for each the keys and indexes of its place, and its path."""

    input: dict[str, Any] = field(default_factory=dict)
    files: list[tuple[list[str | int], str]] = field(default_factory=list)

    @property
    def with_files(self) -> dict[str, Any]:
        """The inputs with the files inserted."""
        made = copy.deepcopy(self.input)
        for place, path in self.files:
            holder: Any = made
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = LocalFile(path)
        return made


class Words(Struct):
    """The inputs as words of the command line: JSON objects, and for each name its texts in the given order."""

    objects: list[dict[str, Any]]
    texts: dict[str, list[str]]

    @property
    def paths(self) -> list[str]:
        """The paths that follow an @; ``-`` is standard input."""
        named = [text[1:] for texts in self.texts.values() for text in texts if text[:1] == "@" and text[:2] != "@@"]
        return [path for path in named if path]


def _hint(word: str) -> str:
    """What to write instead of a word that is not an input."""
    if word.startswith("@"):
        path = word[1:80] if word not in ("@", "@-") and "r8_" not in word else "in.json"
        return (
            f"for all inputs from a JSON object, write - < {quote(path)}; for one input, write name={quote('@' + path)}"
        )
    return "name the input, such as prompt='a fox'; list a model's inputs: kosmo model OWNER/NAME"


def divided(words: Sequence[str]) -> Words:
    """Divide the words into JSON objects and named texts. Raises a `UsageError` for any other word."""
    found = Words([], {})
    for word in words:
        name, equals, text = word.partition("=")
        if word == STDIN:
            found.objects.append(arguments.payload(_stdin("the inputs"), "standard input"))
        elif word.lstrip().startswith("{"):
            found.objects.append(arguments.payload(word, "the inputs"))
        elif not equals or not name:
            raise UsageError(
                f"expected an input as name=value, got {quoted(word, 80)}",
                hint=_hint(word),
            )
        else:
            found.texts.setdefault(name, []).append(text)
    if sum(text == f"@{STDIN}" for texts in found.texts.values() for text in texts) + (STDIN in words) > 1:
        raise UsageError("standard input can be used only once", hint="use a file for the other inputs: name=@FILE")
    return found


def directories(words: Words, stack: ExitStack) -> list[str]:
    """The directories that the run must be able to read. If standard input is used, the first is a temporary directory
    for it, which ``stack`` removes.
    """
    own = [stack.enter_context(tempfile.TemporaryDirectory(prefix="kosmo-run-"))] if STDIN in words.paths else []
    return [*own, *sorted({os.path.dirname(os.path.realpath(os.path.expanduser(path))) for path in words.paths})]


def collect(words: Words, inputs: Inputs | None, directory: str) -> Given:
    """The inputs given by the words. Standard input for a file input is saved in ``directory``."""
    shapes: Mapping[str, Shape] = {one.name: one.shape for one in inputs.fields} if inputs else {}
    given = Given()
    for one in words.objects:
        given.input.update(one)
    for name, texts in words.texts.items():
        shape = shapes.get(name)
        many = len(texts) > 1
        item = values.items_of(shape) if many else shape
        found = [_value(given, [name, *([number] if many else [])], item, text, directory)
                 for number, text in enumerate(texts)]  # fmt: skip
        given.input[name] = found if many else found[0]
        if not many and values.items_of(shape) and given.files and given.files[-1][0] == [name]:
            given.files[-1] = ([name, 0], given.files[-1][1])
            given.input[name] = [None]
    return given


def _value(given: Given, place: list[str | int], shape: Shape | None, text: str, directory: str) -> Any:
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@") and text != "@":
        return _from_file(given, place, shape, text[1:], directory)
    _check_utf8(str(place[0]), text)
    return values.read(shape, text)


def _from_file(given: Given, place: list[str | int], shape: Shape | None, path: str, directory: str) -> Any:
    """The content of a file, or a place for the file itself if the input takes files."""
    name = str(place[0])
    if values.wants_file(shape):
        given.files.append((place, _kept(_stdin(name), directory) if path == STDIN else _readable(name, path)))
        return ""
    content = _stdin(name) if path == STDIN else _content(name, path)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        where = "standard input" if path == STDIN else repr(path)
        raise ArgumentError(
            f"input `{name}` takes text, but {where} is not UTF-8 text", hint="list the inputs: kosmo model OWNER/NAME"
        ) from None
    return values.read(shape, text if shape and "string" in shape.kinds and not shape.enum else text.strip())


def _stdin(name: str) -> bytes:
    if sys.stdin.isatty():
        print(f"kosmo: reading {name} from standard input; end with Ctrl-D", file=sys.stderr)
    return sys.stdin.buffer.read()


def _readable(name: str, path: str) -> str:
    path = os.path.expanduser(path)
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise _unreadable(name, path, "not a readable file")
    return path


def _content(name: str, path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(name, path, error.strerror or "reading failed") from None


def _unreadable(name: str, path: str, why: str) -> ArgumentError:
    return ArgumentError(
        f"input `{name}`: cannot read {quoted(path)}: {why}",
        hint=f"check the path; for text that starts with @, write {name}=@@TEXT",
    )


def _kept(content: bytes, directory: str) -> str:
    """A temporary file with the content. Its suffix shows the content's type, because the API reads files by suffix."""
    from kosmolua.terminal.pictures import kind_of

    path = os.path.join(directory, "stdin" + _SUFFIXES.get(kind_of(content) or "", ".bin"))
    with open(path, "wb") as file:
        file.write(content)
    return path


def _check_utf8(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"input `{name}` is not UTF-8 text", hint=f"read it from a file: {name}=@FILE") from None
