"""Scripts that the user keeps by name: files in the configuration directory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate.token import looks_like_token
from kosmolua.settings.atomic import replace
from kosmolua.settings.paths import config_directory

MAX_SIZE = 1024 * 1024  # bytes of a script
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def directory(environment: Mapping[str, str]) -> str:
    return os.path.join(config_directory(environment), "scripts")


def names(environment: Mapping[str, str]) -> list[str]:
    """The names of all scripts, sorted."""
    try:
        files = os.listdir(directory(environment))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {directory(environment)}: {error.strerror}", hint="check who owns the directory: ls -ld"
        ) from None
    return sorted(name for file in files if file.endswith(".lua") and _NAME.fullmatch(name := file[:-4]))


def path_of(environment: Mapping[str, str], name: str) -> str:
    return os.path.join(directory(environment), f"{name}.lua")


def read(environment: Mapping[str, str], name: str) -> bytes:
    """The text of a script. Raises a `UsageError` that suggests similar names."""
    if name in names(environment):
        try:
            with open(path_of(environment, name), "rb") as file:
                return file.read(MAX_SIZE)
        except OSError as error:
            raise UsageError(
                f"cannot read {file.name}: {error.strerror}", hint="add it again: kosmo scripts add"
            ) from None
    from difflib import get_close_matches

    near = get_close_matches(name[:100], names(environment), n=1)
    called = "(hidden: it looks like a token)" if looks_like_token(name) else repr(name[:100])
    raise UsageError(
        f"unknown script {called}" + (f"; did you mean {near[0]}?" if near else ""),
        hint="list them: kosmo scripts list",
    )


def add(environment: Mapping[str, str], name: str, text: bytes, *, overwrite: bool) -> str:
    """Keep a script under a name. Returns the path of its file. Raises a `UsageError`."""
    if not _NAME.fullmatch(name):
        shown = "" if looks_like_token(name) else f" {name[:100]!r}"
        raise UsageError(
            f"invalid name{shown}: expected lower-case letters, digits and underscores, at most 40",
            hint="choose another: --name draw_fox",
        )
    if len(text) > MAX_SIZE:
        raise UsageError(
            f"the script is {len(text)} bytes long; the maximum is {MAX_SIZE}", hint="move its data into files"
        )
    path = path_of(environment, name)
    if os.path.exists(path) and not overwrite:
        raise UsageError(
            f"the script {name} exists already", hint="replace it: --overwrite; or choose another name: --name NAME"
        )
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        replace(path, text, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check the owner of the directory and the free disk space"
        ) from None
    return path
