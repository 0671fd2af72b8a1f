"""Where `require` looks for a module, and which files it accepts."""

from __future__ import annotations

import os
import re
from typing import Any

from kosmolua.errors import ArgumentError, UsageError

MAX_MODULE = 8 * 1024 * 1024  # bytes
PATH = "./?.lua;./?/init.lua"  # as in lua/code.lua
MAX_PLACES = 20  # maximum templates in a path
_MAX_PARTS = 20  # maximum parts of a module name
_JSON = "json needs no require: json.encode(value), json.decode(text)"
_NETWORK = "scripts have no network access: call models with run, and fetch outputs with download"
_DUMP = "dump(value) prints a value, and needs no require"
_INSTEAD = {  # common libraries
    "cjson": _JSON, "cjson.safe": _JSON, "dkjson": _JSON, "lunajson": _JSON, "rapidjson": _JSON, "rxi.json": _JSON,
    "socket": _NETWORK, "socket.http": _NETWORK, "ssl": _NETWORK, "ssl.https": _NETWORK, "http.request": _NETWORK,
    "resty.http": _NETWORK, "requests": _NETWORK, "cURL": _NETWORK, "replicate": "replicate needs no require",
    "inspect": _DUMP, "serpent": _DUMP, "pl.pretty": _DUMP,
    "lfs": "scripts cannot list directories: pass the paths as arguments, and read them from args",
    "lpeg": "use regex.match, regex.match_all and regex.gsub", "rex_pcre": "use regex.match and regex.gsub",
}  # fmt: skip


def instead(name: str) -> str | None:
    """What to use instead of a common library that scripts do not have."""
    return _INSTEAD.get(name)


def places(name: str, path: str | None, directory: str) -> list[str]:
    """The files that may hold a module. Dots in its name separate directories, as in Lua; ``path`` has templates."""
    parts = re.split(r"[./]", name.removeprefix("./"))
    if not all(parts) or len(parts) > _MAX_PARTS or not name.isprintable():
        raise ArgumentError(
            f"require: expected a module name such as util or lib.text, got {name[:100]!r}",
            hint="pass a path from the script's directory, with dots and without .lua: lib.text is lib/text.lua",
        )
    file = os.path.join(*parts)
    templates = [each.removeprefix("./") for each in (path or PATH).split(";") if "?" in each]
    return [os.path.join(directory, each.replace("?", file)) for each in templates[:MAX_PLACES]]


def module(place: str, source: bytes) -> dict[str, Any]:
    """The text of a module, without a byte order mark; a first line with ``#`` becomes a comment."""
    if source.startswith(b"\x1b"):
        raise UsageError(f"require: {place} is bytecode, not Lua text")
    source = source.removeprefix(b"\xef\xbb\xbf")
    return {"source": b"--" + source if source.startswith(b"#") else source, "file": place}
