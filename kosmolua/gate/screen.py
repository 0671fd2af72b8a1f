"""The terminal that all threads write to: one at a time, and below what is written a line that comes and goes."""

from __future__ import annotations

import sys
import threading
from typing import Self

_CLEAR = "\r\x1b[K"


class Screen:
    """Held by whoever writes or asks; whoever takes it finds the line gone.

    ``at_start`` is whether the cursor is where a line begins: nothing is drawn over the beginning of another's.
    """

    def __init__(self) -> None:
        self.at_start = True
        self._lock = threading.Lock()
        self._drawn = ""

    def draw(self, line: str) -> None:
        """Show this line in the place of the last, an empty one for none; not while somebody else writes or asks."""
        if line == self._drawn or not self._lock.acquire(blocking=False):
            return
        try:
            if self.at_start:
                sys.stderr.write(_CLEAR + line)
                sys.stderr.flush()
                self._drawn = line
        finally:
            self._lock.release()

    def acquire(self, *, blocking: bool = True) -> bool:
        taken = self._lock.acquire(blocking=blocking)
        if taken and self._drawn:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._drawn = ""
        return taken

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


SCREEN = Screen()
"""Held while a question is on the screen: nothing that a script prints comes between it and its answer."""
