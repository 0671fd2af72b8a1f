"""Notes about inputs that the host converted before a script sends them, for the log entries of the calls."""

from __future__ import annotations

from typing import Any

import msgspec

from kosmolua.gate.entry import Entry
from kosmolua.terminal.safe import visible

_MOST = 1_000  # inputs to remember; the oldest are forgotten
_MAX_NOTE = 300  # characters


class Conversions:
    """The notes by converted input. A session without conversions computes nothing."""

    def __init__(self) -> None:
        self._notes: dict[bytes, str] = {}

    def keep(self, given: Any, note: str) -> None:
        """Remember what was converted. ``given`` is the converted input."""
        if len(self._notes) >= _MOST:
            self._notes.pop(next(iter(self._notes)), None)
        self._notes[_key(given)] = f"converted input: {visible(note[:_MAX_NOTE])}"

    def add_note(self, entry: Entry, arguments: Any) -> None:
        """Add the note to the entry of a call with these arguments, if their input was converted."""
        given = getattr(arguments, "input", None) if self._notes else None
        note = self._notes.get(_key(given)) if isinstance(given, dict) else None
        if note:
            entry.note = f"{entry.note}; {note}" if entry.note else note


def _key(given: Any) -> bytes:
    import hashlib  # loads OpenSSL: 3 ms

    return hashlib.sha256(msgspec.json.encode(given, enc_hook=repr, order="deterministic")).digest()
