"""What an example says it prints, against what it printed."""

import re


def output_of(script):
    """The lines that a script says it prints, behind `-->` in its own text."""
    return [line[3:].removeprefix(" ") for line in script.splitlines() if line.startswith("-->")]


def printed_as_expected(expected, printed):
    """Whether it did; where not, the lines are compared. `…` is anything within a line, alone it is any lines."""
    pattern = "".join("(?:.*\n)*?" if line == "…" else f"{_pattern(line)}\n" for line in expected)
    if not re.fullmatch(pattern, printed):
        assert expected == printed.splitlines()
    return True


def _pattern(line):
    return ".*".join(map(re.escape, line.split("…")))
