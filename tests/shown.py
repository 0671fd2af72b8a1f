"""Compares the stated output of an example with its real output."""

import re


def output_of(script):
    """The expected output of a script: the lines after `-->` in its text."""
    return [line[3:].removeprefix(" ") for line in script.splitlines() if line.startswith("-->")]


def printed_as_expected(expected, printed):
    """Whether the output matches; if not, the assertion shows both. `…` in a line stands for any text, and a line with
    only `…` for any lines."""
    pattern = "".join("(?:.*\n)*?" if line == "…" else f"{_pattern(line)}\n" for line in expected)
    if not re.fullmatch(pattern, printed):
        assert expected == printed.splitlines()
    return True


def _pattern(line):
    return ".*".join(map(re.escape, line.split("…")))
