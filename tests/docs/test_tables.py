"""In Markdown tables of the documentation, no row is wrapped or joined to the next row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    str(page.relative_to(ROOT))
    for part in ("*.md", "docs/**/*.md", "examples/**/*.md", "findings/*.md", "kosmolua/manual/topics/*.md")
    for page in ROOT.glob(part)
)
RULE = re.compile(r"\|[-| :]+\|")


def cells(row):
    """The number of cells in a row; a vertical bar in code or after a backslash is text."""
    return len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row))) - 1


def broken(text):
    """The lines of tables that are not rows with the table's number of cells."""
    lines, columns = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        columns = cells(line) if RULE.fullmatch(line) else columns if line else 0
        if columns and not (line.startswith("|") and line.endswith("|") and cells(line) == columns):
            lines.append(f"{number}: {line}")
    return lines


@pytest.mark.parametrize("page", PAGES)
def test_rows_of_tables_are_whole(page):
    """Each row is one line with all its cells."""
    assert broken((ROOT / page).read_text()) == []


def test_a_wrapped_row_is_found():
    """A wrapped row and a row that is joined to the next are found."""
    assert broken("| a | b |\n|---|---|\n| 1 |\n2 | | 3 | 4 |\n\ntext\n") == ["3: | 1 |", "4: 2 | | 3 | 4 |"]
