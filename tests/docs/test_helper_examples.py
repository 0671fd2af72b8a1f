"""The page of each helper has an example that runs."""

import subprocess
import sys

import pytest
from surroundings import clean_environment

from kosmolua.emulator.painting import compose, paint
from kosmolua.manual import helper_page, pages, stubs
from kosmolua.manual.helper_examples import EXAMPLES
from kosmolua.terminal.png import write_png

PLAIN = {"args", "arg", "print", "write", "log", "dump", "time", "sleep", "require", "io", "package", "debug",
         "jit", "exit"}  # fmt: skip


def test_helpers_have_examples():
    """Each helper has an example, except those whose summary is sufficient."""
    assert {*stubs.summaries()} - PLAIN == {*EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path):
    """An example succeeds with the emulator and the flags in its first line, and prints something or writes a file.
    Standard input has two lines."""
    (tmp_path / "cat.png").write_bytes(write_png(paint(compose("a cat", 1), 16, 16)))
    (tmp_path / "out").mkdir()
    (tmp_path / "flow.lua").write_text(EXAMPLES[name])
    first = EXAMPLES[name].partition("\n")[0]
    flags = first.removeprefix("-- kosmo lua ").split()[:-1] if first.startswith("-- kosmo lua") else []
    ran = subprocess.run(
        [sys.executable, "-m", "kosmolua", "lua", "--emulate", *flags, "flow.lua"],
        cwd=tmp_path, env=clean_environment(tmp_path), input="Ada\nBob\n", capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (0, "") == (ran.returncode, ran.stderr)
    assert ran.stdout.strip() or any((tmp_path / "out").iterdir())


def test_an_example_is_on_both_pages():
    """The example is on the page for people and in the Markdown for agents."""
    assert "\n  print(pictures[1].url)" in helper_page.page("run")
    assert f"## Example\n\n```lua\n{EXAMPLES['run']}\n```\n" in pages.read("run")


@pytest.mark.parametrize("name", sorted({*stubs.summaries()} & {"run", "create", "wait", "stream", "each", "download"}))
def test_each_option_is_described(name):
    """Each option of a workflow helper has a description in addition to its type."""
    assert [] == [one.name for at in range(4) for one in stubs.options_of(name, at) if not one.about]
