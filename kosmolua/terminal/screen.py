"""The terminal shared by all threads: a lock for writers, and a progress line below the output."""

from __future__ import annotations

import os
import sys
import threading

SCREEN = threading.Lock()
"""Held while writing and asking, so that a script cannot print between a question and its answer."""

if hasattr(os, "register_at_fork"):  # the thread that held the lock does not exist in the forked process
    os.register_at_fork(after_in_child=lambda: SCREEN.release() if SCREEN.locked() else None)

_CLEAR = "\r\x1b[K"


class LiveLine:
    """The progress line. Writers take `SCREEN` and wipe the line before they write.

    ``at_start`` is whether the cursor is at the start of a line. If not, the line is not drawn.
    """

    def __init__(self) -> None:
        self.at_start = True
        self._drawn = ""

    def draw(self, text: str) -> None:
        """Replace the line; an empty text removes it. Does nothing while another thread holds the screen."""
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
