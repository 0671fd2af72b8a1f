"""Threads that carry out one kind of calls, in the order in which they were asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kosmolua.runtime.threads import started

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter

# Not a ThreadPoolExecutor, whose futures nobody looks at: they cost a call in a fan-out a tenth of its CPU (measured).


class Lane:
    """At most so many threads, each begun when there is work and none is idle. They end with the process or `close`.

    What they do is charged to the ``meter``.
    """

    def __init__(self, name: str, threads: int, meter: Meter) -> None:
        self._name = name
        self._meter = meter
        self._most = threads
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._free = 0  # threads that wait, less the work that waits
        self._closed = False

    def submit(self, action: Callable[[], None]) -> None:
        """Carry it out when a thread is free. It must not raise."""
        with self._lock:
            self._free -= 1
            if self._free < 0 and len(self._threads) < self._most:
                thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._threads.append(started(thread))
                self._free += 1
        self._work.put(action)

    def close(self) -> None:
        """Begin nothing that has not begun."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)

    def join(self, deadline: float) -> bool:
        """Wait for what has begun, until a moment as `time.monotonic` tells it. Whether it has ended."""
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
            with self._lock:
                self._free += 1
