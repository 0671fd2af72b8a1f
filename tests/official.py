"""Programs of other projects to compare with. Each has its own environment, which is created once in the system's
temporary folder unless an environment variable names an existing one."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CACHE = Path(tempfile.gettempdir()) / f"kosmolua-official-clients-{os.getuid()}"


def build(*commands, variable):
    for command in commands:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            line = " && ".join(" ".join(map(str, one)) for one in commands)
            pytest.fail(f"Cannot set up {variable}.\n{made.stderr[-2000:]}\nRun `{line}`, or set {variable}.")


def from_npm(package, *more, variable):
    """The folder that contains node_modules with this package and further ones."""
    if given := os.environ.get(variable):
        # The variable may name node_modules or the folder that contains it.
        return Path(given).parent if Path(given).name == "node_modules" else Path(given)
    if shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip(f"{package} needs Node.js and npm, and neither is installed")
    home = CACHE / package
    if not (home / "ready").exists():
        home.mkdir(parents=True, exist_ok=True)
        build(["npm", "install", "--no-audit", "--no-fund", "--prefix", home, package, *more], variable=variable)
        (home / "ready").touch()
    return home


def from_pypi(package, *more, variable):
    """The path of a Python interpreter with this package and further ones."""
    if given := os.environ.get(variable):
        return Path(given)
    home = CACHE / package
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        install = [python, "-m", "pip", "install", "-q", package, *more]
        build([sys.executable, "-m", "venv", home], install, variable=variable)
        (home / "ready").touch()
    return python
