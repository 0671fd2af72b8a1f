"""Print what may still be running at the API when a command ends early."""

from __future__ import annotations

import sys

from kosmolua.host import unfinished
from kosmolua.terminal.safe import safe


def print_unfinished(left: unfinished.Unfinished, *, canceled: bool) -> None:
    """Print the list on standard error. With ``canceled``, it has only what could not be canceled."""
    for line in unfinished.lines(left, canceled=canceled):
        print(safe(f"kosmo: {line}"), file=sys.stderr)
