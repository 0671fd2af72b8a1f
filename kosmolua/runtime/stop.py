"""How a run is ended from another thread, and that nothing is sent for it afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from kosmolua.errors import KosmoError
    from kosmolua.runtime.isolate import Child
    from kosmolua.runtime.port import Port

# Seconds that `set` waits for requests whose bytes are just leaving; what takes longer, such as an upload, counts as
# begun before.
PATIENCE = 2.0
_LOOK = 0.25  # seconds after which a sleep looks again: a signal handler may set it between the look and the wait


class Stop:
    """Ends one run, whatever it does; if it has not begun it ends as it begins. ``error`` is why, once it is `set`.

    A request is sent inside ``with stop.sending``, which raises the error once there is one. When `set` returns, no
    request that had not begun to leave will. In this process a script ends where it next speaks with its host, or at
    the next hook. Every lock may be taken twice by one thread: a signal handler may stop the run that it interrupts.
    """

    def __init__(self) -> None:
        self.error: KosmoError | None = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._senders: list[int] = []  # their threads
        self.sending = _Sending(self, self._lock, self._senders)
        self._callbacks: list[Callable[[], None]] = []
        self._run: tuple[Port, Child | None] | None = None

    def set(self, error: KosmoError) -> None:
        """End the run, from any thread; the first reason given stands."""
        with self._changed:
            callbacks = self._callbacks if self.error is None else []
            if self.error is None:
                self.error = error
                self._end()
            self._changed.notify_all()
        for callback in list(callbacks):
            callback()
        self._await_senders()

    def check(self) -> None:
        """Raise the error, if there is one: a copy, since each thread adds its own call to it."""
        if self.error:
            from copy import copy

            raise copy(self.error)

    def sleep(self, seconds: float) -> None:
        """Return when that time has passed. Raises the error as soon as there is one."""
        until = time.monotonic() + seconds
        with self._changed:
            while self.error is None and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOK))
        self.check()

    @contextmanager
    def told(self, callback: Callable[[], None]) -> Iterator[None]:
        """Meanwhile, `set` calls it, on its own thread; at once where it was set before. It must not raise."""
        with self._changed:
            self._callbacks.append(callback)
            was_set = self.error is not None
        if was_set:
            callback()
        try:
            yield
        finally:
            with self._changed:
                self._callbacks.remove(callback)

    @contextmanager
    def over(self, port: Port, child: Child | None) -> Iterator[None]:
        """Hold the run that is under way meanwhile."""
        with self._changed:
            self._run = (port, child)
            if self.error:
                self._end()
        try:
            yield
        finally:
            with self._changed:
                self._run = None

    def sent(self) -> None:
        """Tell whoever waits in `set` that a request has left."""
        with self._changed:
            self._changed.notify_all()

    def _await_senders(self) -> None:
        own, until = threading.get_ident(), time.monotonic() + PATIENCE
        with self._changed:
            while any(sender != own for sender in self._senders) and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _end(self) -> None:
        if self._run and self.error:
            port, child = self._run
            port.stop(self.error)
            if child:
                child.kill()


class _Sending:
    """While the bytes of a request leave; for any number of threads at once."""

    def __init__(self, stop: Stop, lock: threading.RLock, senders: list[int]) -> None:
        self._stop = stop
        self._lock = lock
        self._senders = senders

    def __enter__(self) -> None:
        with self._lock:
            if self._stop.error:
                self._stop.check()
            self._senders.append(threading.get_ident())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._senders.remove(threading.get_ident())
        if self._stop.error:
            self._stop.sent()
