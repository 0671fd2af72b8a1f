"""The documentation's examples, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
# Console examples find the command that is beside the interpreter.
PATH = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"


def examples(language):
    return [
        pytest.param(match[1], id=f"{path.name}:{path.read_text().count(chr(10), 0, match.start()) + 1}")
        for path in sorted(DOCS.glob("*.md"))
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    ]


@pytest.mark.parametrize("code", examples("python"))
def test_an_example_runs(code, tmp_path):
    """Each is a program: it ends well, and what it asserts holds."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize("session", examples("console"))
def test_a_command_prints_what_is_shown(session, tmp_path):
    """The lines below a command are what it prints."""
    environment = {**os.environ, "PATH": PATH, "HOME": str(tmp_path)}
    for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session, re.MULTILINE):
        ran = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (shown, "") == (ran.stdout, ran.stderr)
