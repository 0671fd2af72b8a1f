"""The interfaces of a session: the run that makes its calls, its watcher, and the place of a call in a journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from kosmolua.gate.entry import Entry
from kosmolua.gate.files import Files
from kosmolua.gate.needs import Needs
from kosmolua.replicate.catalogue import Operation

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError
    from kosmolua.replicate.answers import Answer


class Reply(Struct, frozen=True):
    """The result of a call: the API's answer unchanged, or in a dry run the request that was not sent."""

    data: Any
    entry: Entry


class Watcher(Protocol):
    """Observes a session, on the thread of each call. It never sees a secret."""

    def begins(self, entry: Entry, operation: Operation, given: Mapping[str, Any]) -> None:
        """A request is about to be sent. ``given`` are its arguments if it is a write."""

    def ended(
        self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, error: KosmoError | None
    ) -> None:
        """A call has ended, with an answer or with an error. ``given`` is empty if its arguments were invalid."""

    def followed(self, url: str, event: str, data: str) -> None:
        """An event of the stream at that URL has arrived."""

    def downloading(self, path: str, received: int, total: int | None) -> None:
        """``received`` bytes of a file have arrived, of ``total`` if known; -1 when the download has ended."""


class Ticket(Protocol):
    """The place of one call in the journal of its run. ``sent``: the client accepted and sent the call; ``unsure``: the
    call failed, but the API may have executed it. ``approvals`` are the ids of the decisions about the call.
    ``afterwards`` are functions to call in the transaction that records the outcome.
    """

    sent: bool
    unsure: bool
    approvals: list[str]
    afterwards: list[Callable[[], None]]

    @property
    def place(self) -> tuple[int, int]:
        """The number of the task, and the number of the request in it."""

    @property
    def identity(self) -> str:
        """A value that identifies this call among the calls of all runs; a resumed run has the same value."""

    @property
    def open(self) -> Sequence[object]:
        """Earlier attempts at this call that were interrupted."""

    def send(
        self, operation: Operation, arguments: Mapping[str, Any], reserve: Callable[[], None] = lambda: None
    ) -> None:
        """Note that the call is about to be sent. Returns once a write is on disk; raises a `JournalError` if that
        fails. ``reserve`` is called in the transaction of a write, which does not happen if it raises.
        """

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """Note that the call was sent, now or by an earlier attempt."""

    def turn(self) -> AbstractContextManager[object]:
        """Send writes one at a time while interrupted calls are unresolved."""

    def claim(self, identifier: str) -> bool:
        """Note that this API object belongs to this call only. False if another run has taken it meanwhile."""

    def settle(self, value: bytes) -> None:
        """Record the outcome, as MessagePack, of a call whose answer was not received."""

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """Use reads to find what an interrupted attempt at this call created; None if it created nothing: send the
        call.
        """


class Found(Struct, frozen=True):
    """An interrupted write succeeded; ``data`` is what the API shows."""

    data: Any


class Run(Struct, frozen=True):
    """The caller: a command, or a script with its name, its header and its files.

    ``id`` identifies the run in the record of calls.
    """

    id: str = ""
    script: str | None = None
    needs: Needs | None = None
    files: Files | None = None
