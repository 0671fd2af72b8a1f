"""Outputs that the host keeps, used instead of expired URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import TransportError
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.structs import FileContent

GONE = frozenset({403, 404, 410})
"""Statuses of an output that was removed; https://replicate.com/docs/topics/predictions/output-files"""
_PIECE = 1 << 20


class KeptFile(FileContent, frozen=True):
    """A kept output on disk, used in an input instead of its URL. ``path`` is the name to show."""

    place: str
    sha256: str

    def digest(self) -> str:
        return self.sha256

    def pieces(self) -> Iterator[bytes]:
        """Raises a `TransportError` if the file is unreadable or changed."""
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
            raise TransportError(f"the kept output {self.place} is damaged", hint="run the prediction again")


class KeptOutputs(Protocol):
    """The outputs of a run, which may be kept."""

    @property
    def keeps(self) -> bool:
        """Whether outputs are kept."""

    def note(self, operation: Operation, account: str, data: Any) -> None:
        """Called for each answer; keeps outputs of predictions that this run created."""

    def find(self, url: str, check: Callable[[], None]) -> tuple[KeptFile, str] | None:
        """The kept file of a URL and its content type. Waits for a file that is being fetched; ``check`` is called
        meanwhile, and raises to end the wait.
        """

    def stand_in(self, url: str, account: str) -> KeptFile | None:
        """The file to use in an input instead of the URL, if the URL has expired."""

    def made(self, url: str) -> float | None:
        """When the output at that URL was made, in Unix seconds."""


def with_kept(arguments: Struct, account: str, kept: KeptOutputs) -> Struct:
    """The arguments with kept files instead of expired URLs, also in nested values."""
    changes = {}
    for name in arguments.__struct_fields__:
        value = getattr(arguments, name)
        if isinstance(value, dict):
            changed = _changed(value, account, kept)
            if changed is not value:
                changes[name] = changed
    return msgspec.structs.replace(arguments, **changes) if changes else arguments


def _changed(value: Any, account: str, kept: KeptOutputs) -> Any:
    """The value with kept files instead of expired URLs; the same object if nothing changed."""
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
