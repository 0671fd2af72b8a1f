"""``kosmo runs undo --database`` cancels and deletes what a submitted run created."""

import json

import pytest
from fleet import Fleet
from waiting import wait_until

from kosmolua.cli import main
from kosmolua.worker import runs

SCRIPT = """
local r = integrations.replicate
local file = r.create_file{ filename = "a.txt", content = "hello" }
r.wait(r.create("minimax/video-01", { prompt = "x" }))
"""


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path, speed=0.01).serving() as fleet:
        yield fleet


@pytest.fixture
def kosmo(fleet, capsys, monkeypatch, tmp_path):
    own = {"REPLICATE_URL": fleet.api, "REPLICATE_API_KEY": "r8_fleet", "KOSMO_STATE_DIR": str(tmp_path / "own")}
    for name, value in own.items():
        monkeypatch.setenv(name, value)

    def kosmo(*words):
        status = main([*words, "--database", fleet.url])
        return status, capsys.readouterr()

    return kosmo


def test_undoing_a_submitted_run(fleet, kosmo):
    """After its end a run is undone by its key, newest object first; a second time there is nothing to undo."""
    fleet.start()
    (run,) = fleet.submit(1, SCRIPT)
    wait_until(lambda: runs.find(fleet.database, run).state == "waiting")
    refused, said = kosmo("runs", "undo", run, "--yes", "--write", "allow")
    assert (2, True) == (refused, f"kosmo runs cancel {run}" in said.err)
    runs.cancel(fleet.database, run)
    listed, said = kosmo("runs", "undo", run, "--dry-run")
    assert (0, ["cancel", "delete"]) == (listed, [line.split()[0] for line in said.out.splitlines()])
    assert 3 == kosmo("runs", "undo", run)[0]

    outcomes = []
    for _ in range(2):
        status, said = kosmo("runs", "undo", run, "--yes", "--write", "allow", "--json")
        outcomes.append([status, *(each["outcome"] for each in json.loads(said.out)["results"])])
    assert [[0, "canceled", "deleted"], [0, "ended (canceled)", "gone"]] == outcomes
    assert 1 == kosmo("runs", "undo", "missing", "--yes")[0]
