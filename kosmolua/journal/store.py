"""What a journal needs from its storage. `kosmolua.journal.sqlite` implements it in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from kosmolua.journal.records import CallStart, Counts, Facts, Head, Line, Loaded, Sent


class Store(Protocol):
    """The storage of one journal. Everything but `hold` and `close` is called inside ``with hold():``.

    Rows are added and marked as cut, never removed, since money that was spent remains spent.
    """

    def hold(self, what: str = "") -> AbstractContextManager[object]:
        """Exclusive use by this thread. A failure is raised as a `JournalError` that ends with ``what``."""

    def prepare(self, head: Head) -> Facts:
        """The facts of the run. A new journal gets the facts in ``head``."""

    def facts(self) -> Facts:
        """The facts of the run."""

    def begin_run(self, digest: str) -> int:
        """Record the start of a run of a script with this digest. Returns its number."""

    def end(self, run: int, error: str | None) -> None:
        """Record that a run has ended: successfully if ``error`` is None."""

    def load(self) -> Loaded:
        """What a resumed run needs."""

    def intend(
        self,
        began: CallStart,
        model: str | None,
        essence: bytes,
        boot: tuple[str, float],
        approvals: Sequence[str] = (),
    ) -> None:
        """Record that a write is about to be sent, and that it uses these approvals: on disk, and both or neither.
        Raises a `JournalError` if an approval was used for something else.
        """

    def use(self, approvals: Sequence[str], outcome: int = 0) -> None:
        """Record that the script received these decisions, with the outcome of that number."""

    def is_used(self, approval: str) -> bool:
        """Whether a call of this run has used that approval."""

    def finish(
        self,
        began: CallStart,
        model: str | None,
        state: str,
        value: bytes | None,
        *,
        sent: bool,
        takes: str | None = None,
        alone: bool = False,
    ) -> int:
        """Record the next answer, and, with ``takes``, that this run takes the API object with that id. Returns the
        answer's number. ``alone`` means that nothing else changes inside this `hold`.
        """

    def value(self, number: int) -> bytes | None:
        """The answer of that number; None if it was not kept."""

    def cut(self, first: int) -> None:
        """Discard the answers from that number on, and attempts without an answer."""

    def forget_last_error(self) -> None:
        """Discard the last failed answer, unless the last run succeeded after it."""

    def last_end(self) -> tuple[float, bool, str | None] | None:
        """When the last run ended, whether it succeeded, and its error; None if it has not ended."""

    def last_digest(self) -> str | None:
        """The digest of the script in the last run."""

    def ended_after(self, at: float) -> float | None:
        """The first end or start of a run after that moment, in Unix seconds."""

    def newest(self) -> int:
        """The number of the last answer, including discarded ones."""

    def summaries(self) -> Counts:
        """The run in numbers."""

    def sent(self, after: int = 0) -> Iterator[Sent]:
        """The calls that were sent, including discarded ones, with numbers above ``after``."""

    def succeeded(self, functions: Sequence[str]) -> list[tuple[str, bytes]]:
        """Account and answer of the kept calls of these functions whose answer contains the word "succeeded"."""

    def lines(self, *, answers: bool = True) -> Iterator[Line]:
        """All entries in the order of their answers, then the open attempts."""

    def take(self, identifier: str) -> bool:
        """Note that an API object is the answer to a call of this run; False if the object belongs to another run."""

    def is_taken(self, identifier: str) -> bool:
        """Whether an API object is the answer to a call of another run in the same storage."""

    def elsewhere(self, essence: bytes) -> tuple[int, int]:
        """How many attempts of other runs in the same storage have this essence and no answer: interrupted ones, and
        those in flight.
        """

    def close(self) -> None:
        """Release the storage."""
