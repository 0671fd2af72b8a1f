"""How a run is ended from another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError
    from kosmolua.runtime.isolate import Child
    from kosmolua.runtime.port import Port


class Stop:
    """Ends one run, whatever it does; if it has not begun it ends as it begins. ``error`` is why, once it is `set`.

    In this process a script ends where it next speaks with its host; what computes on and on is not interrupted.
    """

    def __init__(self) -> None:
        self.error: KosmoError | None = None
        self._lock = threading.Lock()
        self._is_set = threading.Event()
        self._run: tuple[Port, Child | None] | None = None

    def set(self, error: KosmoError) -> None:
        """End the run, from any thread; the first reason given stands."""
        with self._lock:
            if self.error is None:
                self.error = error
                self._is_set.set()
                self._end()

    def sleep(self, seconds: float) -> None:
        """Return when that time has passed. Raises the error as soon as there is one."""
        if self._is_set.wait(seconds) and self.error:
            raise self.error

    @contextmanager
    def over(self, port: Port, child: Child | None) -> Iterator[None]:
        """Hold the run that is under way meanwhile."""
        with self._lock:
            self._run = (port, child)
            if self.error:
                self._end()
        try:
            yield
        finally:
            with self._lock:
                self._run = None

    def _end(self) -> None:
        if self._run and self.error:
            port, child = self._run
            port.stop(self.error)
            if child:
                child.kill()
