"""A line of text that is redrawn while something is running."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

PATIENCE = 0.3  # seconds before the first drawing: most runs end earlier
TURN = 0.1  # seconds between two drawings


class Drawing:
    """Draws the result of ``text`` in its own thread until closed."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="kosmolua-live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        from kosmolua.terminal.screen import LINE, SCREEN

        self._over.set()
        self._thread.join()
        with SCREEN:
            LINE.wipe()

    def _draw(self) -> None:
        from kosmolua.terminal.screen import LINE

        pause = PATIENCE
        while not self._over.wait(pause):
            pause = TURN
            LINE.draw(fitted(self._text(), _columns()))


def fitted(text: str, columns: int) -> str:
    """The text made safe for a terminal and cut to one line."""
    from unicodedata import east_asian_width

    from kosmolua.terminal.safe import visible

    shown, room = [], columns - 1
    for character in visible(text):
        room -= 2 if east_asian_width(character) in "WF" else 1
        if room < 0:
            break
        shown.append(character)
    return "".join(shown)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
