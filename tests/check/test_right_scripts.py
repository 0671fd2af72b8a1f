"""Correct scripts give no errors, however they are written."""

import subprocess
import sys
from pathlib import Path

import pytest

from kosmolua.check.checker import check
from kosmolua.check.program import Module, Program, Source
from kosmolua.check.world import World

ROOT = Path(__file__).parent.parent.parent
RIGHT = sorted((Path(__file__).parent / "right").glob("*.lua"))
CONDITIONAL = sorted((Path(__file__).parent / "conditional").glob("*.lua"))
MODULES = {"lib": Module("lib.lua", "function shared() return 1 end")}


def errors(source, **world):
    program = Program(Source("flow.lua", source), MODULES.get)
    assert program.sources[0].broken is None
    return [f"{one.line}: {one.message}" for one in check(program, World(**world)) if one.severity == "error"]


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_correct_scripts_give_no_errors(path):
    """Dynamic code and everything that LuaJIT accepts give no error."""
    assert [] == errors(f"{path.read_text().rstrip()}\nreplicate.get_account()")


@pytest.mark.parametrize("path", CONDITIONAL, ids=lambda path: path.stem)
def test_a_save_that_depends_on_arguments_is_a_warning(path):
    """If the script's arguments decide whether a file is saved, a missing directory gives only a warning."""
    assert [] == errors(path.read_text(), readable=(), writable=())


def test_shipped_scripts_have_no_errors():
    """The example scripts and their modules give no errors."""
    command = [sys.executable, "-m", "kosmolua", "check", "--emulate", "--allow-read", ".", "--allow-write", "."]
    scripts = sorted(str(path) for path in (ROOT / "examples").glob("*.lua"))
    ran = subprocess.run([*command, *scripts], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("path", sorted((ROOT / "lua").glob("*.lua")), ids=lambda path: path.name)
def test_the_parser_reads_all_shipped_lua(path):
    """The parser reads every statement and expression of the shipped Lua."""
    assert Source(path.name, path.read_text()).broken is None
