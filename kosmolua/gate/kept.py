"""Outputs that the host keeps: what the road takes instead of a URL that has expired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import TransportError
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.structs import LocalFile

GONE = frozenset({403, 404, 410})
"""Statuses of an output that was removed; https://replicate.com/docs/topics/predictions/output-files"""
_PIECE = 1 << 20


class KeptFile(LocalFile, frozen=True):
    """An output as it is kept on disk, in the place of its URL inside an input. ``path`` is its name for a reader."""

    place: str
    sha256: str
    size: int

    def content(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Raises a `TransportError` if it is not what was kept."""
        import hashlib  # loads OpenSSL: 3 ms

        digest = hashlib.sha256()
        try:
            with open(self.place, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    yield piece
        except OSError as error:
            raise TransportError(f"cannot read the kept output {self.place}: {error.strerror}") from None
        if digest.hexdigest() != self.sha256:
            raise TransportError(f"the kept output {self.place} is damaged", hint="Run the prediction again")


class Kept(Protocol):
    """Knows the outputs of a run, and may keep them."""

    @property
    def keeps(self) -> bool:
        """Whether it keeps any."""

    def note(self, operation: Operation, account: str, data: Any) -> None:
        """A call was answered: outputs of predictions that this run made are kept."""

    def find(self, url: str, check: Callable[[], None]) -> tuple[KeptFile, str] | None:
        """The file that is kept of a URL and its content type; one that is being fetched is waited for. ``check`` is
        called meanwhile and raises what ends the wait.
        """

    def stand_in(self, url: str, account: str) -> KeptFile | None:
        """The file that goes into an input instead of a URL, if that has expired."""

    def made(self, url: str) -> float | None:
        """When the output at that URL was made, in Unix seconds."""


def with_kept(arguments: Struct, account: str, kept: Kept) -> Struct:
    """The arguments with a kept file in the place of each URL that has expired, inside objects."""
    changes = {}
    for name in arguments.__struct_fields__:
        value = getattr(arguments, name)
        if isinstance(value, dict):
            changed = _changed(value, account, kept)
            if changed is not value:
                changes[name] = changed
    return msgspec.structs.replace(arguments, **changes) if changes else arguments


def _changed(value: Any, account: str, kept: Kept) -> Any:
    """The same object if nothing in it changes."""
    match value:
        case str():
            return (kept.stand_in(value, account) or value) if value.startswith("http") else value
        case dict():
            inner: Any = {name: _changed(item, account, kept) for name, item in value.items()}
            return value if all(inner[name] is value[name] for name in value) else inner
        case list():
            inner = [_changed(item, account, kept) for item in value]
            return value if all(one is other for one, other in zip(inner, value, strict=True)) else inner
    return value
