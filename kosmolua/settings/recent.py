"""The models that were run last, each with the version whose schema was used, for suggestions and completion."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.settings import paths
from kosmolua.settings.atomic import rewrite

MOST = 50
_MOST_BYTES = 64 * 1024


class Recent(Struct, frozen=True):
    """A model as it was named, its version if known, and when it was run in Unix seconds."""

    model: str
    version: str
    at: float


def file_of(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), "models.json")


def read(environment: Mapping[str, str]) -> list[Recent]:
    """The models, the last one first; empty if there are none or the file cannot be read."""
    try:
        with open(file_of(environment), "rb") as file:
            return _decoded(file.read(_MOST_BYTES))
    except OSError:
        return []


def note(environment: Mapping[str, str], model: str, version: str, now: float | None = None) -> None:
    """Put a model at the start of the list. If the file cannot be written, the model is not remembered."""
    one = Recent(model, version, time.time() if now is None else now)

    def change(old: bytes) -> bytes:
        others = [each for each in _decoded(old) if each.model != model]
        return msgspec.json.encode([one, *others][:MOST])

    with suppress(ConfigurationError):
        rewrite(file_of(environment), change)


def _decoded(content: bytes) -> list[Recent]:
    try:
        return msgspec.json.decode(content, type=list[Recent])
    except msgspec.MsgspecError:
        return []
