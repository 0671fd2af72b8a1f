import os
import signal
import subprocess
import sys
import threading

import pytest
from msgspec.structs import replace
from postgres import fresh, with_template
from waiting import wait_until

from kosmolua.cli import serve
from kosmolua.console import server
from kosmolua.journal.records import Head
from kosmolua.worker import runs
from kosmolua.worker.database import Database


@pytest.fixture(scope="session")
def postgres():
    with with_template() as server:
        yield server


@pytest.fixture
def database(postgres):
    """A database without runs."""
    with fresh(postgres) as url:
        made = Database(url, prepare=True)
        yield made
        made.close()


@pytest.fixture
def submitted(database):
    """Submit a run of a script with the given name; return the run's id."""

    def submit(script="flow.lua", args=(), **more):
        head = Head(script=script, source=b"return 1", args=list(args), account=more.pop("account", "default"))
        return runs.submit(database, head, **more)[0]

    return submit


class Console:
    """`kosmo serve` in its own process."""

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
        """The printed secret of the given role."""
        return self.log().partition(f"secret for the role {role}: ")[2].split()[0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Hosted:
    """The same server in a thread of this process, which starts faster."""

    def __init__(self, database, *words):
        parsed = serve._parser("serve").parse_args(["--port", "0", *words])
        public = serve._public(parsed.public_url)
        self._secrets, self._said = serve._secrets(parsed, public), []
        settings = replace(serve._settings(self._secrets, public), tell=self._said.append)
        opened = server.listening(parsed.host, parsed.port)
        self.url = f"http://127.0.0.1:{opened.getsockname()[1]}"
        self._server = server.server_of(database, settings)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [opened]})
        self._thread.start()
        wait_until(lambda: self._server.started)

    def log(self):
        return "\n".join(self._said)

    def secret(self, role):
        return next(each.value for each in self._secrets if each.role == role)

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def served(database):
    """Start a console for the database in a thread; ``words`` are further flags."""
    started = []

    def serve(*words):
        started.append(Hosted(database, *words))
        return started[-1]

    yield serve
    for each in started:
        each.stop()


@pytest.fixture
def process(database, tmp_path):
    """Start `kosmo serve` for the database; ``words`` are further flags."""
    started = []

    def start(*words):
        started.append(Console(database.url, tmp_path / f"console{len(started)}.log", *words))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture
def asking(database):
    """Add an approval question of a run to the database, as a worker does; return the question's id."""

    def ask(run, function="create_prediction", *, arguments='{"version":"v"}', expires=3600, **more):
        fields = {
            "id": os.urandom(5).hex(),
            "run": run,
            "task": 0,
            "request": int.from_bytes(os.urandom(3)),
            "function": function,
            "account": "default",
            "access": "write",
            "arguments": arguments,
            "digest": os.urandom(32),
            "estimate": 0.25,
            "why": "write policy: ask",
            **more,
        }
        names, places = ", ".join(fields), ", ".join(["%s"] * len(fields))
        database.rows(
            f"INSERT INTO approvals ({names}, expires_at) "
            f"VALUES ({places}, clock_timestamp() + make_interval(secs => %s))",
            (*fields.values(), expires),
        )
        database.rows("UPDATE runs SET state = 'waiting' WHERE id = %s", (run,))
        return fields["id"]

    return ask
