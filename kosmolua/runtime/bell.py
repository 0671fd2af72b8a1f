"""Wakes a thread that waits in `poll`, from any thread."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_READ = 1 << 13


class Bell:
    """A pipe that `ring` writes to. After `close`, its methods do nothing, since the descriptors may be reused.

    The lock is reentrant, since a signal handler may ring while the interrupted thread is ringing.
    """

    def __init__(self) -> None:
        self.descriptor, self._far = os.pipe()  # the first descriptor becomes readable
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._far, False)
        self._lock = threading.RLock()
        self._open = True

    def ring(self) -> None:
        with self._lock, suppress(BlockingIOError):  # a full pipe also wakes the thread
            if self._open:
                os.write(self._far, b"!")

    def hush(self) -> None:
        """Discard all rings so far. Called by the waiting thread."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, _READ)

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.descriptor)
                os.close(self._far)
