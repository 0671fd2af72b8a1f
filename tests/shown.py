"""What an example says it prints, behind `-->` in its own text, against what it printed."""

import re


def printed_as_expected(source, printed):
    """Whether it did; where not, the lines are compared. `…` is anything within a line, alone it is any lines."""
    expected = [line[3:].removeprefix(" ") for line in source.splitlines() if line.startswith("-->")]
    pattern = "".join("(?:.*\n)*?" if line == "…" else f"{_pattern(line)}\n" for line in expected)
    if not re.fullmatch(pattern, printed):
        assert expected == printed.splitlines()
    return True


def _pattern(line):
    return ".*".join(map(re.escape, line.split("…")))
