"""Terminal output while an input runs: the text that it prints, and a progress line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from kosmolua.repl.lexer import KEYWORDS, tokens
from kosmolua.terminal.safe import safe
from kosmolua.terminal.screen import SCREEN

PATIENCE = 0.7  # seconds after which the progress line appears
_TURN = 0.1
_MARKS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR = "\r\x1b[K"
_COLOURS = {"keyword": "35", "string": "32", "number": "36", "comment": "2", "dim": "2", "error": "31"}
_WORDS = frozenset({"true", "false", "nil"})


class Screen:
    """Writes text immediately. ``plain`` means no colors and no progress line."""

    def __init__(self, *, plain: bool) -> None:
        self.plain = plain
        self._drawn = False
        self._at_start = True
        self._quiet = threading.Event()

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        """Write what a script printed (1) or logged (2)."""
        shown = safe(text.decode(errors="replace"))
        with SCREEN:
            self._wipe()
            self._put(sys.stderr if stream == 2 else sys.stdout, shown)  # noqa: PLR2004 - file descriptor

    def show(self, text: str) -> None:
        """Write lines from the prompt itself."""
        with SCREEN:
            self._wipe()
            self._put(sys.stdout, ("" if self._at_start else "\n") + text + "\n")

    def show_error(self, text: str) -> None:
        head, _, rest = text.partition("\n")
        self.show(self.painted(head, "error") + (f"\n{rest}" if rest else ""))

    def end_line(self) -> None:
        """Move the cursor to the beginning of a line, unless it is there."""
        with SCREEN:
            self._wipe()
            if not self._at_start:
                self._put(sys.stdout, "\n")

    def forget_echo(self) -> None:
        """Erase the ^C that the terminal has echoed."""
        if not self.plain:
            with SCREEN:
                self._wipe()
                sys.stdout.write(_CLEAR)

    def painted(self, text: str, style: str) -> str:
        return text if self.plain else f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"

    def as_lua(self, text: str) -> str:
        """Lua source with syntax colors."""
        if self.plain:
            return text
        return "".join(self._token(token.kind, token.text) for token in tokens(text))

    def _token(self, kind: str, text: str) -> str:
        if text in KEYWORDS and text not in _WORDS:
            kind = "name"  # values contain no code, so such a word is part of a text
        return self.painted(text, kind) if kind in _COLOURS and kind != "error" else text

    @contextmanager
    def progress(self, what: Callable[[], str]) -> Iterator[None]:
        """Inside this context, show what is running in a progress line."""
        if self.plain or not sys.stderr.isatty():
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._animate, args=(what, over), name="kosmolua-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with SCREEN:
                self._wipe()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Inside this context, hide the progress line, since a question is asked."""
        self._quiet.set()
        with SCREEN:
            self._wipe()
            if not self._at_start:
                self._put(sys.stdout, "\n")
        try:
            yield
        finally:
            self._quiet.clear()

    def _animate(self, what: Callable[[], str], over: threading.Event) -> None:
        began, turn = time.monotonic(), 0
        pause = PATIENCE
        while not over.wait(pause):
            pause, turn = _TURN, turn + 1
            if self._at_start and not self._quiet.is_set() and SCREEN.acquire(blocking=False):
                try:
                    self._draw(f"{_MARKS[turn % len(_MARKS)]} {what()} {time.monotonic() - began:.0f} s")
                finally:
                    SCREEN.release()

    def _draw(self, text: str) -> None:
        sys.stderr.write(_CLEAR + self.painted(text, "dim"))
        sys.stderr.flush()
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._drawn = False

    def _put(self, file: Any, text: str) -> None:
        if text:
            file.write(text)
            file.flush()
            self._at_start = text.endswith("\n")
