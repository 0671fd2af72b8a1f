"""The entry of a call in a journal while the call is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from kosmolua.errors import JournalError
from kosmolua.gate.policy import model_of
from kosmolua.journal.arguments import essence_of
from kosmolua.journal.records import CallStart, Intent

if TYPE_CHECKING:
    from kosmolua.gate.run import Found
    from kosmolua.journal.journal import Journal
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.catalogue import Operation


class Ticket:
    """A request that is being made. ``open`` are earlier attempts at it whose outcome is unknown."""

    def __init__(self, journal: Journal, began: CallStart, found: Sequence[Intent]) -> None:
        self.open: Sequence[Intent] = found
        self.afterwards: list[Callable[[], None]] = []
        self.sent = False
        self.finished = False
        self.approvals: list[str] = []
        self.unsure = False  # whether the call failed but may have been executed
        self.model: str | None = None
        self.essence = b""
        self.began = began
        self.lookup = journal.lookup
        self._journal = journal

    @property
    def place(self) -> tuple[int, int]:
        """The number of the task, and the number of the request in it."""
        return self.began.task, self.began.request

    @property
    def identity(self) -> str:
        """The run, and the place of the request in it."""
        return f"{self._journal.facts['id']}/{self.began.task}/{self.began.request}"

    def send(
        self, operation: Operation, arguments: Mapping[str, Any], reserve: Callable[[], None] = lambda: None
    ) -> None:
        """Note that the call will be sent. A write is on disk when this returns. Raises a `JournalError`, or what
        ``reserve`` raises, which is called in the same transaction. If it raises, nothing is noted.
        """
        self.adopt(operation, arguments)
        if operation.access == "write":
            try:
                self._journal.intend(self, reserve)
            except BaseException:
                self.sent = False
                raise

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """The result of an interrupted attempt, found by reads; None if the attempt was not executed and the call may
        be sent.
        """
        from kosmolua.journal import lookup

        return lookup.find(read, base_url, operation, given, self)

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """Note that the call was sent, now or earlier."""
        self.sent, self.model = True, model_of(arguments)
        self.essence = essence_of(operation, arguments)

    def settle(self, value: bytes) -> None:
        """Record the outcome of a call whose answer was not received. If that fails, a resumed run searches for it."""
        with suppress(JournalError):
            self._journal.finish(self, value, ok=True)

    def turn(self) -> AbstractContextManager[object]:
        """Send writes one at a time while an interrupted call is searched for, so that their results cannot be
        confused.
        """
        return self._journal.turn()

    @property
    def how(self) -> str:
        """The command that resumes the journal; a flag can be added to it."""
        return self._journal.how

    def claimed(self, identifier: str) -> bool:
        """Whether this id is the answer to another entry."""
        return self._journal.is_claimed(identifier)

    def claim(self, identifier: str) -> bool:
        """Record this id as the answer; False if another run has taken it meanwhile."""
        return self._journal.claim(identifier, interrupted=bool(self.open))

    def ended(self, attempt: Intent) -> float:
        """The latest end of the run that made an attempt, in Unix seconds of this machine at that time."""
        return self._journal.ended(attempt.at)

    def alike(self) -> tuple[int, int]:
        """The number of interrupted requests whose results cannot be told apart, including this one, and the number of
        such requests that other runs are sending now.
        """
        return self._journal.alike(self.open[0].essence)
