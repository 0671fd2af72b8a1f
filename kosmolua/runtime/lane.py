"""Threads that run calls of one kind, in the order of submission."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kosmolua.runtime.threads import started

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter

# Not a ThreadPoolExecutor: its unused futures take a tenth of the CPU time of a call when many calls run at once
# (measured).


class Lane:
    """A pool of at most ``threads`` threads; a new one starts when there is work and no thread is idle. They end with
    the process or after `close`. The ``meter`` counts their CPU time.
    """

    def __init__(self, name: str, threads: int, meter: Meter) -> None:
        self._name = name
        self._meter = meter
        self._most = threads
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._free = 0  # idle threads minus queued actions
        self._closed = False

    def submit(self, action: Callable[[], None]) -> None:
        """Run the action when a thread is free. It must not raise."""
        if len(self._threads) < self._most:
            self._find_thread()
        self._work.put(action)

    def _find_thread(self) -> None:
        with self._lock:
            self._free -= 1
            if self._free < 0 and len(self._threads) < self._most:
                thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._threads.append(started(thread))
                self._free += 1

    def close(self) -> None:
        """Start no further actions."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)

    def join(self, deadline: float) -> bool:
        """Wait for running actions until ``deadline`` (by `time.monotonic`). Return whether all have ended."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        with self._meter.working():
            self._serve_until_closed()

    def _serve_until_closed(self) -> None:
        while True:
            action = self._work.get()
            if action is None:
                return
            if self._closed:
                continue
            action()
            if len(self._threads) < self._most:  # after `close`, the count no longer matters
                with self._lock:
                    self._free += 1
