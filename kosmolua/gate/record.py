"""The record of a session's calls: a log in memory, and listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kosmolua.gate.entry import Entry

MAX_LOG = 10_000


class Record:
    """``log`` holds the first entries, ``unlogged`` counts the rest. ``raised`` is the first exception of a listener or
    another follow-up of a call; ``broken`` means that it came from this package, not from a user's callback.
    """

    def __init__(self, listeners: Iterable[Callable[[Entry], None] | None]) -> None:
        self.log: list[Entry] = []
        self.unlogged = 0
        self.raised: Exception | None = None
        self.broken = False
        self._listeners = [listener for listener in listeners if listener]

    def add(self, entry: Entry) -> None:
        """Record an ended call."""
        if len(self.log) < MAX_LOG:
            self.log.append(entry)
        else:
            self.unlogged += 1
        for listener in self._listeners:
            self.afterwards(listener, entry)

    def afterwards(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Run a follow-up of a call. Its exception is kept in ``raised``, and does not affect the call."""
        try:
            return action(*arguments)
        except Exception as error:  # noqa: BLE001 - the owner of the session raises it
            if self.raised is None:
                self.raised = error
                self.broken = str(getattr(action, "__module__", "")).startswith("kosmolua.")
