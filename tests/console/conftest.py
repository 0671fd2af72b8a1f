import os
import signal
import subprocess
import sys

import psycopg
import pytest
from postgres import serving
from waiting import wait_until

from kosmolua.journal.records import Head
from kosmolua.worker import runs
from kosmolua.worker.database import Database


@pytest.fixture(scope="session")
def postgres():
    with serving() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE made")
        Database(server.url.replace("/postgres?", "/made?"), prepare=True).close()
        yield server


@pytest.fixture
def database(postgres):
    """A database without runs."""
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE made")
    made = Database(postgres.url.replace("/postgres?", f"/{name}?"), prepare=True)
    yield made
    made.close()


@pytest.fixture
def submitted(database):
    """Submit a run of a script with that name; return its id."""

    def submit(script="flow.lua", args=(), **more):
        head = Head(script=script, source=b"return 1", args=list(args), account=more.pop("account", "default"))
        return runs.submit(database, head, **more)[0]

    return submit


class Console:
    """`kosmo serve` as a process."""

    def __init__(self, url, log, *words):
        self._log = log
        command = [sys.executable, "-m", "kosmolua", "serve", "--port", "0", "--database", url, *words]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file, stdout=file)
        wait_until(lambda: "the console is at " in self.log() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        self.url = self.log().partition("the console is at ")[2].split()[0]
        wait_until(lambda: "\n" in self.log().partition("the console is at ")[2])

    def log(self):
        return self._log.read_text()

    def secret(self, role):
        """The secret that was printed for that role."""
        return self.log().partition(f"secret for the role {role}: ")[2].split()[0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def served(database, tmp_path):
    """Start a console of the database; ``words`` are further flags."""
    started = []

    def serve(*words):
        started.append(Console(database.url, tmp_path / f"console{len(started)}.log", *words))
        return started[-1]

    yield serve
    for each in started:
        if each.process.poll() is None:
            each.stop()
