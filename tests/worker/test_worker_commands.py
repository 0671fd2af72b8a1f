"""`kosmo worker` and the commands for its runs, with the PostgreSQL server that it starts."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from waiting import wait_until

from kosmolua.cli import main
from kosmolua.worker import embedded

SCRIPT = 'print("hello " .. args[1]) log("noted") return run("replicate/hello-world", { text = args[1] })'


@pytest.fixture
def place(monkeypatch):
    """A state directory that PostgreSQL's user can access."""
    directory = tempfile.mkdtemp(prefix="kosmo-worker-")
    os.chmod(directory, 0o755)
    monkeypatch.setenv("KOSMO_STATE_DIR", directory)
    monkeypatch.delenv("KOSMO_DATABASE", raising=False)
    yield Path(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def kosmo(capsys):
    def kosmo(*words):
        status = main([*words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return kosmo


def test_the_place_of_the_database(tmp_path):
    """The database is in the state directory, or for root where PostgreSQL's user can access it; it never moves."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    environment = {"KOSMO_STATE_DIR": str(state)}
    place = embedded.directory(environment, "/var/shared")
    assert (os.geteuid() == 0) == place.startswith("/var/shared/")
    assert "/var/kosmo/pg" == embedded.directory({"KOSMO_STATE_DIR": "/var/kosmo"}, "/var/shared")

    (state / "pg" / "data").mkdir(parents=True)
    assert str(state / "pg") == embedded.directory(environment, "/var/shared")


def test_without_a_worker(place, kosmo):
    """Each command says how to start a worker."""
    for words in (["submit", "--eval", "return 1"], ["runs", "list", "--database"], ["workers"], ["runs", "logs", "x"]):
        status, out, err = kosmo(*words)

        assert (4, "") == (status, out)
        assert "kosmo worker" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit"], "FILE or --eval"),
        (["submit", "--eval", "x", "--at", "soon"], "expected a time"),
        (["submit", "missing.lua"], "cannot read"),
        (["worker", "--slots", "0"], "--slots"),
        (["worker", "--lease", "0.5"], "--lease: expected 2 to 300"),
        (["worker", "--park-after", "0"], "--park-after: expected at least 1 second, got '0'"),
        (["worker", "--accounts", ""], "--accounts: expected names separated by commas, got ''"),
        (["worker", "--database", "mysql://x"], "postgresql://"),
        (["workers", "kill"], "kill"),
        (["runs", "cancel"], "expected one run, got 0"),
        (["runs", "prune", "--database"], "prune"),
    ],
)
def test_usage_errors(place, kosmo, words, said):
    """Invalid arguments are usage errors with a hint."""
    status, _, err = kosmo(*words)

    assert 2 == status
    assert said in err
    assert "hint:" in err or "--help" in err


def test_from_submission_to_result(place, kosmo):
    """The commands show a worker, a run and its key, its output, its calls, and its end."""
    with (place / "log").open("wb") as log:
        command = [sys.executable, "-m", "kosmolua", "worker", "--emulate", "--slots", "2"]
        worker = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_until(lambda: b"is ready" in (place / "log").read_bytes())
        status, out, err = kosmo("submit", "--eval", SCRIPT, "--key", "k", "--max-predictions", "1", "--", "Ada")
        run = out.strip()
        assert (0, 12, f"look at it: kosmo runs logs -f {run}\n") == (status, len(run), err)
        again = kosmo("submit", "--eval", SCRIPT, "--key", "k", "--max-predictions", "1", "--json", "--", "Ada")
        assert {"success": True, "run": run, "new": False} == json.loads(again[1])
        assert 2 == kosmo("submit", "--eval", SCRIPT, "--key", "k", "--", "Bob")[0]
        assert (0, "hello Ada\n", "noted\n") == kosmo("runs", "logs", "-f", run)
        shown = json.loads(kosmo("runs", "show", "k", "--database", "--json")[1])
        assert ("done", ["hello Ada"]) == (shown["run"]["state"], shown["run"]["results"][:1])
        assert "create_prediction" in kosmo("runs", "show", run, "--database")[1]
        assert re.search(rf"{run}\s+done", kosmo("runs", "list", "--database")[1])
        assert re.search(rf":{worker.pid}\s+alive\s+0 of 2", kosmo("workers", "list")[1])
        assert 2 == kosmo("runs", "resume", run, "--database")[0]
    finally:
        worker.terminate()
        assert 0 == worker.wait(30), (place / "log").read_text()
    assert 4 == kosmo("workers")[0]
    assert not (place / "pg" / "data" / "postmaster.pid").exists()


def test_a_second_worker_joins_the_database(place):
    """It uses the server that runs, without waiting for the first worker to end. The last one stops the server."""
    where = embedded.directory(os.environ)
    first, second = embedded.running(where), embedded.running(where)
    url = first.__enter__()
    try:
        assert url == second.__enter__()
    finally:
        first.__exit__(None, None, None)
    try:
        with psycopg.connect(url) as connection:
            assert [(1,)] == connection.execute("SELECT 1").fetchall()
    finally:
        second.__exit__(None, None, None)

    assert not (Path(where) / "data" / "postmaster.pid").exists()
