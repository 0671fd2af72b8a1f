"""The PostgreSQL server of `kosmo worker` is started by a user with a name, and by a user id without a name."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

START = """
import os, sys
from kosmolua.errors import ConfigurationError
from kosmolua.worker import embedded
import psycopg
os.umask(0o077)
try:
    with embedded.running(sys.argv[1]) as url, psycopg.connect(url) as connection:
        print(connection.execute("SELECT current_user").fetchone()[0])
except ConfigurationError as error:
    print(error.message, "|", error.hint)
"""


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="kosmo-pg-") as directory:
        yield Path(directory)


def started_by(number, where):
    """The output of a process that starts the server and leaves it, as the user with this id."""
    command = ["unshare", "--user", f"--map-user={number}", sys.executable, "-c", START, str(where)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_user_with_a_name(place):
    """A named user needs no root rights, and the directories are private; the data remains for the next start."""
    where = place / "state" / "kosmo" / "pg"

    assert "nobody" == started_by(65534, where)
    assert "nobody" == started_by(65534, where)
    assert {0o700} == {mode(path) for path in (where, where / "data", where.parent, where.parent.parent)}
    assert not (where / "data" / "postmaster.pid").exists()


def test_a_user_without_a_name(place):
    """PostgreSQL does not start for an id without a name, as in some containers: the error says what to do, and nothing
    is created.
    """
    said = started_by(12345678, place / "state" / "pg")

    assert "user 12345678, who has no name" in said
    assert "useradd --uid 12345678" in said
    assert not (place / "state").exists()


def test_a_directory_of_another_user(place):
    """The error names a directory that belongs to another user."""
    where = place / "state" / "pg"
    where.mkdir(parents=True)
    (where / "lock").mkdir()  # as inaccessible as a directory of another user

    assert f"cannot use the directory {where}" in started_by(65534, where)
