"""Carries out a script's requests: API calls, which pass the gate, and services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import msgspec

from kosmolua.errors import KosmoError, failure_of
from kosmolua.runtime import marshal
from kosmolua.runtime.pending import Waits

if TYPE_CHECKING:
    from kosmolua.gate.approval import Asking
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Ticket
    from kosmolua.gate.session import Session
    from kosmolua.replicate.body import Room
    from kosmolua.replicate.versions import Versions
    from kosmolua.services.poller import Pollers
    from kosmolua.services.services import Services

SERVICE = "host."  # prefix of the names of services


class ScriptHandler:
    """The `kosmolua.runtime.frames.Handler` for scripts and for the prompt.

    ``session`` and ``files`` are opened by the first request that needs them. ``during`` takes a function's name and
    returns the context in which a request for that function is carried out. Services look for modules in ``directory``,
    read ``stdin``, and call ``check`` repeatedly during long operations. A large answer occupies the ``room`` until it
    is encoded; ``seen`` gets every answer of the API. ``pollers`` wait for jobs. With ``asking``, requests that need an
    approval wait for it.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        session: Callable[[], Session],
        files: Callable[[], Files],
        during: Callable[[str], AbstractContextManager[None]],
        *,
        directory: str = "",
        stdin: IO[bytes] | None = None,
        versions: Versions | None = None,
        check: Callable[[], None] = lambda: None,
        room: Callable[[], Room | None] = lambda: None,
        seen: Callable[[Session, Any], None] | None = None,
        pollers: Callable[[], Pollers] | None = None,
        customs: Mapping[str, Custom] = MappingProxyType({}),
        asking: Asking | None = None,
    ) -> None:
        self._asking = asking
        self._session = session
        self._files = files
        self._during = during
        self._directory = directory
        self._stdin = stdin
        self._versions = versions
        self._check = check
        self._room = room
        self._seen = seen
        self._pollers = pollers
        self._customs = customs
        self._lock = threading.Lock()
        self._services: Services | None = None

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Ticket | None = None) -> Any:
        try:
            with self._during(function):
                if self._asking:
                    return self._asked(self._asking, function, account, arguments, ticket)
                if function.startswith(SERVICE):
                    return self._served()(function, arguments, ticket)
                return self._called(function, account, arguments, ticket)
        except (KosmoError, Waits):
            raise
        except Exception as error:  # raised when the session is opened; calls and services raise only KosmoError
            raise failure_of(error, function) from error

    def _asked(self, asking: Asking, function: str, account: str, arguments: bytes, ticket: Ticket | None) -> Any:
        """Carry out a request. Raises `Waits` if a person has to decide about it first."""
        from kosmolua.gate.approval import AskedError

        try:
            with asking.at(ticket):
                if function.startswith(SERVICE):
                    return self._served()(function, arguments, ticket)
                return self._called(function, account, arguments, ticket)
        except AskedError as asked:
            identifier = asked.identifier
            raise Waits(identifier, asked.left, lambda ready: asking.approvals.watch(identifier, ready)) from None

    def watch(self, function: str, arguments: bytes, ready: Callable[[], None]) -> Callable[[], None] | None:
        """The `kosmolua.runtime.parking.Watch` of runs."""
        if not function.startswith(SERVICE):
            return None
        with self._during(function):
            return self._served().watch(function, arguments, ready)

    @property
    def busy(self) -> bool:
        """Whether a service is still working."""
        return self._services is not None and self._services.busy

    def end(self) -> None:
        """End the services after the script."""
        if self._services:
            self._services.end()

    def _called(self, function: str, account: str, arguments: bytes, ticket: Ticket | None) -> Any:
        """Make an API call. A large answer is encoded before another thread may receive one."""
        session = self._session()
        room = self._room()
        if room:
            room.enter()
        try:
            data = session.call(function, arguments, account, ticket=ticket).data
            if self._seen:
                self._seen(session, data)
            return msgspec.Raw(marshal.encode(data)) if room and room.is_held else data
        finally:
            if room:
                room.leave()

    def _served(self) -> Services:
        from kosmolua.services.services import Services

        with self._lock:
            if self._services is None:
                pollers = self._pollers() if self._pollers else None
                self._services = Services(
                    self._files(),
                    self._directory,
                    self._session,
                    self._check,
                    pollers,
                    self._stdin,
                    self._customs,
                    self._versions,
                )
            return self._services
