"""Ask a yes/no question on the terminal."""

from __future__ import annotations

import sys

from kosmolua.terminal.safe import safe


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str) -> bool:
    """Whether the answer is yes. Discards input that was typed before the question."""
    import termios

    sys.stdout.flush()
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print(safe(f"kosmo: {question} [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
