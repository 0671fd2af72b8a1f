"""All pages of a list as one page. They are not all in memory: more than 8 MiB are kept in a temporary file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

import msgspec

_IN_MEMORY = 8 << 20  # bytes
_BATCH = 256 << 10  # bytes to yield at once
_PLACE = "the pages"  # placeholder for the results in the encoded page


class Merged:
    """One page with the results of several pages."""

    def __init__(self, pages: Iterable[list[Any]]) -> None:
        self._items = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the last reference
        for results in pages:
            for item in results:
                self._items.write(msgspec.json.encode(item) + b"\n")

    def encoded(self, around: dict[str, Any] | None = None, *, indent: bool) -> Iterator[bytes]:
        """The page as JSON; with ``around``, that object as JSON with the page as its ``data``."""
        page: Any = {"next": None, "previous": None, "results": _PLACE}
        whole = msgspec.json.encode(page if around is None else {**around, "data": page})
        text = msgspec.json.format(whole, indent=2) if indent else whole
        before, _, after = text.partition(msgspec.json.encode(_PLACE))
        yield before
        yield from _batches(self._results(4 if around is None else 6, indent=indent))
        yield after

    def _results(self, depth: int, *, indent: bool) -> Iterator[bytes]:
        """The list of results, with its items indented by ``depth`` spaces."""
        line = b"\n" + b" " * depth if indent else b""
        separator = b"[" + line
        self._items.seek(0)
        for item in self._items:
            shown = item.rstrip(b"\n")
            yield separator + (msgspec.json.format(shown, indent=2).replace(b"\n", line) if indent else shown)
            separator = b"," + line
        empty = separator.startswith(b"[")
        yield b"[]" if empty else line[:-2] + b"]"


def _batches(pieces: Iterable[bytes]) -> Iterator[bytes]:
    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) > _BATCH:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)
