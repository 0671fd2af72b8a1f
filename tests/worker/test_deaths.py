"""Workers and their database are killed at any step: other workers continue the runs, and each prediction is created
once.
"""

import signal

import pytest
from fleet import Fleet
from waiting import wait_until

from kosmolua.worker import runs

SLOW = "integrations.replicate.create('minimax/video-01', { prompt = 'x' })"
STEPS = ["claimed", "parked"]  # test_shared.py has the steps that cost money, and chaos.py has all of them


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path).serving() as fleet:
        yield fleet


def test_workers_are_killed_at_each_step(fleet):
    """Other workers continue the runs of a worker that was killed."""
    for step in STEPS:
        fleet.start(f"{step}:SIGKILL", slots=1)
    wait_until(lambda: fleet.log().count("is ready") == len(STEPS))
    fleet.submit(4)
    fleet.finish()

    assert [f"fault{n}" for n in range(len(STEPS))] == sorted(path.name for path in fleet.directory.glob("fault*"))
    fleet.check(4)


def test_a_suspended_worker_cannot_continue(fleet):
    """While the worker is suspended another takes its runs; its timer ends it before it can send."""
    stopped = [fleet.start(f"{step}:SIGSTOP") for step in ("after_intent", "answered")]
    fleet.submit(4)
    wait_until(lambda: len(list(fleet.directory.glob("fault*"))) == 2)
    fleet.start()
    fleet.finish()
    for worker in stopped:
        worker.send_signal(signal.SIGCONT)

    assert [-signal.SIGALRM] * 2 == [worker.wait(20) for worker in stopped]
    fleet.check(4)


def test_a_prediction_for_a_run_of_another_worker_is_canceled(fleet):
    """After the answer the worker notices that it no longer has the run, so no run would wait for the prediction."""
    worker = fleet.start("answered:TAKE")
    (run,) = fleet.submit(1, f"{SLOW} {SLOW}")
    wait_until(lambda: fleet.server.count("POST", "/cancel") == 1)

    assert "failed" == runs.find(fleet.database, run).state
    assert worker.poll() is None


def test_the_database_restarts(fleet, server):
    """The database is stopped while runs are active, and restarted: workers and runs continue."""
    fleet.start()
    fleet.start()
    fleet.submit(4)
    wait_until(lambda: fleet.emulator._world.predictions)
    server.stop("immediate")
    server.start()
    fleet.finish()

    fleet.check(4)
    assert [None, None] == [worker.poll() for worker in fleet.workers]


def test_the_database_loses_its_latest_commits(fleet):
    """A run with a gap in its journal or its output restarts from the remaining data, and ends as usual."""
    fleet.start(park_after=60)
    script = "local r = integrations.replicate print(1) r.get_account() print(2) sleep(3) r.get_account() print(3)"
    (run,) = fleet.submit(1, script)
    wait_until(lambda: len(runs.prints(fleet.database, run)) == 2)
    fleet.database.rows("DELETE FROM outcomes")
    fleet.database.rows("DELETE FROM prints WHERE number = 2")
    fleet.finish()

    assert ("done", None) == (runs.find(fleet.database, run).state, runs.find(fleet.database, run).error)
    assert [b"1\n", b"2\n", b"3\n"] == [text for _, _, text in runs.prints(fleet.database, run)]
