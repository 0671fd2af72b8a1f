"""The place of one call in a journal, while the call is carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from kosmolua.errors import JournalError
from kosmolua.gate.policy import model_of
from kosmolua.journal.arguments import essence_of
from kosmolua.journal.records import Began, Intent

if TYPE_CHECKING:
    from kosmolua.gate.run import Found
    from kosmolua.journal.journal import Journal
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.catalogue import Operation


class Ticket:
    """A request that is carried out now. ``open`` are earlier attempts at it, of which nobody knows how they ended."""

    def __init__(self, journal: Journal, began: Began, found: Sequence[Intent]) -> None:
        self.open: Sequence[Intent] = found
        self.sent = False
        self.finished = False
        self.unsure = False  # whether it failed, and may have been done all the same
        self.model: str | None = None
        self.essence = b""
        self.began = began
        self.lookup = journal.lookup
        self._journal = journal

    def send(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """It is about to be sent. A write is on disk when this returns; raises a `JournalError` where it is not."""
        self.adopt(operation, arguments)
        if operation.access == "write":
            self._journal.intend(self)

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """What an interrupted attempt at this call did, found by reads; None if it was not done and may be sent."""
        from kosmolua.journal import lookup

        return lookup.find(read, base_url, operation, given, self)

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """It was sent, now or earlier."""
        self.sent, self.model = True, model_of(arguments)
        self.essence = essence_of(operation, arguments)

    def settle(self, value: bytes) -> None:
        """Take down what came of it, where its answer was not waited for. That it cannot be written is no reason to
        fail once more: resumed, the run looks for it.
        """
        with suppress(JournalError):
            self._journal.finish(self, value, ok=True)

    def turn(self) -> AbstractContextManager[object]:
        """While there is something to look for, writes are sent one at a time, so that none is taken for another."""
        return self._journal.turn()

    @property
    def how(self) -> str:
        """What a person says to go on with the journal, before what is to become of this."""
        return self._journal.how

    def claimed(self, identifier: str) -> bool:
        """Whether that is the answer to another entry."""
        return self._journal.is_claimed(identifier)

    def claim(self, identifier: str) -> bool:
        """Note that this is the answer; False if another run has taken it meanwhile."""
        return self._journal.claim(identifier, interrupted=bool(self.open))

    def ended(self, attempt: Intent) -> float:
        """When the run that made an attempt had ended at the latest, in Unix seconds of this machine then."""
        return self._journal.ended(attempt.at)

    def alike(self) -> tuple[int, int]:
        """How many interrupted requests have results that nobody can tell apart, this one included; and how many such
        requests other runs are sending now.
        """
        return self._journal.alike(self.open[0].essence)
