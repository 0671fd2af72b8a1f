"""Workers share persistent budgets and the request rate of an account."""

import time
from collections import Counter

import pytest
from fleet import Fleet
from waiting import scaled, wait_until

from kosmolua.journal.records import Head
from kosmolua.replicate.pace import Turn
from kosmolua.worker import medic, runs
from kosmolua.worker.rates import Rate, SharedPace

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
ONE = f'return integrations.replicate.create_prediction{{ version = "{HELLO}", input = {{ text = args[1] }} }}.id'

WAITED = "local r = integrations.replicate return r.wait(r.create('minimax/video-01', { prompt = args[1] })).id"
MONEY = ["reserved", "after_intent", "answered", "settled"]


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path).serving() as fleet:
        yield fleet


def test_a_budget_is_never_exceeded(fleet):
    """Four workers with a budget of ten predictions create ten, however many runs request one."""
    (fleet.directory / "config").mkdir()
    budget = '[[replicate.budgets]]\nname = "day"\npredictions = 6\nperiod = "day"\n'
    (fleet.directory / "config" / "config.toml").write_text(budget)
    for _ in range(4):
        fleet.start()
    fleet.submit(16, ONE)
    fleet.finish()
    found = runs.listed(fleet.database)

    assert Counter(done=6, failed=10) == Counter(one.state for one in found), fleet.log()
    assert 6 == len(fleet.emulator._world.predictions)
    assert all("budget 'day'" in one.error for one in found if one.state == "failed")


def test_a_worker_dies_and_nothing_is_charged_twice(fleet):
    """A worker dies at any step, also within a transaction: there is one charge for each prediction, and no reservation
    is left.
    """
    (fleet.directory / "config").mkdir()
    budget = f'[[replicate.budgets]]\nname = "day"\npredictions = {len(MONEY)}\nperiod = "day"\n'
    (fleet.directory / "config" / "config.toml").write_text(budget)
    for step in MONEY:
        fleet.start(f"{step}:SIGKILL", slots=1)
    wait_until(lambda: fleet.log().count("is ready") == len(MONEY))
    fleet.submit(len(MONEY), WAITED)
    fleet.finish()

    assert len(MONEY) == len(list(fleet.directory.glob("fault*")))
    assert Counter(done=len(MONEY)) == fleet.states(), [one.error for one in runs.listed(fleet.database)]
    charged = fleet.database.rows("SELECT prediction FROM charges WHERE spent IS NOT NULL ORDER BY 1")
    assert sorted(fleet.emulator._world.predictions) == [prediction for (prediction,) in charged]
    assert [(0, len(MONEY))] == fleet.database.rows("SELECT reserved, predictions FROM totals")
    assert [(len(MONEY),)] == fleet.database.rows("SELECT count(*) FROM charges")


def test_a_rate_is_shared(fleet):
    """Four workers with a rate of ten requests a second and bursts of five send no more in any period."""
    for _ in range(4):
        fleet.start(rate=[10.0, 5.0])
    fleet.submit(40, ONE)
    fleet.finish()
    times = sorted(fleet.server.creates)
    late = scaled(0.1)  # seconds by which a request may arrive after its turn

    assert 40 == len(times)
    for first in range(40):
        for last in range(first, 40):
            assert last - first + 1 <= 5 + 10 * (times[last] - times[first] + late)


def test_turns_of_a_rate(database):
    """The rate allows a burst at once, then one request per gap, for all that share the row."""
    paces = [SharedPace(database, "default", "create", Rate(2.0, 3.0)) for _ in range(2)]
    waits = [paces[n % 2].turn().wait for n in range(6)]

    assert [0, 0, 0] == waits[:3]
    assert waits[3:] == pytest.approx([0.5, 1.0, 1.5], abs=0.3)


def test_a_rejection_slows_all_workers_down(database):
    """After a 429 every worker waits for twice the gap; each accepted request shortens the gap."""
    one, two = (SharedPace(database, "default", "create", Rate(10.0, 1.0)) for _ in range(2))
    turn = one.turn()
    one.refused(turn, 2.0)
    one.refused(turn, 2.0)  # sent before the first rejection was known
    waited = two.turn()

    assert 1.8 < waited.wait < 2.5
    assert Turn(waited.wait, 1) == waited
    assert [(0.2,)] == database.rows("SELECT gap FROM rates")
    for _ in range(10):
        one.taken()
    assert [(0.1,)] == database.rows("SELECT gap FROM rates")


def test_the_medic_frees_a_lock(database):
    """A dead worker's job with a queued successor delays neither its own run nor other runs."""
    run, _ = runs.submit(database, Head(script="s", source=b"return 1"))
    with database.transaction() as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing'")
        runs.enqueue(connection, [(run, "default")])
    other, _ = runs.submit(database, Head(script="s", source=b"return 2"))
    with database.transaction() as connection:
        connection.execute("DELETE FROM procrastinate_jobs WHERE lock = %s", (other,))
    with database.transaction() as connection:
        medic.round_of(connection, 15.0)

    jobs = database.rows("SELECT lock, status::text FROM procrastinate_jobs ORDER BY lock")
    assert sorted([(run, "todo"), (other, "todo")]) == jobs


def test_the_medic_frees_a_finished_job(database):
    """A job whose end was not recorded does not delay its run, although its worker is alive."""
    run, _ = runs.submit(database, Head(script="s", source=b"return 1"))
    with database.transaction() as connection:
        connection.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
        connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers)"
        )
    text = "SELECT status::text FROM procrastinate_jobs"
    with database.transaction() as connection:
        medic.round_of(connection, 15.0)
    assert [("doing",)] == database.rows(text)  # the job may be about to be claimed
    with database.transaction() as connection:
        connection.execute("UPDATE procrastinate_events SET at = at - interval '20 s'")
        medic.round_of(connection, 15.0)

    assert [("todo",)] == database.rows(text)
    assert run == runs.find(database, run).id


def test_several_wakes_queue_a_run_once(database):
    """A run that is woken three times is queued once."""
    run, _ = runs.submit(database, Head(script="s", source=b"return 1"), at=time.time() + 1000)
    with database.transaction() as connection:
        assert [1, 0, 0] == [runs.wake(connection, [run]) for _ in range(3)]
        runs.enqueue(connection, [(run, "default")] * 3)

    assert [(1,)] == database.rows("SELECT count(*) FROM procrastinate_jobs")
    wait_until(lambda: runs.find(database, run).state == "ready")
