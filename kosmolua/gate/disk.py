"""A kept output as a download. Separate from `kosmolua.gate.kept` because this module loads the HTTP transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kosmolua.gate.kept import KeptFile
from kosmolua.replicate.transfer import Opened


class FromDisk(Opened):
    """A kept file, as if it came from its URL."""

    def __init__(self, file: KeptFile, content_type: str) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": content_type, "content-length": str(file.size)}
        self.on_token = lambda: None
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return self._file.pieces()

    def close(self) -> None:
        pass
