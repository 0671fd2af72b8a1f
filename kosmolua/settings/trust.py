"""The project files that the user trusted, by path and content: a changed file is no longer trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.settings import paths
from kosmolua.settings.atomic import rewrite


class _Trusted(Struct):
    projects: dict[str, str] = {}  # path -> SHA-256 of the content
    version: int = 1


def is_trusted(environment: Mapping[str, str], path: str, content: bytes) -> bool:
    try:
        with open(_file(environment), "rb") as opened:
            known = _decode(environment, opened.read())
    except OSError:
        return False
    return known.projects.get(os.path.realpath(path)) == _digest(content)


def trust(environment: Mapping[str, str], path: str, content: bytes) -> None:
    """Trust this file while its content stays the same."""
    _change(environment, path, _digest(content))


def revoke(environment: Mapping[str, str], path: str) -> bool:
    """Stop trusting the file. Returns whether it was trusted."""
    return _change(environment, path, None)


def _change(environment: Mapping[str, str], path: str, digest: str | None) -> bool:
    before: list[str | None] = []
    name = os.path.realpath(path)

    def change(content: bytes) -> bytes:
        known = _decode(environment, content)
        before.append(known.projects.pop(name, None))
        if digest:
            known.projects[name] = digest
        return msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n"

    rewrite(_file(environment), change)
    return before[0] is not None


def _decode(environment: Mapping[str, str], content: bytes) -> _Trusted:
    try:
        return msgspec.json.decode(content or b"{}", type=_Trusted)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"cannot parse {_file(environment)}: {error}", hint="move it away, and trust your projects again"
        ) from None


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _file(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.config_directory(environment), "trusted.json")
