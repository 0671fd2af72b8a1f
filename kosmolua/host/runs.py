"""The active runs of a host."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kosmolua.errors import UsageError
from kosmolua.runtime import descriptors

if TYPE_CHECKING:
    from kosmolua.host.script import ScriptRun

PATIENCE = 10.0  # seconds for stopped runs to end when their host closes


class Runs:
    """The active runs. Thread-safe."""

    def __init__(self) -> None:
        self._under_way: dict[ScriptRun, int | None] = {}  # run -> the id of its thread; None while it has none
        self._expected = 0
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._under_way)

    def renew(self) -> None:
        """In a forked process: reset to no active runs."""
        self._under_way, self._expected, self._changed = {}, 0, threading.Condition()

    @contextmanager
    def expecting(self) -> Iterator[int]:
        """Inside this context, another run is prepared, which opens files. Yields the number of runs."""
        with self._changed:
            self._expected += 1
            count = max(self._expected, len(self._under_way)) + 1
            descriptors.make_room(count)
        try:
            yield count
        finally:
            with self._changed:
                self._expected -= 1

    def check_open(self) -> None:
        if self._closed:
            raise UsageError("the host is closed", hint="use it inside its `with` block, or make a new one")

    @contextmanager
    def holding(self, run: ScriptRun) -> Iterator[None]:
        with self._changed:
            self.check_open()
            self._under_way[run] = threading.get_ident()
            descriptors.make_room(len(self._under_way))
        try:
            yield
        finally:
            with self._changed:
                self._under_way.pop(run, None)
                self._changed.notify_all()

    def move(self, run: ScriptRun, thread: int | None) -> None:
        """Record that the run continues in that thread, or pauses without a thread."""
        with self._changed:
            if run in self._under_way:
                self._under_way[run] = thread

    def close(self) -> None:
        """Allow no new run, stop the active ones, and wait for their end. The run that closes the host itself, in a
        callback or a signal handler, ends later.
        """
        with self._changed:
            self._closed = True
            running = list(self._under_way)
        for each in running:
            each.stop("the host was closed")
        with self._changed:
            self._changed.wait_for(lambda: all(map(self._is_own, self._under_way)), PATIENCE)

    def _is_own(self, run: ScriptRun) -> bool:
        """Whether this thread belongs to the run."""
        return self._under_way[run] == threading.get_ident() or run.is_called_here()
