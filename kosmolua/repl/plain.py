"""Reads inputs on a terminal without cursor control."""

from __future__ import annotations

from collections.abc import Callable


class Plain:
    """Reads inputs like `kosmolua.repl.line.Line`, but without line editing."""

    def __init__(self, is_complete: Callable[[str], bool]) -> None:
        self._is_complete = is_complete

    def read(self, prompt: str) -> str:
        text = input(prompt)
        while not self._is_complete(text):
            text += "\n" + input("… ".rjust(len(prompt)))
        return text

    def sixel(self) -> None:
        """None, since sixel images need cursor control."""
