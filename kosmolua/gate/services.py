"""What a script asks of its host beside the API: its own modules. Named ``host.<service>`` on the port."""

from __future__ import annotations

import os
import re
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.files import Files

PREFIX = "host."
MAX_MODULE = 8 * 1024 * 1024  # bytes
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,20}")


class Require(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Services:
    """Carries them out, for a script in ``directory``, with the files that are open to it."""

    def __init__(self, files: Files, directory: str) -> None:
        self._files = files
        self._directory = directory

    def __call__(self, service: str, arguments: bytes) -> Any:
        if service != "host.require":
            raise UsageError(f"no service is called {service[:100]!r}", code="unknown_function")
        return self._require(_decoded(arguments).name)

    def _require(self, name: str) -> dict[str, Any]:
        """A module beside the script, as its text and its file's name."""
        if not _MODULE.fullmatch(name):
            raise ArgumentError(
                f"require: expected a module's name, such as util or lib.text, got {name[:100]!r}",
                hint="a name stands for a file beside the script: lib.text is lib/text.lua",
            )
        path = os.path.join(*name.split("."))
        places = [os.path.join(self._directory, place) for place in (f"{path}.lua", os.path.join(path, "init.lua"))]
        reasons = []
        for place in places:
            try:
                source = self._files.read(place, limit=MAX_MODULE)
            except UsageError as error:
                reasons.append(error.message)
            else:
                return _module(place, source)
        raise UsageError(f"require: no module {name!r}: {'; '.join(reasons)}")


def _module(place: str, source: bytes) -> dict[str, Any]:
    if source.startswith(b"\x1b"):
        raise UsageError(f"require: {place} is bytecode, not Lua text")
    return {"source": source.removeprefix(b"\xef\xbb\xbf"), "file": place}


def _decoded(arguments: bytes) -> Require:
    try:
        return msgspec.msgpack.decode(arguments, type=Require)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ArgumentError("require: expected the name of a module, a string") from None
