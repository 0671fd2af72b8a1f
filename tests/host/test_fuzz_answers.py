"""A host among hostile answers: a seeded part of what `fuzz_answers.py` does at length."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_answers(seed):
    """A thousand of them, with every operation and helper: no bug, no traceback, little time and memory."""
    script = os.path.join(os.path.dirname(__file__), "fuzz_answers.py")
    ran = subprocess.run(
        [sys.executable, script, "--answers", "1000", "--seed", str(seed)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
