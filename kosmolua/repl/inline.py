"""The permission question between the lines of the prompt."""

from __future__ import annotations

import os
import select
from typing import IO

from kosmolua.gate.prompt import Answer, Question, Terminal
from kosmolua.repl.screen import Screen


class Inline(Terminal):
    """Asks between the lines of the prompt, and can be told that the input was interrupted, which is a no."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._reading, self._writing = os.pipe()

    def begin(self) -> None:
        """Another input may ask."""
        while select.select([self._reading], [], [], 0)[0]:
            os.read(self._reading, 1)

    def ask(self, question: Question) -> Answer | None:
        if select.select([self._reading], [], [], 0)[0]:
            return "no"
        with self._screen.asking():
            return super().ask(question)

    def interrupt(self) -> None:
        """From a signal handler: give up the question that is being asked, and those that would follow it."""
        os.write(self._writing, b"!")

    def _line(self, terminal: IO[bytes], question: Question) -> str:
        ready, _, _ = select.select([terminal.fileno(), self._reading], [], [])
        if self._reading not in ready:
            return super()._line(terminal, question)
        terminal.write(b"\n")
        return ""
