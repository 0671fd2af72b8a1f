"""A seeded part of `fuzz_answers.py` gives a host hostile answers."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_answers(seed):
    """A thousand answers to all operations and helpers cause no bug or traceback, and use little time and memory."""
    script = os.path.join(os.path.dirname(__file__), "fuzz_answers.py")
    ran = subprocess.run(
        [sys.executable, script, "--answers", "1000", "--seed", str(seed)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
