"""The progress line on standard error while a run is on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.services.progress import Job, Progress

PATIENCE = 0.3  # seconds before the first drawing: most runs end earlier
TURN = 0.1  # seconds between two drawings


class Watch:
    """Makes the `Progress` of a run with its first call, and draws it if ``moving``. ``name`` is the model that the run
    is known to create predictions of.
    """

    def __init__(self, *, moving: bool, keep: bool, name: str = "") -> None:
        self.progress: Progress | None = None
        self._moving = moving
        self._keep = keep
        self._name = name
        self._drawing: Drawing | None = None

    def __call__(self) -> Progress:
        from kosmolua.services.progress import Progress

        progress = self.progress = Progress(keep=self._keep)
        if self._moving:
            from kosmolua.services.progress_line import text_of

            began = time.monotonic()
            self._drawing = Drawing(lambda: text_of(progress.summary(), time.monotonic() - began, self._name))
        return progress

    def close(self) -> None:
        """Remove the line. ``progress`` stays available."""
        if self._drawing:
            self._drawing.close()


class Lines:
    """Makes the `Progress` of a run of one model, and prints each state of its prediction but the last as a line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self) -> Progress:
        from kosmolua.services.progress import Progress

        return Progress(on_state=self._print)

    def close(self) -> None:
        """There is nothing to remove from the terminal."""

    def _print(self, job: Job) -> None:
        from kosmolua.cli.host import print_notice
        from kosmolua.gate.budget import TERMINAL

        if job.status not in TERMINAL:
            print_notice(f"{self._name} {job.status}: prediction {job.id}")


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
