"""The names of recently seen models, on disk, for completion."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from kosmolua.errors import KosmoError
from kosmolua.replicate.shape import mapping, one_line
from kosmolua.replicate.versions import parse
from kosmolua.settings.atomic import rewrite

MAX_NAMES = 1000
MAX_RANKED = 200  # suggestions for a word
MAX_ABOUT = 200  # characters
MAX_FILE = 1024 * 1024


class Names:
    """Model names with short descriptions. Not thread-safe. Without a path nothing is read or saved."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._found = _read(path) if path else {}
        self._new: dict[str, str] = {}

    def add(self, found: Iterable[tuple[str, str]]) -> None:
        for name, about in found:
            short = one_line(about[: 4 * MAX_ABOUT])[:MAX_ABOUT] or self._found.get(name, "")
            _put(self._found, name, short)
            _put(self._new, name, short)

    def ranked(self, word: str, more: Sequence[str] = ()) -> list[tuple[str, str]]:
        """Names that start with the word, then names that contain it, then names with the word in their description;
        then ``more``. In each group, the names seen last come first.
        """
        low = word.lower()
        start, contain, describe = [], [], []
        for item in reversed(self._found.items()):
            name = item[0].lower()
            if name.startswith(low):
                start.append(item)
            elif low in name:
                contain.append(item)
            elif low in item[1].lower():
                describe.append(item)
        rest = [(name, self._found.get(name, "")) for name in more]
        return list(dict.fromkeys([*start, *contain, *describe, *rest]))[:MAX_RANKED]

    def keep(self) -> None:
        """Add new names to the file. Write errors are ignored."""
        if self._path and self._new:
            with suppress(KosmoError):
                rewrite(self._path, lambda old: msgspec.json.encode(_merged(_decoded(old), self._new)))
            self._new = {}


def models_in(answer: Any) -> Iterator[tuple[str, str]]:
    """The models and deployments in an answer of the API, with the names that `run` accepts, and their descriptions."""
    whole = mapping(answer)
    for part in (whole, *_list(whole.get("results")), *_list(whole.get("models"))):
        item = mapping(part)
        inner = item.get("model")  # a search result wraps the model, and a prediction names it
        name, about = _named(mapping(inner) or item, inner)
        with suppress(KosmoError):
            if parse(name).name:
                yield name, about


def _named(item: Mapping[str, Any], model: Any) -> tuple[str, str]:
    owner, name, about = item.get("owner"), item.get("name"), item.get("description")
    if isinstance(owner, str) and isinstance(name, str):
        kind = "deployments/" if "current_release" in item else ""
        return f"{kind}{owner}/{name}", about if isinstance(about, str) else ""
    return (model, "") if isinstance(model, str) else ("", "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _put(names: dict[str, str], name: str, about: str) -> None:
    """Add a name as the one seen last. Above the limit, the oldest is removed."""
    names.pop(name, None)
    names[name] = about
    if len(names) > MAX_NAMES:
        del names[next(iter(names))]


def _merged(old: dict[str, str], new: Mapping[str, str]) -> dict[str, str]:
    for name, about in new.items():
        _put(old, name, about)
    return old


def _read(path: str) -> dict[str, str]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return _decoded(file.read(MAX_FILE + 1))
    except OSError:
        return {}


def _decoded(content: bytes) -> dict[str, str]:
    try:
        return msgspec.json.decode(content, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
