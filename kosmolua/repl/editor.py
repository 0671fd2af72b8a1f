"""An input, or a file, in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile

from kosmolua.errors import UsageError


def edit(path: str) -> None:
    """Open the editor on a file, and wait for it. Raises a `UsageError`."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        status = subprocess.run([*shlex.split(command), path], check=False).returncode  # noqa: S603 - the person's own
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot start the editor {command!r}: {error}", hint="set EDITOR") from None
    if status:
        raise UsageError(f"the editor {command!r} ended with status {status}; nothing is run")


def edited(text: str) -> str:
    """What the editor makes of the text."""
    with tempfile.TemporaryDirectory(prefix="kosmolua-") as directory:
        path = os.path.join(directory, "input.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        edit(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
