"""Workers share runs, and each prediction is created once, whatever dies."""

import signal
import time

import pytest
from fleet import SCRIPT, Fleet
from waiting import scaled, wait_until

from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.worker import runs

SLOW = "integrations.replicate.create('minimax/video-01', { prompt = 'x' })"
SLEEP = (
    b"local t = time() spawn(function() sleep(3) end):await() return time() - t"  # alone it would be too short to park
)
STEPS = ["claimed", "after_intent", "answered", "parked"]  # chaos.py has them all


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path).serving() as fleet:
        yield fleet


def test_runs_are_carried_out(fleet):
    """Two workers share eight runs; each waits without a process, and prints once."""
    fleet.start()
    fleet.start()
    fleet.submit(8)
    wait_until(lambda: fleet.states()["waiting"])
    fleet.finish()

    fleet.check(8)


def test_workers_are_killed_at_each_step(fleet):
    """Others continue their runs."""
    for step in STEPS:
        fleet.start(f"{step}:SIGKILL", slots=1)
    wait_until(lambda: fleet.log().count("is ready") == 4)
    fleet.submit(4)
    fleet.finish()

    assert [f"fault{n}" for n in range(4)] == sorted(path.name for path in fleet.directory.glob("fault*"))
    fleet.check(4)


def test_a_worker_that_was_stopped_cannot_go_on(fleet):
    """While it is stopped another takes its runs; its timer ends it before it can send."""
    stopped = [fleet.start(f"{step}:SIGSTOP") for step in ("after_intent", "answered")]
    fleet.submit(4)
    wait_until(lambda: len(list(fleet.directory.glob("fault*"))) == 2)
    fleet.start()
    fleet.finish()
    for worker in stopped:
        worker.send_signal(signal.SIGCONT)

    assert [-signal.SIGALRM] * 2 == [worker.wait(20) for worker in stopped]
    fleet.check(4)


def test_what_was_created_for_a_run_that_others_hold_is_canceled(fleet):
    """A worker learns after the answer that it does not hold the run any more: nobody would wait for the prediction."""
    worker = fleet.start("answered:TAKE")
    (run,) = fleet.submit(1, f"{SLOW} {SLOW}")
    wait_until(lambda: fleet.server.count("POST", "/cancel") == 1)

    assert "failed" == runs.find(fleet.database, run).state
    assert worker.poll() is None


def test_the_database_restarts(fleet, server):
    """It is stopped in the midst of everything, and started again: the workers go on, and so do the runs."""
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
    """A run with a gap in its journal or its output begins again from what is left, and ends as ever."""
    fleet.start(park_after=60)
    script = "local r = integrations.replicate print(1) r.get_account() print(2) sleep(3) r.get_account() print(3)"
    (run,) = fleet.submit(1, script)
    wait_until(lambda: len(runs.prints(fleet.database, run)) == 2)
    fleet.database.rows("DELETE FROM outcomes")
    fleet.database.rows("DELETE FROM prints WHERE number = 2")
    fleet.finish()

    assert ("done", None) == (runs.find(fleet.database, run).state, runs.find(fleet.database, run).error)
    assert [b"1\n", b"2\n", b"3\n"] == [text for _, _, text in runs.prints(fleet.database, run)]


def test_a_worker_drains(fleet):
    """SIGTERM ends it with status 0, and the next worker continues at once."""
    worker = fleet.start(park_after=60)
    fleet.submit(2)
    wait_until(lambda: len(fleet.emulator._world.predictions) == 6)
    worker.terminate()
    assert 0 == worker.wait(20), fleet.log()
    began = time.monotonic()
    fleet.start()
    fleet.finish()

    fleet.check(2)
    assert time.monotonic() - began < scaled(15)


def test_a_key_names_one_run(database):
    """The same key gives the same run, unless something else is meant by it."""
    head = Head(script="a.lua", source=b"return 1", args=["x"])
    first, new = runs.submit(database, head, key="order-1")

    assert (new, (first, False)) == (True, runs.submit(database, head, key="order-1"))
    with pytest.raises(UsageError, match="order-1"):
        runs.submit(database, Head(script="a.lua", source=b"return 2", args=["x"]), key="order-1")
    assert first == runs.find(database, "order-1").id
    assert first != runs.submit(database, head)[0]


def test_a_run_fails_is_resumed_and_canceled(fleet):
    """A failed run has its error; resumed it tries again; a waiting run is canceled at once."""
    fleet.start()
    (failing,) = fleet.submit(1, "error('no luck')")
    wait_until(lambda: runs.find(fleet.database, failing).state == "failed")
    assert "no luck" in runs.find(fleet.database, failing).error
    assert runs.resume(fleet.database, failing)
    wait_until(lambda: runs.find(fleet.database, failing).state == "failed")
    (sleeping, looping) = fleet.submit(1, "sleep(3600)") + fleet.submit(1, "print('on') while true do sleep(0.2) end")
    wait_until(lambda: runs.find(fleet.database, sleeping).state == "waiting")
    wait_until(lambda: runs.prints(fleet.database, looping) == [(1, 1, b"on\n")])
    runs.cancel(fleet.database, sleeping)
    runs.cancel(fleet.database, looping)

    assert "canceled" == runs.find(fleet.database, sleeping).state
    wait_until(lambda: runs.find(fleet.database, looping).state == "canceled")


def test_a_run_begins_at_its_time_and_sleeps_on(fleet):
    """A schedule and a sleep are times of the database; who wakes a sleeping run does not matter."""
    fleet.start()
    at = fleet.database.now() + 1.5
    run, _ = runs.submit(fleet.database, Head(script="s", source=SLEEP), at=at)
    assert "scheduled" == runs.find(fleet.database, run).state
    wait_until(lambda: runs.find(fleet.database, run).state == "waiting")
    fleet.workers[0].kill()
    fleet.workers[0].wait()
    fleet.start()
    fleet.finish()

    (slept,) = runs.find(fleet.database, run).results
    assert 3 <= slept < 3 + scaled(4)


def test_a_runs_own_budget(fleet):
    """Caps of a submission hold over all its segments."""
    fleet.start()
    run, _ = runs.submit(fleet.database, Head(script="s", source=SCRIPT.encode(), args=["x"]), caps=Caps(predictions=2))
    wait_until(lambda: runs.find(fleet.database, run).state == "failed")

    assert "limit_reached" in runs.find(fleet.database, run).error
    assert 2 == len(fleet.emulator._world.predictions)
