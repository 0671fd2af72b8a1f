"""Compares the stated output of an example with the real one."""

import re


def output_of(script):
    """The lines after `-->` in a script's text, which it prints."""
    return [line[3:].removeprefix(" ") for line in script.splitlines() if line.startswith("-->")]


def printed_as_expected(expected, printed):
    """Whether the output matches; otherwise the lines are compared. `…` is any text in a line, alone any lines."""
    pattern = "".join("(?:.*\n)*?" if line == "…" else f"{_pattern(line)}\n" for line in expected)
    if not re.fullmatch(pattern, printed):
        assert expected == printed.splitlines()
    return True


def _pattern(line):
    return ".*".join(map(re.escape, line.split("…")))
