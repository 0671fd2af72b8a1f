"""How much of a run its journal keeps: bounds in rows and bytes, and a digest in place of arguments that were never
sent.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import LimitError

MAX_ROWS = 250_000
MAX_SIZE = 512 * 1024 * 1024  # bytes
_ROW = 200  # bytes that a row takes besides its arguments and answer; measured
_UNSENT = re.compile(r"not sent, sha256:([0-9a-f]{64})")


class Bounds(Struct, frozen=True):
    """What one run may add to its journal. A run that a person resumes from the journal may add as much again."""

    rows: int = MAX_ROWS
    size: int = MAX_SIZE  # bytes


class Room:
    """How much the run may still add. Used under the journal's lock."""

    def __init__(self, path: str, bounds: Bounds, *, prompt: bool = False) -> None:
        self._path = path
        self._hint = (
            "to continue, run the same command again; if this was a mistake, let the loop sleep and call less often"
        )
        if prompt:
            self._hint = f"to continue, open it again: :journal {path}; or continue without it: :journal off"
        self._bounds = bounds
        self._rows = self._size = 0

    def take(self, *parts: bytes | None) -> None:
        """Count an added row with these parts."""
        self._rows += 1
        self._size += _ROW + sum(len(part) for part in parts if part)

    def check(self) -> None:
        """Raise a `LimitError` if nothing more may be added; nothing is sent then."""
        if self._rows >= self._bounds.rows:
            raise self._reached("journal_rows", f"{self._bounds.rows} rows", self._bounds.rows)
        if self._size >= self._bounds.size:
            raise self._reached("journal_size", f"{self._bounds.size} bytes", self._bounds.size)

    def _reached(self, name: str, most: str, value: int) -> LimitError:
        return LimitError(
            f"the run added {most} to its journal {self._path}, the maximum for one run; nothing more was sent",
            hint=self._hint,
            detail={"limit": name, "value": value},
        )


def unsent(digest: bytes) -> bytes:
    """What is kept instead of arguments that were never sent."""
    return msgspec.msgpack.encode(f"not sent, sha256:{digest.hex()}")


def digest_of_unsent(arguments: Any) -> str:
    """The digest in hexadecimal if the journal kept only the digest of the arguments; else empty."""
    found = _UNSENT.fullmatch(arguments) if isinstance(arguments, str) else None
    return found[1] if found else ""
