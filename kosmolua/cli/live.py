"""The progress line on standard error while a run is on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.services.progress import Job, Progress
    from kosmolua.terminal.drawing import Drawing


class Watch:
    """Makes the `Progress` of a run with its first call, and draws it if ``moving``. ``name`` is the run's model, if
    known in advance.
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
            from kosmolua.terminal.drawing import Drawing

            began = time.monotonic()
            self._drawing = Drawing(lambda: text_of(progress.summary(), time.monotonic() - began, self._name))
        return progress

    def close(self) -> None:
        """Remove the line. ``progress`` stays available."""
        if self._drawing:
            self._drawing.close()


class Lines:
    """Makes the `Progress` of a run of one model, and prints a line for each state of the prediction but the last."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self) -> Progress:
        from kosmolua.services.progress import Progress

        return Progress(on_state=self._print)

    def close(self) -> None:
        """Do nothing: no progress line was drawn."""

    def _print(self, job: Job) -> None:
        from kosmolua.cli.host import print_notice
        from kosmolua.gate.budget import TERMINAL

        if job.status not in TERMINAL:
            print_notice(f"{self._name} {job.status}: prediction {job.id}")
