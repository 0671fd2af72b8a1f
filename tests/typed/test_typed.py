"""The public names for programs are typed, documented, and accepted by type checkers."""

import asyncio
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typed import uses

import kosmolua

HERE = Path(__file__).parent


def mypy(file):
    """Return the lines with errors from mypy."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", file]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent, check=False)
    assert ran.stderr == ""
    return {int(line) for line in re.findall(rf"{re.escape(file.name)}:(\d+): error", ran.stdout)}


def pyright(file):
    """Return the lines with errors from pyright."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, file]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent, check=False)
    found = json.loads(ran.stdout)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


NODE = pytest.mark.skipif(shutil.which("node") is None, reason="pyright runs in node, and there is none")


@pytest.mark.parametrize("check", [mypy, pytest.param(pyright, marks=NODE)])
def test_uses_are_accepted_and_misuses_refused(check):
    """The checker reports no line in the first file, and exactly the marked lines in the second."""
    refused = {n for n, line in enumerate((HERE / "wrong.py").read_text().split("\n"), 1) if line.endswith("# refused")}

    assert set() == check(HERE / "uses.py")
    assert refused == check(HERE / "wrong.py")


def test_uses_work(tmp_path):
    """The accepted code also runs without errors."""
    (tmp_path / "flow.lua").write_text("return args[1], integrations.replicate.get_account{}.username")

    assert "emulator" == uses.account()
    assert ["a", "emulator"] == uses.flow(tmp_path / "flow.lua")
    assert uses.pages() > 0
    with kosmolua.Host(emulate=True) as host:
        assert "it took too long" == asyncio.run(uses.stopped(host, "sleep(60)", 0.1)).error.message
        assert 1 == asyncio.run(uses.stopped(host, "return 1", 60)).value


@pytest.mark.parametrize("name", [name for name in kosmolua.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name):
    """Every public class, method and function has a docstring."""
    found = getattr(kosmolua, name)
    if not inspect.isclass(found):
        assert inspect.getdoc(found) or name == "Answer"  # a Literal needs none, since its values describe it
        return
    methods = [
        member
        for key, member in vars(found).items()
        if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    ]

    assert found.__doc__
    assert all(method.__doc__ for method in methods)
