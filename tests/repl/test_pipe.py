"""The prompt runs input from a pipe as a script."""

import subprocess
import sys

import pytest


@pytest.fixture
def piped(tmp_path):
    def run(*argv, text):
        command = [sys.executable, "-m", "kosmolua", *argv]
        return subprocess.run(
            command, check=False, input=text, capture_output=True, text=True, cwd=tmp_path, timeout=60
        )

    return run


@pytest.mark.parametrize("command", [["repl"], ["integrations:lua", "--repl"]])
def test_a_pipe_is_a_script(piped, command):
    """The output and exit status are the same as for `integrations:lua`: only the result."""
    text = "local a = 1\nprint('said')\nreturn a + integrations.replicate.get_account{}.username:len()"
    run = piped(*command, "--emulate", text=text)

    assert (0, "said\n9\n", "") == (run.returncode, run.stdout, run.stderr)
    assert 1 == piped(*command, text="error('x')").returncode
    assert '"results":[1]' in piped(*command, "--json", text="return 1").stdout


def test_help(piped):
    """The help describes the command."""
    run = piped("repl", "--help", text="")

    assert run.returncode == 0
    assert "--keys" in run.stdout
