"""Common mistakes, each reported before anything is sent.

``mistakes/<name>.lua`` is the script; a comment ``-- flags:`` at its top gives flags for the command line.
``<name>.expect`` has one line for each problem: its place (a line number, or file:line within a module), its severity,
and words from its message or hint.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from surroundings import clean_environment

HERE = Path(__file__).parent / "mistakes"
MISTAKES = sorted(HERE.glob("*.lua"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The problems of each script; all scripts with the same flags are checked in one process."""
    home = tmp_path_factory.mktemp("home")
    by_flags = {}
    for path in MISTAKES:
        by_flags.setdefault(flags_of(path), []).append(path)
    problems = {}
    for flags, paths in by_flags.items():
        command = [sys.executable, "-m", "kosmolua", "check", "--json", "--emulate", *flags]
        ran = subprocess.run(
            [*command, *(path.name for path in paths)], cwd=HERE, env=clean_environment(home), capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert ("", False) == (ran.stderr, json.loads(ran.stdout)["success"])
        for path in paths:
            own = [one for one in json.loads(ran.stdout)["problems"] if one["file"] == path.name]
            problems[path.stem] = own
        modules = [one for one in json.loads(ran.stdout)["problems"] if "/" in one["file"]]
        problems.setdefault("modules", []).extend(modules)
    return problems


def flags_of(path):
    first = path.read_text().partition("\n")[0]
    return tuple(first.removeprefix("-- flags:").split()) if first.startswith("-- flags:") else ()


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_a_mistake_is_found(path, found):
    """Each mistake is reported with its place, its severity and words of its message."""
    for line in path.with_suffix(".expect").read_text().splitlines():
        place, severity, words = line.split(" ", 2)
        file, _, number = place.rpartition(":")
        listed = found["modules"] if file else found[path.stem]

        assert any(
            (int(number), severity) == (one["line"], one["severity"])
            and words in f"{one['message']} {one['hint']}"
            and (not file or file == one["file"])
            for one in listed
        ), listed
