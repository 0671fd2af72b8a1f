"""Which words of a `kosmo lua` command line belong to the script."""

import os
import subprocess
import sys

import pytest

from kosmolua.cli.division import divided
from kosmolua.cli.lua import _parser
from kosmolua.errors import UsageError

OPTIONS = _parser("lua").takes


@pytest.mark.parametrize(
    ("line", "own", "script"),
    [
        ("f.lua a b", "f.lua", "a b"),
        ("f.lua", "f.lua", ""),
        ("f.lua --journal n", "f.lua --journal n", ""),
        ("f.lua --journal n a -v", "f.lua --journal n", "a -v"),
        ("--memory-limit 64M f.lua a", "--memory-limit 64M f.lua", "a"),
        ("--memory-limit=64M f.lua a", "--memory-limit=64M f.lua", "a"),
        ("f.lua --name Ada", "f.lua", "--name Ada"),
        ("f.lua -x", "f.lua", "-x"),
        ("f.lua a --json", "f.lua", "a --json"),
        ("f.lua -- --emulate", "f.lua", "--emulate"),
        ("--emulate -- a", "--emulate", "a"),
        ("- a", "-", "a"),
        ("-e code a", "-e code", "a"),
        ("-ecode a", "-ecode", "a"),
        ("--eval=code a", "--eval=code", "a"),
        ("-e code --emulate", "-e code --emulate", ""),
        ("-e code -- a", "-e code", "a"),
        ("f.lua a -- b", None, None),
        ("--unknown f.lua a", "--unknown f.lua", "a"),
        ("f.lua --max-cst 1", "f.lua --max-cst", "1"),
    ],
)
def test_words_are_divided(line, own, script):
    """The script's arguments begin with the first word after the script; options of the command may come before."""
    if own is None:
        with pytest.raises(UsageError, match="before --"):
            divided(line.split(), OPTIONS)
        return

    assert (own.split(), script.split()) == divided(line.split(), OPTIONS)


LATE = ["--emulate", "--dry-run", "--max-cost=1", "--write", "--account", "--allow-write", "--journal", "--report=r"]


@pytest.mark.parametrize("option", [*LATE, "--record", "--time-limit", "--force"])
def test_a_protecting_option_after_the_script_is_refused(option):
    """A protecting option after the script is refused, since the run would ignore the option; after -- the option
    belongs to the script."""
    with pytest.raises(UsageError, match="would go to the script") as refused:
        divided(["f.lua", "a", option], OPTIONS)
    assert "before the script" in refused.value.hint

    assert (["f.lua"], ["a", option]) == divided(["f.lua", "--", "a", option], OPTIONS)


def test_a_script_with_a_shebang(kosmo, tmp_path):
    """A script with a shebang runs like a program, with its arguments."""
    script = tmp_path / "flow.lua"
    script.write_text(f"#!/usr/bin/env -S {sys.executable} -m kosmolua lua --emulate\nprint(#args, ...)\n")
    script.chmod(0o755)
    assert (0, "2\ta\tb\n", "") == kosmo("lua", "flow.lua", "a", "b").seen

    run = subprocess.run([str(script), "a", "--b"], capture_output=True, env=dict(os.environ), check=True)
    assert b"2\ta\t--b\n" == run.stdout
