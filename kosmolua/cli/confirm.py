"""A yes or no from the person at the terminal."""

from __future__ import annotations

import sys

from kosmolua.terminal.safe import safe


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str) -> bool:
    """Whether the person says yes. What was typed before the question is no answer to it."""
    import termios

    sys.stdout.flush()
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print(safe(f"kosmo: {question} [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
