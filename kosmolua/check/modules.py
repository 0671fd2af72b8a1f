"""Finds the modules that a script requires: files next to it, read as `require` reads them."""

from __future__ import annotations

import os

from kosmolua.check.program import Find, Module
from kosmolua.errors import KosmoError

MAX_TEXT = 8 * 1024 * 1024  # bytes of all modules together


def beside(script: str, most: int = MAX_TEXT) -> Find:
    """Find modules next to a script, at most ``most`` bytes in total."""
    from kosmolua.gate.files import Files

    directory = os.path.dirname(script)
    files, left = Files(readable=[directory or "."]), most

    def find(name: str) -> Module | None:
        nonlocal left
        path = os.path.join(*name.split(".")) if name.strip(".") and "\0" not in name else ""
        for place in (f"{path}.lua", os.path.join(path, "init.lua")) if path else ():
            try:
                text = files.read(os.path.join(directory, place), limit=left)
            except KosmoError:
                continue
            left -= len(text)
            return Module(os.path.join(directory, place), text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace"))
        return None

    return find
