"""The text of a script, from a file. Cheap to import: a child starts before anything else."""

from __future__ import annotations

from kosmolua.errors import UsageError

MAX_SOURCE = 8 * 1024 * 1024  # bytes


def read(file: str) -> bytes:
    """The file's text. Raises a `UsageError` where it cannot be read, or is no UTF-8."""
    try:
        with open(file, "rb") as opened:
            return checked(file, opened.read(MAX_SOURCE + 1))
    except OSError as error:
        raise UsageError(
            f"cannot read the script {file!r}: {error.strerror}",
            hint="give the path of a Lua file, or --eval CODE",
        ) from None


def checked(name: str, source: bytes) -> bytes:
    """Source in another encoding than UTF-8 would go to the API as broken text; better said here."""
    try:
        if not source.startswith(b"\x1b"):
            source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name} is not UTF-8: byte 0x{source[error.start]:02x} in line {line}", hint="save it as UTF-8"
        ) from None
    return source
