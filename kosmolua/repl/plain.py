"""Lines from a terminal that can do nothing but show them."""

from __future__ import annotations

from collections.abc import Callable


class Plain:
    """Reads one input after another, as `kosmolua.repl.line.Line` does, without editing."""

    def __init__(self, is_complete: Callable[[str], bool]) -> None:
        self._is_complete = is_complete

    def read(self, prompt: str) -> str:
        text = input(prompt)
        while not self._is_complete(text):
            text += "\n" + input("… ".rjust(len(prompt)))
        return text

    def sixel(self) -> None:
        """Such a terminal shows no images."""
