"""The JSON of public models on disk: a model is found by name without decoding the others, and decoded on request.

A file holds one model as ``get_model`` returns it, a page as ``list_models`` returns it, or a list of models.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from kosmolua.errors import UsageError

RECENT = 64  # the most decoded documents in memory
_BLOCK = 1 << 20
_INDENTED = re.compile(rb"\[(\r?\n[ \t]+)\{\r?\n([ \t]+)")
_NAMES = ("owner", "name")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document is: its file, and its bytes in the file."""

    path: str
    start: int
    size: int


class VersionFacts(Struct):
    id: str = ""
    created_at: str = ""


class ExampleFacts(Struct):
    id: str = ""


class Facts(Struct):
    """The fields of a document that lists, searches and look-ups need."""

    owner: str
    name: str
    description: str | None = None
    visibility: str = "public"
    created_at: str = ""
    is_official: bool | UnsetType = UNSET
    latest_version: VersionFacts | None = None
    default_example: ExampleFacts | None = None

    @property
    def slug(self) -> str:
        return f"{self.owner}/{self.name}"


class _Name(Struct):
    owner: str
    name: str


class _Page(Struct):
    results: list[Raw]


_FACTS = msgspec.json.Decoder(Facts)
_NAME = msgspec.json.Decoder(_Name)
_RAWS = msgspec.json.Decoder(list[Raw])
_PAGE = msgspec.json.Decoder(_Page)
_TEXT = msgspec.json.Decoder(str)


class Documents:
    """The documents of a file or of all ``.json`` files below a directory, by ``owner/name``.

    Raises a UsageError if there are none, or a file is invalid.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.places: dict[str, Place] = {}
        for file in _files(os.fspath(path)):
            self.places.update(_index(file))
        if not self.places:
            raise UsageError(f"no models in {path}", hint="save one: kosmo models pull owner/name")
        self._decoded: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def raw(self, slug: str) -> bytes:
        """The bytes of a document."""
        place = self.places[slug]
        try:
            with open(place.path, "rb") as file:
                file.seek(place.start)
                return file.read(place.size)
        except OSError as error:
            raise UsageError(f"cannot read {place.path}: {error.strerror}") from error

    def document(self, slug: str) -> dict[str, Any]:
        """A decoded document. It must not be changed."""
        if slug not in self._decoded:
            self._decoded[slug] = _decoded(self.raw(slug), self.places[slug].path)
            if len(self._decoded) > RECENT:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(slug)
        return self._decoded[slug]

    def facts(self) -> Iterator[Facts]:
        """The facts of all documents. Reads all files, which takes about 5 ms per megabyte."""
        return map(self.fact, self.places)

    def fact(self, slug: str) -> Facts:
        try:
            return _FACTS.decode(self.raw(slug))
        except msgspec.DecodeError as error:
            raise _wrong(self.places[slug].path, str(error)) from error


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".json"))


def _index(path: str) -> dict[str, Place]:
    try:
        with open(path, "rb") as file:
            return _by_lines(path, file) or _by_parts(path, file)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="--models takes a file or directory") from error


def _by_lines(path: str, file: IO[bytes]) -> dict[str, Place] | None:
    """The places in an indented list, found without parsing it. None if the file is not one.

    A line break in JSON is always layout, so a line that opens an object with the first one's indentation is the
    start of a document.
    """
    layout = _INDENTED.match(file.read(_BLOCK))
    if not layout:
        return None
    outer, inner = layout[1], layout[1].rpartition(b"\n")[0] + b"\n" + layout[2]
    keys = [inner + f'"{name}":'.encode() for name in _NAMES]
    found: dict[str, Place] = {}
    for start, text in _split(file, outer + b"{", layout.end(1)):
        body = text[: text.rfind(b"}") + 1]
        owner, name = (_member(body, key) for key in keys)
        if owner is None or name is None:
            return None
        found[f"{owner}/{name}"] = Place(path, start, len(body))
    return found


def _split(file: IO[bytes], mark: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The parts of a file, each with its offset; a part starts at the last byte of ``mark``. Reads in blocks."""
    file.seek(start)
    held = b""
    while block := file.read(_BLOCK):
        held += block
        at = 0
        while (following := held.find(mark, at)) > 0:
            following += len(mark) - 1
            yield start + at, held[at:following]
            at = following
        start, held = start + at, held[at:]
    yield start, held


def _member(data: bytes, key: bytes) -> str | None:
    at = data.rfind(key)
    line = data[at + len(key) : data.find(b"\n", at + 1)].strip().rstrip(b",") if at > 0 else b""
    try:
        return _TEXT.decode(line)
    except msgspec.DecodeError:
        return None


def _by_parts(path: str, file: IO[bytes]) -> dict[str, Place]:
    """The places of the documents in a file with any layout."""
    file.seek(0)
    data, at = file.read(), 0
    try:
        found = {}
        for part in _parts(data):
            text = bytes(part)
            at = data.index(text, at)
            name = _NAME.decode(text)
            found[f"{name.owner}/{name.name}"] = Place(path, at, len(text))
            at += len(text)
    except msgspec.DecodeError as error:
        raise _wrong(path, str(error)) from error
    return found


def _parts(data: bytes) -> list[Raw]:
    head = data.lstrip()[:1]
    if head == b"[":
        return _RAWS.decode(data)
    try:
        return _PAGE.decode(data).results
    except msgspec.ValidationError:
        return [Raw(data.strip())]


def _decoded(raw: bytes, path: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _wrong(path, str(error)) from error


def _wrong(path: str, what: str) -> UsageError:
    return UsageError(
        f"{path}: expected the JSON of a model, as get_model or list_models return it: {what}",
        hint="save a model's JSON: kosmo models pull owner/name",
    )
