"""The command lines that agents, scripts and CI jobs use work under both program names."""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from recording_server import Answer, RecordingServer
from surroundings import clean_environment

from kosmolua.replicate.catalogue import OPERATIONS

PROGRAMS = ("kosmo", "kosmokrator")
SETUP = (
    'integrations:configure replicate --set api_key="$REPLICATE_API_KEY" --enable --read allow --write ask --json',
    "integrations:doctor replicate --json",
    "integrations:status --json",
    "integrations:docs replicate --json",
    'integrations:search "Replicate" --json',
    "integrations:list --json",
)
PER_FUNCTION = (
    "integrations:call replicate.{name} '{{}}' --json",
    "integrations:replicate {name} '{{}}' --json",
    "integrations:docs replicate.{name} --json",
    "integrations:schema replicate.{name} --json",
)
PAGED = b'{"next": null, "previous": null, "results": []}'


def shell(line, home, server):
    """Run a printed command line in a shell, with a token in the environment."""
    bin_directory = os.path.dirname(sys.executable)
    environment = {
        **clean_environment(home),
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
        "REPLICATE_API_KEY": "r8_marked",
        "REPLICATE_URL": server.url,
    }
    ran = subprocess.run(
        ["sh", "-c", line],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        cwd=home,
        timeout=60,
    )
    return ran.returncode, json.loads(ran.stdout), ran.stderr.decode()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_new_user_can_install_configure_and_discover(server, tmp_path, program):
    """The commands to install, configure, verify and discover succeed in this order, each with JSON."""
    for line in SETUP:
        status, answer, _ = shell(f"{program} {line}", tmp_path, server)

        assert (0, True) == (status, answer["success"]), line


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_function_accepts_the_printed_commands(tmp_path, program):
    """A call with an empty payload names missing parameters and sends nothing; a call without required parameters is
    made."""
    server = RecordingServer()
    server.default = Answer(200, PAGED)
    lines = [(operation, form.format(name=operation.full_name)) for operation in OPERATIONS for form in PER_FUNCTION]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda pair: shell(f"{program} {pair[1]}", tmp_path, server), lines))
    for (operation, line), answer in zip(lines, answers, strict=True):
        check(operation, line, *answer)
    server.close()

    reads = [operation for operation in OPERATIONS if operation.access == "read" and not required(operation)]
    assert 2 * len(reads) == len(server.requests)


def required(operation):
    return [parameter.name for parameter in operation.parameters if parameter.required]


def check(operation, line, status, answer, errors):
    command = shlex.split(line)[0]
    if command == "integrations:schema":
        assert (0, required(operation)) == (status, answer.get("required", []))
    elif command == "integrations:docs":
        assert (0, f"replicate.{operation.full_name}") == (status, answer["function"])
    elif required(operation):
        assert (2, "invalid_arguments", "") == (status, answer["code"], errors), line
        assert all(name in answer["error"] for name in required(operation)), answer["error"]
    elif operation.access == "write":
        assert (3, "approval_required") == (status, answer["code"]), line
    else:
        assert (0, True) == (status, answer["success"]), (line, answer)
