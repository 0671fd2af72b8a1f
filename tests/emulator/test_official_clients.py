"""The official clients run their documented flows against the served emulator.

They live in environments of their own: KOSMOLUA_OFFICIAL_PYTHON names an interpreter that has `replicate`,
KOSMOLUA_OFFICIAL_NODE_MODULES a folder that holds node_modules/replicate. Where a variable is not set the
environment is built once, below the system's folder for temporary files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kosmolua.emulator import Emulator, running

FLOWS = Path(__file__).parent / "clients"
PYTHON_CLIENT = "replicate==1.0.7"
JAVASCRIPT_CLIENT = "replicate@1.4.0"
CACHE = Path(tempfile.gettempdir()) / f"kosmolua-official-clients-{os.getuid()}"


def build(*commands, variable):
    for command in commands:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            line = " && ".join(" ".join(map(str, one)) for one in commands)
            pytest.fail(f"Cannot set up the official client.\n{made.stderr[-2000:]}\nRun `{line}`, or set {variable}.")


@pytest.fixture(scope="session")
def official_python():
    if given := os.environ.get("KOSMOLUA_OFFICIAL_PYTHON"):
        return given
    home = CACHE / PYTHON_CLIENT
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        commands = ([sys.executable, "-m", "venv", home], [python, "-m", "pip", "install", "-q", PYTHON_CLIENT])
        build(*commands, variable="KOSMOLUA_OFFICIAL_PYTHON")
        (home / "ready").touch()
    return python


@pytest.fixture(scope="session")
def official_javascript():
    if given := os.environ.get("KOSMOLUA_OFFICIAL_NODE_MODULES"):
        # Either the folder itself or the one that it lies in.
        return Path(given).parent if Path(given).name == "node_modules" else Path(given)
    if shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip("the JavaScript client needs Node.js and npm, and neither is installed")
    home = CACHE / JAVASCRIPT_CLIENT
    if not (home / "ready").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", home, JAVASCRIPT_CLIENT]
        build(command, variable="KOSMOLUA_OFFICIAL_NODE_MODULES")
        (home / "ready").touch()
    return home


def flow(command, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"after: {done.stdout.split()}\n{done.stderr}"
    return done.stdout.split()


def test_python_client(official_python):
    """run, stream, wait, cancel, files, trainings, pages, webhooks and the rest, with the official Python client."""
    with running(Emulator()) as url:
        base = url.removesuffix("/v1")
        # The client's polling interval is its own; it need not be slow here.
        environment = {"REPLICATE_BASE_URL": base, "REPLICATE_API_TOKEN": "r8_any", "REPLICATE_POLL_INTERVAL": "0.05"}
        done = flow([official_python, FLOWS / "python_flows.py"], **environment)

    assert {"run", "stream", "wait", "cancel", "files", "trainings", "pages", "webhooks"} <= set(done)


def test_javascript_client(official_javascript):
    """The same with the official JavaScript client."""
    with running(Emulator()) as url:
        done = flow(["node", FLOWS / "javascript_flows.mjs", url, official_javascript])

    assert {"run", "stream", "wait", "cancel", "files", "trainings", "pages"} <= set(done)
