"""Asks permission questions at the prompt."""

from __future__ import annotations

import os
import select
from typing import IO

from kosmolua.gate.prompt import Answer, Question, Terminal
from kosmolua.repl.screen import Screen


class Inline(Terminal):
    """Asks questions between the lines of the prompt. An interrupt answers no."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._reading, self._writing = os.pipe()

    def begin(self) -> None:
        """Reset for a new input."""
        while select.select([self._reading], [], [], 0)[0]:
            os.read(self._reading, 1)

    def ask(self, question: Question) -> Answer | None:
        if select.select([self._reading], [], [], 0)[0]:
            return "no"
        with self._screen.asking():
            return super().ask(question)

    def interrupt(self) -> None:
        """Answer no to the current question and to later questions of this input. A signal handler may call this."""
        os.write(self._writing, b"!")

    def _line(self, terminal: IO[bytes], question: Question) -> str:
        ready, _, _ = select.select([terminal.fileno(), self._reading], [], [])
        if self._reading not in ready:
            return super()._line(terminal, question)
        terminal.write(b"\n")
        return ""
