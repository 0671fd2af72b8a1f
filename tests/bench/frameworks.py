"""Runs the examples of docs/frameworks.md with the real packages:

    pip install -e . fastapi django celery nbclient ipykernel pydantic-ai-slim
    python tests/bench/frameworks.py [NAME]

Notebook examples are run by nbclient, in a kernel of this interpreter.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "frameworks.md"
BLOCK = re.compile(r"^```py\n# ([\w-]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(text) for text in sys.stdin.read().split("\\n\\n")]
notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}})
NotebookClient(notebook, timeout=60).execute()
"""


def run(name, code, home):
    command = [sys.executable, "-c", NOTEBOOK if name == "jupyter" else code]
    environment = {**os.environ, "HOME": home, "KOSMO_CONFIG_DIR": home, "KOSMO_STATE_DIR": home}
    given = code if name == "jupyter" else None
    return subprocess.run(
        command, input=given, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=180
    )


def main():
    wanted, failed = sys.argv[1:], []
    for name, code in BLOCK.findall(PAGE.read_text()):
        if not wanted or name in wanted:
            with tempfile.TemporaryDirectory() as home:
                ran = run(name, code, home)
            print(f"{name:12} {'ok' if ran.returncode == 0 else 'FAILED'}")
            if ran.returncode:
                failed.append(name)
                print(ran.stderr[-3000:])
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
