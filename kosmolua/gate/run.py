"""What a session is opened with and speaks to: the run that calls, who watches it, and its place in a journal."""

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
    """What a call gave: the API's answer unchanged, or in a dry run the request that was not sent."""

    data: Any
    entry: Entry


class Watcher(Protocol):
    """Is told what a session does, by whichever thread does it. It is shown no secret."""

    def begins(self, entry: Entry, operation: Operation) -> None:
        """A request is about to be sent."""

    def ended(
        self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, error: KosmoError | None
    ) -> None:
        """A call has ended, with an answer or with an error. ``given`` is empty where its arguments were wrong."""

    def followed(self, url: str, event: str, data: str) -> None:
        """An event of the stream at that URL has come."""

    def downloading(self, path: str, received: int, total: int | None) -> None:
        """So many bytes of a file have come, of ``total`` where that is known; -1 once that is over."""


class Ticket(Protocol):
    """The place of one call in the journal of its run. ``sent``: it was handed to the client, and not found to be
    invalid there; ``unsure``: it failed, and may still have been done.
    """

    sent: bool
    unsure: bool

    @property
    def open(self) -> Sequence[object]:
        """Earlier attempts at this call that were interrupted."""

    def send(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """The call is about to be sent. A write is on disk when this returns; raises a `JournalError` if it is not."""

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """The call was sent, now or by an earlier attempt."""

    def turn(self) -> AbstractContextManager[object]:
        """While there is something to look for, writes are sent one at a time."""

    def claim(self, identifier: str) -> None:
        """That object of the API is the answer to this call, and to no other."""

    def settle(self, value: bytes) -> None:
        """Take down what came of the call, as MessagePack, when its answer was not waited for."""

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """What an interrupted attempt at this call did, found by reads; None if it was not done and may be sent."""


class Found(Struct, frozen=True):
    """An interrupted write was done, and ``data`` is what the API shows of it."""

    data: Any


class Run(Struct, frozen=True):
    """Who calls: a command, or the script of that name, with what its header declares and the files it may read.

    ``id`` is what the record of calls knows it by.
    """

    id: str = ""
    script: str | None = None
    needs: Needs | None = None
    files: Files | None = None
