"""Schemas of versions on disk. A version's schema never changes, so that the file of a schema never expires."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from kosmolua.settings.atomic import replace

MAX_SCHEMA = 1024 * 1024  # bytes of one file
MAX_FILES = 256
MAX_SIZE = 32 * 1024 * 1024  # bytes of all files
_ID = re.compile(r"[0-9a-f]{64}")


class Cache:
    """One file for each version; the least recently used are deleted. A file that cannot be read counts as missing."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def get(self, version: str) -> dict[str, Any] | None:
        path = self._path(version)
        if path is None:
            return None
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                found = msgspec.json.decode(file.read(MAX_SCHEMA + 1))
            os.utime(path)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, version: str, schema: dict[str, Any]) -> None:
        path, content = self._path(version), msgspec.json.encode(schema)
        if path is None or len(content) > MAX_SCHEMA or self.get(version) == schema:
            return
        with suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            replace(path, content, 0o600)
            self._prune()

    def _path(self, version: str) -> str | None:
        return os.path.join(self._directory, f"{version}.json") if _ID.fullmatch(version) else None

    def _prune(self) -> None:
        """Delete the least recently used files above the limits."""
        size = 0
        for number, (path, found) in enumerate(self._newest()):
            size += found.st_size
            if number >= MAX_FILES or size > MAX_SIZE:
                os.unlink(path)

    def _newest(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self._directory) as entries:
            files = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
        return iter(sorted(files, key=lambda file: -file[1].st_mtime))
