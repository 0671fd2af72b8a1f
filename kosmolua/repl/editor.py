"""Edits an input or a file in the user's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile

from kosmolua.errors import UsageError


def edit(path: str) -> None:
    """Open a file in the editor and wait until it exits. Raises a `UsageError`."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        status = subprocess.run([*shlex.split(command), path], check=False).returncode  # noqa: S603 - the user's own command
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot start the editor {command!r}: {error}", hint="set EDITOR to the command of an installed editor"
        ) from None
    if status:
        raise UsageError(f"the editor {command!r} exited with status {status}; nothing was run")


def edited(text: str) -> str:
    """Let the user edit a text, and return the edited text."""
    with tempfile.TemporaryDirectory(prefix="kosmolua-") as directory:
        path = os.path.join(directory, "input.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        edit(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
