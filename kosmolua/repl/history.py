"""The history file: one JSON string per line, oldest first, with mode 600. Inputs with secrets are not stored."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import msgspec

from kosmolua.errors import ConfigurationError
from kosmolua.repl.incomplete import is_text

MAX_ENTRIES = 5000
MAX_LENGTH = 100_000  # the maximum characters of an entry
MAX_BYTES = 16 * 1024 * 1024  # the maximum bytes that are read, from the end of the file
# Matches Replicate's tokens and signing keys, configure commands, and fields or headers with a secret.
_SECRET = re.compile(
    r"\br8_[A-Za-z0-9]|\bwhsec_|\bBearer\s+\S|configure\b"
    r"|(?:api_?key|api_?token|token|secret|password|authorization)[\"'\]]*\s*[=:]\s*[\[\"']",
    re.IGNORECASE,
)


def is_secret(text: str) -> bool:
    """Whether the text contains, or may contain, a secret."""
    return bool(_SECRET.search(text))


class History:
    """The entries of a history file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries, cut = _read(path)
        if cut or len(self.entries) > 2 * MAX_ENTRIES:
            self.entries = self.entries[-MAX_ENTRIES:]
            self._replace()

    def add(self, text: str) -> None:
        """Store an entry, unless it contains a secret or repeats the last one. Raises a `ConfigurationError`."""
        if (
            not is_text(text)
            or is_secret(text)
            or not text.strip()
            or len(text) > MAX_LENGTH
            or self.entries[-1:] == [text]
        ):
            return
        self.entries.append(text)
        try:
            with _opened(self.path, os.O_APPEND) as descriptor:
                os.write(descriptor.fileno(), msgspec.json.encode(text) + b"\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the history to {self.path}: {error.strerror}",
                hint="set KOSMO_STATE_DIR to a writable directory",
            ) from None

    def _replace(self) -> None:
        new = f"{self.path}.{os.getpid()}"
        with suppress(OSError):
            with _opened(new, os.O_TRUNC) as file:
                file.write(b"".join(msgspec.json.encode(text) + b"\n" for text in self.entries))
            os.replace(new, self.path)


def _opened(path: str, flag: int):  # type: ignore[no-untyped-def] # noqa: ANN202 - a binary file
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flag, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def _read(path: str) -> tuple[list[str], bool]:
    """The last entries of the file, and whether the file has bytes before them."""
    try:
        with open(path, "rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - MAX_BYTES)
            file.seek(start)
            lines = file.read(MAX_BYTES).splitlines()
    except OSError:
        return [], False
    found = []
    for line in lines[1:] if start else lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            found.append(msgspec.json.decode(line, type=str))
    return found, start > 0
