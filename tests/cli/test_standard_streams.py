"""Closed, full or unread standard streams give a message if one can be written, and the right exit status."""

import os
import subprocess
import sys

import pytest
from recording_server import Answer

KOSMO = f"{sys.executable} -m kosmolua"
CREATE = "lua --insecure-http --write allow -e 'return replicate.create(\"a/b\", {}, { validate = false }).id'"
COMMANDS = [
    "integrations:call replicate.get_account --emulate",
    "integrations:call replicate.get_account --emulate --json",
    "lua -e 'print(1)'",
    "lua -e 'return 1'",
    "lua --json -e 'return 1'",
    "integrations:list",
    "--help",
    "lua --help",
    "integrations:status --json",
]


@pytest.fixture
def shell(tmp_path):
    """Runs a line in a shell, where `kosmo` is the command under test."""

    def run(line, stdout=subprocess.PIPE, **environment):
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line.replace("kosmo ", f"{KOSMO} ", 1)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "KOSMO_CONFIG_DIR": str(tmp_path), **environment},
            check=False,
        )
        assert "Traceback" not in ran.stderr
        return ran

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written(shell, command):
    """If the output cannot be written, standard error has the reason, and the status is 1."""
    for redirection, why in ((">&-", "it is closed"), (">/dev/full", "No space left on device")):
        ran = shell(f"kosmo {command} {redirection}")

        assert (1, f"error: cannot write to standard output: {why}\n") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_output_without_a_reader(shell, command):
    """If the reader of the output has gone, nothing is printed, since `kosmo … | head` is not a mistake; the status is
    1."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = shell(f"kosmo {command}", writing)
    os.close(writing)

    assert (1, "") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_messages_that_cannot_be_written_are_dropped(shell, redirection):
    """If messages cannot be written, the result and the status do not change, and no message is written to standard
    output."""
    good = shell(f"kosmo lua -e 'log(1) return 1' {redirection}")
    bad = shell(f"kosmo nonsense {redirection}")

    assert (0, "1\n") == (good.returncode, good.stdout)
    assert (2, "") == (bad.returncode, bad.stdout)


@pytest.mark.parametrize(("command", "status"), [("lua -e 'return 1'", 1), ("lua -e 'error(1)'", 1), ("nonsense", 2)])
def test_the_status_is_right_without_streams(shell, command, status):
    """If all streams are unusable, the exit status is still right."""
    assert status == shell(f"kosmo {command} <&- >&- 2>&-").returncode
    assert status == shell(f"kosmo {command} >/dev/full 2>/dev/full").returncode


@pytest.mark.parametrize("command", ["lua", "repl", "integrations:call replicate.get_account --emulate -"])
def test_input_that_is_closed(shell, command):
    """A command that needs standard input reports that the input is closed; other commands run."""
    ran = shell(f"kosmo {command} <&-")

    assert (2, "error: standard input is closed") == (ran.returncode, ran.stderr.splitlines()[0])
    assert 0 == shell("kosmo lua -e 'return 1' <&-").returncode


def test_a_script_ends_with_its_reader(shell):
    """A script with endless output ends when its reader, such as `head`, has ended."""
    ran = shell("kosmo lua -e 'while true do print(1) end' | head -1")

    assert ("1\n", 1) == (ran.stdout, ran.returncode)


@pytest.mark.parametrize("flag", ["", "--json"])
def test_a_created_prediction_is_named(shell, server, flag):
    """If the result cannot be written, standard error has the id of the created prediction, for a script and a call."""
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')
    reach = {"REPLICATE_API_KEY": "r8_token-of-tests", "REPLICATE_URL": server.url}
    call = "integrations:call replicate.create_prediction --version v --input.text a --write allow"
    for command in (CREATE, call):
        ran = shell(f"kosmo {command} {flag} >/dev/full", **reach)

        assert "kosmo: prediction p1 was created; read it: kosmo integrations:call" in ran.stderr
        assert 1 == ran.returncode
