"""Workers share runs, and each prediction is created once, whatever fails."""

import time

import pytest
from fleet import SCRIPT, Fleet
from waiting import scaled, wait_until

from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.worker import runs

WAIT = """
local p = integrations.replicate.create("minimax/video-01", { prompt = args[1] })
return integrations.replicate.wait(p).status
"""
SLEEP = (
    b"local t = time() spawn(function() sleep(3) end):await() return time() - t"  # a plain sleep is too short to park
)


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path).serving() as fleet:
        yield fleet


def test_runs_are_executed(fleet):
    """Two workers share eight runs; each run waits without a process, and prints once."""
    fleet.start()
    fleet.start()
    fleet.submit(8)
    wait_until(lambda: fleet.states()["waiting"])
    fleet.finish()

    fleet.check(8)


def test_a_run_that_was_woken_does_not_wait_again(url, tmp_path):
    """The worker that wakes a run records which wait has ended, so the run reads its prediction at once."""
    with Fleet(url, tmp_path, speed=20).serving() as fleet:
        fleet.start()
        fleet.start()
        fleet.submit(12, WAIT)
        fleet.finish()

        assert [(24,)] == fleet.database.rows("SELECT count(*) FROM starts")
        assert [(12,)] == fleet.database.rows("SELECT count(*) FROM starts WHERE ok")


def test_declared_arguments_are_read_by_name(fleet):
    """A submitted run reads the arguments that its script's header declares as `kosmo lua` does."""
    fleet.start()
    (run,) = fleet.submit(
        1, "--@ arg text string\n--@ arg times integer = 2\nreturn args.text, args.times", name="text=run"
    )
    fleet.finish()

    assert ["run0", 2] == runs.find(fleet.database, run).results


def test_a_worker_ends_at_sigterm(fleet):
    """SIGTERM ends the worker with status 0, and the next worker continues its runs at once."""
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
    """The same key returns the same run, unless its script or arguments differ."""
    head = Head(script="a.lua", source=b"return 1", args=["x"])
    first, new = runs.submit(database, head, key="order-1")

    assert (new, (first, False)) == (True, runs.submit(database, head, key="order-1"))
    with pytest.raises(UsageError, match="order-1"):
        runs.submit(database, Head(script="a.lua", source=b"return 2", args=["x"]), key="order-1")
    assert first == runs.find(database, "order-1").id
    assert first != runs.submit(database, head)[0]


def test_a_run_fails_is_resumed_and_canceled(fleet):
    """A failed run has its error and tries again when resumed; a waiting run is canceled at once."""
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


def test_start_and_sleep_use_the_databases_clock(fleet):
    """The times of start and sleep are the database's; any worker may wake a sleeping run."""
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


def test_the_budget_of_a_run(fleet):
    """The caps of a submission apply to all segments of its run."""
    fleet.start()
    run, _ = runs.submit(fleet.database, Head(script="s", source=SCRIPT.encode(), args=["x"]), caps=Caps(predictions=2))
    wait_until(lambda: runs.find(fleet.database, run).state == "failed")

    assert "limit_reached" in runs.find(fleet.database, run).error
    assert 2 == len(fleet.emulator._world.predictions)


@pytest.mark.parametrize("account", ["a" * 40, "a" * 41, "b" * 64, "c" * 1000, "\u00e4" * 30, "default"])
def test_an_account_may_have_a_long_name(database, account):
    """The queue of each account has a name that fits into a PostgreSQL channel, and that no other account has."""
    runs.submit(database, Head(script="s.lua", source=b"return 1", account=account))
    ((queue,),) = database.rows("SELECT queue_name FROM procrastinate_jobs")

    assert runs.queue_of(account) == queue
    assert len(f"procrastinate_queue_v1#{queue}".encode()) <= 63
    assert queue != runs.queue_of(f"{account}a")
