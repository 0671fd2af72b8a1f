"""Runs the examples of the documentation unchanged.

A Python block is a program; a Lua block is a script that runs with the emulator and prints the lines after its `-->`. A
block that begins with a file name is written to that file for the rest of its page; a file in a directory is a module.
A console block shows a terminal session, and `…` replaces omitted text.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shown import output_of, printed_as_expected
from surroundings import clean_environment

ROOT = Path(__file__).parent.parent.parent
GENERATED = "reference.md"  # its examples use objects that do not exist
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != GENERATED)]
WITH_WORKERS = [
    ROOT / "docs" / name for name in ("schedules.md", "webhooks.md")
]  # test_worker_pages.py runs these pages
# Console examples find the command next to the interpreter.
PATH = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(?:--|#) ([\w./]+\.(?:lua|toml))\n")


def examples(language):
    found = []
    for path in PAGES:
        if language == "console" and path in WITH_WORKERS:
            continue
        text, files = path.read_text(), {}
        for block in BLOCK.finditer(text):
            named = FILE.match(block[2])
            if named:
                files[named[1]] = block[2]
            is_module = named and "/" in named[1]
            if block[1] == language and not is_module:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], dict(files), id=f"{path.name}:{line}"))
    return found


def written(directory, files):
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def shown_by(command, directory, **options):
    """The terminal output of a command, and its exit status."""
    ran = subprocess.run(
        command, cwd=directory, env={**clean_environment(directory), "PATH": PATH}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, **options,
    )  # fmt: skip
    return ran.stdout, ran.returncode


@pytest.mark.parametrize(("code", "files"), examples("python"))
def test_an_example_runs(code, files, tmp_path):
    """Each Python example succeeds, including its assertions."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize(("code", "files"), examples("lua"))
def test_a_script_prints_the_shown_output(code, files, tmp_path):
    """Each Lua example is a complete script that prints the shown output, with its page's files next to it."""
    (written(tmp_path, files) / "example.lua").write_text(code)
    flags = ["--emulate", "--allow-read", ".", "--allow-write", "."]

    shown, status = shown_by([sys.executable, "-m", "kosmolua", "lua", *flags, "example.lua"], tmp_path)

    assert printed_as_expected(output_of(code), shown)
    assert 0 == status


@pytest.mark.parametrize(("session", "files"), examples("console"))
def test_a_command_prints_what_is_shown(session, files, tmp_path):
    """Each command prints the lines that are shown below it."""
    written(tmp_path, files)
    for command, lines in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session, re.MULTILINE):
        shown, _ = shown_by(command, tmp_path, shell=True)
        assert printed_as_expected(lines.splitlines(), shown)
