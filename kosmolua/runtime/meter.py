"""Measures the CPU time that this process spends on one run, from the clocks of the threads that work for the run.

Reading a thread's clock from another thread does not slow the first thread, and includes unfinished work. Only Linux
has ids for these clocks; elsewhere a thread's time is added when its work ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """The CPU time of one run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working: dict[int, float] = {}  # thread -> its clock when it began to work for the run
        self._exempt: dict[int, float] = {}  # thread -> its clock when it began work that is not counted
        self._spent = 0.0  # CPU seconds of threads that no longer work for the run

    @property
    def seconds(self) -> float:
        with self._lock:
            running = sum(self._reading(thread) - since for thread, since in self._working.items())
            return self._spent + max(0.0, running)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the calling thread's CPU time inside this context."""
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
        """Do not count the calling thread inside this context: for work that serves every run, such as imports."""
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
            return time.clock_gettime(~thread << 3 | 6)  # the clock id of a thread's CPU time on Linux
        except OSError:
            return self._working[thread]
