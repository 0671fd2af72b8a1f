"""Where journals are: by name in ``runs`` in the state directory, or anywhere, with a note of it in that directory."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

from kosmolua import paths

SUFFIX, NOTE = ".journal", ".path"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def directory(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), "runs")


def path_of(environment: Mapping[str, str], given: str) -> str:
    """The journal that is meant: a word without a dot or a slash is a name, everything else a path."""
    if _NAME.fullmatch(given):
        return os.path.join(directory(environment), given + SUFFIX)
    return os.path.abspath(given)


def note(environment: Mapping[str, str], path: str) -> None:
    """Make the journal one that `found` gives. Raises an OSError where the directory cannot be written to."""
    where = directory(environment)
    os.makedirs(where, mode=0o700, exist_ok=True)
    if os.path.dirname(path) != where:
        with open(_note_of(where, path), "wb") as file:
            file.write(os.fsencode(path))


def forget(environment: Mapping[str, str], path: str) -> None:
    where = directory(environment)
    for file in (_note_of(where, path), path, f"{path}-wal", f"{path}-shm"):
        if os.path.exists(file):
            os.unlink(file)


def found(environment: Mapping[str, str]) -> list[str]:
    """The paths of all journals that were begun and are still there."""
    where = directory(environment)
    names = sorted(os.listdir(where)) if os.path.isdir(where) else []
    noted = [_noted(os.path.join(where, name)) for name in names if name.endswith(NOTE)]
    named = [os.path.join(where, name) for name in names if name.endswith(SUFFIX)]
    return [path for path in (*named, *noted) if os.path.isfile(path)]


def _note_of(where: str, path: str) -> str:
    return os.path.join(where, hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + NOTE)


def _noted(file: str) -> str:
    with open(file, "rb") as opened:
        return os.fsdecode(opened.read())
