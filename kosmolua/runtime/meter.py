"""The CPU time that this process spends for one run, read from the clocks of the threads that work for it.

Reading a thread's clock from outside costs the thread nothing, and also shows what it has not finished yet. Only Linux
numbers these clocks; elsewhere a thread is charged when it ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Counts for one run. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working: dict[int, float] = {}  # thread -> what its clock showed when it began
        self._exempt: dict[int, float] = {}  # thread -> what its clock showed when it began work that is not charged
        self._spent = 0.0  # by threads that have ended

    @property
    def seconds(self) -> float:
        with self._lock:
            running = sum(self._reading(thread) - since for thread, since in self._working.items())
            return self._spent + max(0.0, running)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Charge what the calling thread does meanwhile."""
        thread = threading.get_native_id()
        with self._lock:
            self._working[thread] = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._spent += time.thread_time() - self._working.pop(thread)

    @contextmanager
    def exempt(self) -> Iterator[None]:
        """Do not charge what the calling thread does meanwhile: work that serves every run, such as imports."""
        thread, began = threading.get_native_id(), time.thread_time()
        with self._lock:
            if thread in self._exempt or thread not in self._working:
                thread = 0
            else:
                self._exempt[thread] = began
        try:
            yield
        finally:
            with self._lock:
                if self._exempt.pop(thread, None) is not None:
                    self._working[thread] += time.thread_time() - began

    def _reading(self, thread: int) -> float:
        if thread in self._exempt:
            return self._exempt[thread]
        try:
            return time.clock_gettime(~thread << 3 | 6)  # how Linux numbers the CPU clocks of threads
        except OSError:
            return self._working[thread]
