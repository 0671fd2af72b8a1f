"""Format text: aligned columns, wrapped paragraphs, and color on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby

from kosmolua.terminal.plain import is_plain

MAX_WIDTH = 120
_PIPE_WIDTH = 100
_MANY = 4  # equal frames in a row that are shown
_CODES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "cyan": "36"}


def width() -> int:
    """Width of the output: that of the terminal, at most 120, also in a pipe such as to `less`; 100 without one;
    ``COLUMNS`` overrides both.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return min(int(given), MAX_WIDTH)
    for stream in (sys.stdout, sys.stderr):
        try:
            return min(os.get_terminal_size(stream.fileno()).columns or _PIPE_WIDTH, MAX_WIDTH)
        except (OSError, ValueError):
            continue
    return _PIPE_WIDTH


def painted(text: str, style: str) -> str:
    """The text in a style; the text unchanged in a pipe, with ``NO_COLOR`` or on a dumb terminal."""
    return text if is_plain(os.environ) or not sys.stdout.isatty() else f"\033[{_CODES[style]}m{text}\033[0m"


def stack(traceback: str) -> list[str]:
    """The lines of a traceback, indented. Repeated frames of a recursion are replaced by their number."""
    lines = ["stack:"]
    for frame, group in groupby(traceback.splitlines()):
        count = len(list(group))
        lines += [frame] * count if count < _MANY else [frame, f"… {count - 1} more of the same"]
    return [f"    {line}" for line in lines]


def heading(text: str) -> str:
    return painted(text, "bold")


def wrapped(text: str, indent: str = "") -> str:
    """Paragraphs wrapped to the width."""
    import textwrap

    filler = textwrap.TextWrapper(
        max(width(), 40),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n\n".join(filler.fill(part) for part in text.split("\n\n"))


def table(rows: Iterable[Sequence[str]], indent: str = "  ", styles: Sequence[str] = ("cyan",)) -> str:
    """Rows as columns two spaces apart. The last column is wrapped, or placed below if it would be too narrow."""
    listed = [tuple(row) for row in rows]
    if not listed:
        return ""
    sizes = [max(len(cell) for cell in column) for column in zip(*listed, strict=True)][:-1]
    return "\n".join(_row(row, sizes, indent, styles) for row in listed)


_NARROW = 24  # columns that the last cell needs to be next to the others


def _row(row: tuple[str, ...], sizes: list[int], indent: str, styles: Sequence[str]) -> str:
    cells = [
        _styled(cell, styles, index) + " " * (size - len(cell) + 2)
        for index, (cell, size) in enumerate(zip(row, sizes, strict=False))
    ]
    left = len(indent) + sum(sizes) + 2 * len(sizes)
    last, hang = row[-1], " " * left
    if width() - left < max([_NARROW, *map(len, last.split())]):
        return _stacked(row, indent, "".join(cells).rstrip())
    return (indent + "".join(cells) + _filled(last, hang).removeprefix(hang)).rstrip()


def _stacked(row: tuple[str, ...], indent: str, head: str) -> str:
    if len(indent) + len("  ".join(row[:-1])) > width():
        head = wrapped("  ".join(row[:-1]), indent).removeprefix(indent)
    return f"{indent}{head}\n{_filled(row[-1], indent + '    ')}" if row[-1] else indent + head


def _styled(text: str, styles: Sequence[str], index: int) -> str:
    return painted(text, styles[index]) if index < len(styles) and styles[index] else text


def _filled(text: str, hang: str) -> str:
    return hang + text if len(hang) + len(text) <= width() else wrapped(text, hang)
