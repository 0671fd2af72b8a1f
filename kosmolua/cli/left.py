"""Prints what a command leaves at the API when it ends early."""

from __future__ import annotations

import sys

from kosmolua.host import leftover
from kosmolua.terminal.safe import safe


def tell_left(left: leftover.Left, *, canceled: bool) -> None:
    """Say it on standard error. What was ``canceled`` is named only if it could not be."""
    for line in leftover.lines(left, canceled=canceled):
        print(safe(f"kosmo: {line}"), file=sys.stderr)
