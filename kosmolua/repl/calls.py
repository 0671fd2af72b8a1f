"""What inputs ask of their host: the session, which `:policy`, `:emulate` and the like open anew, and what is on its
way there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from kosmolua.errors import failure_of
from kosmolua.host.handler import SERVICE, ScriptHandler

if TYPE_CHECKING:
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Ticket
    from kosmolua.gate.session import Session
    from kosmolua.repl.options import Options


class Hosts(Protocol):
    """What makes sessions of the options as they are then."""

    def session(self) -> Session: ...

    def files(self) -> Files: ...

    def reserve(self, path: str, what: str) -> None: ...

    def close(self) -> None: ...


class Calls:
    """Carries out what an input asks for."""

    def __init__(self, options: Options, hosts: Hosts) -> None:
        self.options = options
        self.seen: Callable[[Any], None] = lambda _: None  # is told of every answer
        self._hosts = hosts
        self._session: Session | None = None
        self._handler = ScriptHandler(self.session, self._files, self._carrying_out, seen=self._look)
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[str, float]] = {}

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Ticket | None = None) -> Any:
        return self._handler(function, account or self.options.account, arguments, ticket)

    @contextmanager
    def _carrying_out(self, function: str) -> Iterator[None]:
        if not function.startswith(SERVICE):
            session = self.session()
            raised, session.raised = session.raised, None
            if raised:  # what failed after an earlier answer, which it did not cost
                raise failure_of(raised, "after an earlier call")
        with self._noted(function.removeprefix(SERVICE)):
            yield

    def _files(self) -> Files:
        return self._hosts.files()

    def _look(self, session: Session, answer: Any) -> None:
        try:
            self.seen(answer)
        except Exception as error:  # noqa: BLE001 - raised by the next call: this one has its answer
            session.raised = error

    def lane(self, function: str) -> str:
        from kosmolua.services.lanes import lane_of

        return lane_of(function)

    def session(self) -> Session:
        with self._lock:
            if self._session is None:
                self._session = self._hosts.session()
            return self._session

    @property
    def opened(self) -> Session | None:
        """The session, once there was a call."""
        return self._session

    def under_way(self) -> tuple[str, float] | None:
        """The function that has been on its way longest, and for how many seconds."""
        found = min(list(self._under_way.values()), key=lambda item: item[1], default=None)
        return found and (found[0], time.monotonic() - found[1])

    def creating(self) -> list[str]:
        """The functions on their way that create something."""
        from kosmolua.replicate import catalogue

        names = [name for name, _ in list(self._under_way.values())]
        return [name for name in names if (operation := catalogue.find(name)) and operation.creates]

    def reopen(self, *, fresh: bool) -> None:
        """Let the next call find the options as they are now; what was spent and logged goes on unless ``fresh``."""
        before, self._session = self._session, None
        if before is None:
            return
        after = self.session()
        after.budget.caps = before.budget.caps
        after.kept = before.kept
        if not fresh:
            after.budget, after.log = before.budget, before.log
        if not self._under_way:
            before.close()

    def reserve(self, path: str, what: str) -> None:
        """Let no input read or write that file of the session."""
        self._hosts.reserve(path, what)

    def keep(self, journal: str, answers: Iterable[tuple[str, Any]], tell: Callable[[str], None]) -> Callable[[], None]:
        """Keep the outputs of predictions next to that journal, from now on. Gives what ends that."""
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
        """The bytes behind the URL of an output."""
        with self._noted("fetching the image"):
            return self.session().fetch(url, limit, self.options.account)

    def close(self) -> None:
        self._handler.end()
        if self._session:
            self._session.close()
        self._hosts.close()

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        key = threading.get_ident()
        self._under_way[key] = (what, time.monotonic())
        try:
            yield
        finally:
            del self._under_way[key]
