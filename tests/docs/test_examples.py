"""The documentation's examples, run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
EXAMPLES = [
    pytest.param(match[1], id=f"{path.name}:{path.read_text().count(chr(10), 0, match.start()) + 1}")
    for path in sorted(DOCS.glob("*.md"))
    for match in re.finditer(r"^```python\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code, tmp_path):
    """Each is a program: it ends well, and what it asserts holds."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stderr)
