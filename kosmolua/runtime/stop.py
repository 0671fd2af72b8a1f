"""Ends a run from another thread, and prevents sending for it afterwards."""

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

# Seconds that `set` waits for requests that are being sent. A request that takes longer, such as an upload, counts as
# sent.
PATIENCE = 2.0
_LOOK = 0.25  # seconds between checks, since a signal handler may set the error between a check and the following wait


class Stop:
    """Ends one run, whatever it is doing; a run that has not begun ends when it begins. `set` stores the reason in
    ``error``.

    A request is sent inside ``with stop.sending``, which raises the error once it is set. After `set` returns, no
    further request starts sending. A script in this process ends at its next request or hook. All locks are reentrant:
    a signal handler may stop the run that it interrupts.
    """

    def __init__(self) -> None:
        self.error: KosmoError | None = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._senders: list[int] = []  # ids of threads that are sending
        self.sending = _Sending(self, self._senders)
        self._callbacks: list[Callable[[], None]] = []
        self._run: tuple[Port, Child | None] | None = None

    def set(self, error: KosmoError) -> None:
        """End the run, from any thread. Only the first error counts."""
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
        """Raise a copy of the error, if set: each thread adds its own call to it."""
        if self.error:
            from copy import copy

            raise copy(self.error)

    def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``. Raises the error as soon as it is set."""
        until = time.monotonic() + seconds
        with self._changed:
            while self.error is None and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOK))
        self.check()

    @contextmanager
    def on_set(self, callback: Callable[[], None]) -> Iterator[None]:
        """Inside this context, `set` calls ``callback`` in its caller's thread, or the callback is called at once if
        the error is already set. It must not raise.
        """
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
    def running(self, port: Port, child: Child | None) -> Iterator[None]:
        """Inside this context, `set` ends this run."""
        with self._changed:
            self._run = (port, child)
            if self.error:
                self._end()
        try:
            yield
        finally:
            with self._changed:
                self._run = None

    def notify(self) -> None:
        """Wake a thread that waits in `set` for requests to be sent."""
        with self._changed:
            self._changed.notify_all()

    def _await_senders(self) -> None:
        own, until = threading.get_ident(), time.monotonic() + PATIENCE
        with self._changed:
            while any(sender != own for sender in tuple(self._senders)) and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _end(self) -> None:
        if self._run and self.error:
            port, child = self._run
            port.stop(self.error)
            if child:
                child.kill()


class _Sending:
    """A context for sending a request. Thread-safe without a lock: a sender enters its thread id, then checks the
    error; `Stop.set` sets the error, then checks for ids.
    """

    def __init__(self, stop: Stop, senders: list[int]) -> None:
        self._stop = stop
        self._senders = senders

    def __enter__(self) -> None:
        self._senders.append(threading.get_ident())
        if self._stop.error:
            self._leave()
            self._stop.check()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def _leave(self) -> None:
        self._senders.remove(threading.get_ident())
        if self._stop.error:
            self._stop.notify()
