"""What was typed, on disk: one JSON string a line, oldest first, for its owner's eyes alone. Secrets are left out."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import msgspec

from kosmolua.errors import ConfigurationError
from kosmolua.repl.incomplete import is_text

MAX_ENTRIES = 5000
MAX_LENGTH = 100_000  # characters of an entry
# What Replicate calls its tokens and signing keys; a configure line; a field or header that holds one.
_SECRET = re.compile(
    r"\br8_[A-Za-z0-9]|\bwhsec_|\bBearer\s+\S|configure\b"
    r"|(?:api_?key|api_?token|token|secret|password|authorization)[\"'\]]*\s*[=:]\s*[\[\"']",
    re.IGNORECASE,
)


def is_secret(text: str) -> bool:
    """Whether it holds, or may hold, what no file should."""
    return bool(_SECRET.search(text))


class History:
    """The entries of a file. A file that cannot be kept is told once, by the first `add`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries = _read(path)
        if len(self.entries) > 2 * MAX_ENTRIES:
            self.entries = self.entries[-MAX_ENTRIES:]
            self._replace()

    def add(self, text: str) -> None:
        """Keep an entry, unless it holds a secret or is what was typed last. Raises a `ConfigurationError`."""
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
                f"cannot keep the history in {self.path}: {error.strerror}", hint="see KOSMO_STATE_DIR"
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


def _read(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            found.append(msgspec.json.decode(line, type=str))
    return found
