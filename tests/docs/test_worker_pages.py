"""The documentation pages about workers, each run as one session from top to bottom."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from shown import printed_as_expected
from surroundings import clean_environment
from test_examples import BLOCK, FILE, PATH, WITH_WORKERS, written
from waiting import wait_until

QUESTION_TRIES = 60
SERVES = ("kosmo worker", "kosmo webhooks:serve")  # these commands run until they are stopped


@pytest.fixture
def directory():
    """A directory that PostgreSQL's user can access."""
    made = tempfile.mkdtemp(prefix="kosmo-page-")
    os.chmod(made, 0o755)
    yield Path(made)
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("page", WITH_WORKERS, ids=lambda page: page.name)
def test_a_page_runs_as_one_session(page, directory):
    """Servers run until the end of the page; the other commands print what is shown."""
    environment = {**clean_environment(directory), "PATH": PATH, "KOSMO_STATE_DIR": str(directory / "state")}
    environment.pop("KOSMO_DATABASE", None)
    blocks = [(block[1], block[2]) for block in BLOCK.finditer(page.read_text())]
    files = {found[1]: text for _, text in blocks if (found := FILE.match(text))}
    written(directory, files)
    servers = []
    try:
        for command, lines in commands(blocks):
            if command.startswith(SERVES):
                servers.append(started(command, directory, environment, len(servers)))
                continue
            tries = QUESTION_TRIES if command.startswith("kosmo approvals") else 1
            for left in reversed(range(tries)):  # a question appears after a few seconds
                shown = shown_by(command, directory, environment)
                if left == 0 or "approved" in shown:
                    assert printed_as_expected(lines.splitlines(), shown), command
                    break
    finally:
        for server in reversed(servers):
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def shown_by(command, directory, environment):
    return subprocess.run(
        command, shell=True, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


def commands(blocks):
    for language, text in blocks:
        if language == "console":
            yield from re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", text, re.MULTILINE)


def started(command, directory, environment, number):
    """Start a server, and wait until it is ready."""
    log = directory / f"log{number}"
    with log.open("wb") as file:
        server = subprocess.Popen(
            f"exec {command}", shell=True, cwd=directory, env=environment, stderr=file, stdout=file
        )
    wait_until(lambda: server.poll() is not None or re.search(r"is ready|serving", log.read_text()), 60)
    assert server.poll() is None, log.read_text()
    return server
