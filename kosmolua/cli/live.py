"""The progress line on standard error while a run is on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.services.progress import Job, Progress, Summary

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


def text_of(summary: Summary, elapsed: float, name: str = "") -> str:
    """The state of the run in one line; empty if it waits for nothing. ``name`` is the model, if known."""
    states = _states(summary)
    if states:
        model = summary.model or name
        states[0] = f"{model}: {states[0]}" if model else states[0]
    downloads = [_download(*each) for each in summary.downloads[:1]]
    if len(summary.downloads) > 1:
        downloads.append(f"{len(summary.downloads) - 1} more downloads")
    compute = [f"{summary.seconds:.1f} s of compute"] if summary.seconds else []
    parts = [*states, *compute, *downloads]
    return ", ".join([clock(elapsed), *parts]) if parts else ""


def _states(summary: Summary) -> list[str]:
    """The predictions by state; one alone is not counted."""
    single = summary.creating + sum(summary.states.values()) == 1
    creating = ["being created" if single else f"{summary.creating} being created"] if summary.creating else []
    percent = "" if summary.percent is None else f" ({summary.percent}%)"
    return creating + [
        ("" if single else f"{count} ") + state + (percent if state == "processing" else "")
        for state, count in _ordered(summary.states)
    ]


def _ordered(states: dict[str, int]) -> list[tuple[str, int]]:
    from kosmolua.services.progress import STATES

    return [(state, states[state]) for state in STATES if state in states]


def _download(path: str, received: int, total: int | None) -> str:
    if total:
        return f"{path} {100 * received // total}% of {amount(total)}"
    return f"{path} {amount(received)}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(size: float) -> str:
    """A size for people, such as 1.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - decimal units
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


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
