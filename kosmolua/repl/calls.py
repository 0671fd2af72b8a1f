"""Calls that inputs make. Keeps their session, which commands such as `:policy` and `:emulate` reopen, and the calls in
flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from kosmolua.errors import failure_of
from kosmolua.host.handler import SERVICE, ScriptHandler

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Ticket, Watcher
    from kosmolua.gate.session import Session
    from kosmolua.repl.options import Options
    from kosmolua.replicate.catalogue import Operation


class Hosts(Protocol):
    """Opens sessions with the current options."""

    def session(self, watcher: Watcher) -> Session: ...

    def files(self) -> Files: ...

    def reserve(self, path: str, what: str) -> None: ...

    def close(self) -> None: ...


class Watching:
    """Adds the session's calls to the progress of the current input."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        from kosmolua.services.progress import Progress

        self.progress = Progress()

    def begins(self, entry: Entry, operation: Operation, given: Mapping[str, Any]) -> None:
        self.progress.begins(entry, operation, given)

    def ended(
        self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, error: KosmoError | None
    ) -> None:
        self.progress.ended(entry, operation, given, data, error)

    def followed(self, url: str, event: str, data: str) -> None:
        self.progress.followed(url, event, data)

    def downloading(self, path: str, received: int, total: int | None) -> None:
        self.progress.downloading(path, received, total)


class Calls:
    """Carries out the calls that inputs make."""

    def __init__(self, options: Options, hosts: Hosts) -> None:
        self.options = options
        self.seen: Callable[[Any], None] = lambda _: None  # called with every answer
        self._hosts = hosts
        self._session: Session | None = None
        self._watching: Watching | None = None
        self._handler = ScriptHandler(self.session, self._files, self._tracking, seen=self._look)
        self._lock = threading.Lock()
        self._in_flight: dict[int, tuple[str, float]] = {}

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Ticket | None = None) -> Any:
        return self._handler(function, account or self.options.account, arguments, ticket)

    @contextmanager
    def _tracking(self, function: str) -> Iterator[None]:
        if not function.startswith(SERVICE):
            session = self.session()
            raised, session.raised = session.raised, None
            if raised:  # failed after an earlier answer, which was not lost
                raise failure_of(raised, "after an earlier call")
        with self._tracked(function.removeprefix(SERVICE)):
            yield

    def _files(self) -> Files:
        return self._hosts.files()

    def _look(self, session: Session, answer: Any) -> None:
        try:
            self.seen(answer)
        except Exception as error:  # noqa: BLE001 - raised by the next call, since this one has its answer
            session.raised = error

    def lane(self, function: str) -> str:
        from kosmolua.services.lanes import lane_of

        return lane_of(function)

    def session(self) -> Session:
        with self._lock:
            if self._session is None:
                self._watching = self._watching or Watching()
                self._session = self._hosts.session(self._watching)
            return self._session

    def begin(self) -> None:
        """Begin a new input: discard the progress of the last one."""
        if self._watching:
            self._watching.begin()

    def running(self) -> str:
        """The predictions of this input that have not ended, in words; empty if there are none."""
        from kosmolua.services.progress_line import running

        return running(self._watching.progress.summary()) if self._watching else ""

    @property
    def opened(self) -> Session | None:
        """The open session; None before the first call."""
        return self._session

    def longest_call(self) -> tuple[str, float] | None:
        """The longest call in flight: its function and its seconds so far."""
        found = min(list(self._in_flight.values()), key=lambda item: item[1], default=None)
        return found and (found[0], time.monotonic() - found[1])

    def creating(self) -> list[str]:
        """The functions of the creations in flight."""
        from kosmolua.replicate import catalogue

        names = [name for name, _ in list(self._in_flight.values())]
        return [name for name in names if (operation := catalogue.find(name)) and operation.creates]

    def reopen(self, *, fresh: bool) -> None:
        """Use the current options from the next call on. Keep the budget and the log unless ``fresh``."""
        before, self._session = self._session, None
        if before is None:
            return
        after = self.session()
        after.budget.caps = before.budget.caps
        after.kept, after.conversions = before.kept, before.conversions
        if not fresh:
            after.budget, after.log = before.budget, before.log
        if not self._in_flight:
            before.close()

    def reserve(self, path: str, what: str) -> None:
        """Prevent inputs from reading or writing that file."""
        self._hosts.reserve(path, what)

    def keep(self, journal: str, answers: Iterable[tuple[str, Any]], tell: Callable[[str], None]) -> Callable[[], None]:
        """From now on, keep copies of predictions' outputs next to that journal. Returns a function that ends this."""
        from kosmolua.journal.outputs import Outputs
        from kosmolua.services.keeping import Keeping

        keeping = Keeping(self.session, Outputs(journal), tell)
        self.session().kept = keeping
        keeping.restore(answers)

        def end() -> None:
            keeping.finish(failed=False)
            if self._session and self._session.kept is keeping:
                self._session.kept = None

        return end

    def picture(self, url: str, limit: int) -> bytes:
        """Fetch the bytes of an output's URL."""
        with self._tracked("fetching the image"):
            return self.session().fetch(url, limit, self.options.account)

    def close(self) -> None:
        self._handler.end()
        if self._session:
            self._session.close()
        self._hosts.close()

    @contextmanager
    def _tracked(self, what: str) -> Iterator[None]:
        key = threading.get_ident()
        self._in_flight[key] = (what, time.monotonic())
        try:
            yield
        finally:
            del self._in_flight[key]
