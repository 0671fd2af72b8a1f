"""The terminal that all threads write to: one at a time, and below what is written a line that comes and goes."""

from __future__ import annotations

import os
import sys
import threading

SCREEN = threading.Lock()
"""Held by whoever writes or asks: nothing that a script prints comes between a question and its answer."""

if hasattr(os, "register_at_fork"):  # whoever held it is not in the forked process
    os.register_at_fork(after_in_child=lambda: SCREEN.release() if SCREEN.locked() else None)

_CLEAR = "\r\x1b[K"


class LiveLine:
    """The line below. Whoever has taken the screen wipes it away before anything is written.

    ``at_start`` is whether the cursor is where a line begins: nothing is drawn over the beginning of another's.
    """

    def __init__(self) -> None:
        self.at_start = True
        self._drawn = ""

    def draw(self, text: str) -> None:
        """Show this in the place of the last, an empty text for none; not while somebody else has the screen."""
        if text == self._drawn or not SCREEN.acquire(blocking=False):
            return
        try:
            if self.at_start:
                self._put(text)
        finally:
            SCREEN.release()

    def wipe(self) -> None:
        if self._drawn:
            self._put("")

    def _put(self, text: str) -> None:
        sys.stderr.write(_CLEAR + text)
        sys.stderr.flush()
        self._drawn = text


LINE = LiveLine()
