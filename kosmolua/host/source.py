"""Reads the text of a script. Imports little: a child starts before anything else."""

from __future__ import annotations

from kosmolua.errors import UsageError

MAX_SOURCE = 8 * 1024 * 1024  # the maximum bytes of a script


def read(file: str) -> bytes:
    """The bytes of a script file. Raises a `UsageError` if the file cannot be read or is not UTF-8."""
    try:
        with open(file, "rb") as opened:
            return checked(file, opened.read(MAX_SOURCE + 1))
    except OSError as error:
        from kosmolua.replicate.token import looks_like_token

        shown = "(hidden: it looks like a token)" if looks_like_token(file) else repr(file)
        raise UsageError(
            f"cannot read the script {shown}: {error.strerror}",
            hint="give the path of a Lua file, or --eval CODE",
        ) from None


def checked(name: str, source: bytes) -> bytes:
    """The source itself. Raises a `UsageError` if it is too long, or if it is not UTF-8, since the API would get broken
    text.
    """
    try:
        if not source.startswith(b"\x1b"):
            source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name} is not UTF-8: byte 0x{source[error.start]:02x} in line {line}", hint="save it as UTF-8"
        ) from None
    return source
