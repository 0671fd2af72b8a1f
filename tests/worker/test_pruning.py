"""`kosmo runs prune --database` deletes submitted runs."""

import json

import psycopg
import pytest

from kosmolua.cli import main
from kosmolua.errors import UsageError
from kosmolua.journal.records import Head
from kosmolua.worker import pruning, runs, schedules, triggers
from kosmolua.worker.pruning import Pruned
from kosmolua.worker.schedules import NewSchedule
from kosmolua.worker.triggers import Request

DAY = 86_400.0
FLOW = Head(script="flow.lua", source=b"return 1")
_ENDED = "UPDATE runs SET state = %s, ended = clock_timestamp() - make_interval(secs => %s) WHERE id = %s"
_INTENT = """
INSERT INTO intents (run, task, request, function, account, digest, arguments, at, seen, essence, epoch, open)
VALUES (%s, 0, 1, 'create_prediction', 'default', '', '', 1, 0, %s, 1, %s)
"""
_OUTCOME = """
INSERT INTO outcomes (run, task, request, function, account, digest, arguments, at, seen, state, ended, sent, cut)
VALUES (%s, 0, 1, 'create_prediction', 'default', '', '', 1, 0, %s, 1, true, %s)
"""
_OF_RUNS = ("starts", "intents", "outcomes", "taken", "waits", "prints", "approvals")


@pytest.fixture
def ended(database):
    """A run that has been in this state for this time, with a settled create."""

    def make(state="done", age=40 * DAY, essence=None, **more):
        run, _ = runs.submit(database, FLOW, **more)
        database.rows(_INTENT, (run, essence or run.encode(), False))
        database.rows(_OUTCOME, (run, "ok", False))
        database.rows("INSERT INTO taken VALUES (%s, %s)", (f"p-{run}", run))
        database.rows("INSERT INTO prints VALUES (%s, 1, 1, 'x')", (run,))
        if state in runs.ENDED:
            database.rows(_ENDED, (state, age, run))
        else:
            database.rows("UPDATE runs SET state = %s, began = 1 WHERE id = %s", (state, run))
        return run

    return make


def left(database):
    return {one.id for one in runs.listed(database)}


def test_old_runs_are_deleted_with_all_their_rows(database, ended):
    """Runs in every final state are deleted; younger runs are kept, and no table has a row of a deleted run."""
    old = {ended(state) for state in runs.ENDED}
    young = ended(age=20 * DAY)

    found = pruning.prune(database, 30 * DAY)

    assert (old, []) == (set(found.removed), found.kept)
    assert {young} == left(database)
    for table in _OF_RUNS:
        assert {(young,)} >= set(database.rows(f"SELECT run FROM {table}"))


@pytest.mark.parametrize("state", ["scheduled", "ready", "running", "waiting"])
def test_active_runs_are_kept(database, ended, state):
    """A run that has not ended is kept at any age, also if it is named."""
    run = ended(state)

    assert Pruned([], []) == pruning.prune(database, pruning.LEAST)
    with pytest.raises(UsageError, match=f"run {run} is {state}; only a run that has ended can be pruned"):
        pruning.check(database, runs.find(database, run))
    assert Pruned([], []) == pruning.prune(database, 0.0, [run])
    assert {run} == left(database)


def test_an_unsettled_write_keeps_its_run(database, ended):
    """An intent without an outcome or an uncertain outcome keeps its run, unless it was cut later."""
    interrupted, unsure, settled = ended("failed"), ended("failed"), ended("failed")
    database.rows("UPDATE intents SET open = true WHERE run = %s", (interrupted,))
    database.rows("UPDATE outcomes SET state = 'unsure' WHERE run = %s", (unsure,))
    database.rows("UPDATE outcomes SET state = 'unsure', cut = true WHERE run = %s", (settled,))

    found = pruning.prune(database, DAY)

    assert ([settled], {interrupted, unsure}) == (found.removed, set(found.kept))
    assert {interrupted, unsure} == left(database)


def test_a_prediction_that_another_run_may_find_is_kept(database, ended):
    """A run is kept while the search of another run might take its prediction for its own."""
    made, seeking = ended(essence=b"same"), ended("waiting", essence=b"same")
    database.rows("UPDATE intents SET open = true WHERE run = %s", (seeking,))
    assert Pruned([], [made]) == pruning.prune(database, DAY)

    database.rows("UPDATE intents SET open = false WHERE run = %s", (seeking,))
    assert Pruned([made], []) == pruning.prune(database, DAY)


def test_a_run_that_ended_recently_is_kept(database, ended):
    """A run is kept for an hour after its end, whatever age is given."""
    run = ended(age=60.0)

    assert Pruned([], []) == pruning.prune(database, 1.0)
    with pytest.raises(UsageError, match="ended less than an hour ago"):
        pruning.check(database, runs.find(database, run))


def test_a_run_that_is_being_resumed_is_kept(database, ended, url):
    """The transaction that resumes the run has locked its row."""
    run, other = ended("failed"), ended("failed")
    with psycopg.connect(url, options="-c search_path=kosmo") as connection:
        connection.execute("UPDATE runs SET state = 'ready' WHERE id = %s", (run,))
        found = pruning.prune(database, DAY)
        connection.commit()

    assert ([other], "ready") == (found.removed, runs.find(database, run).state)


def test_many_runs(database, ended):
    """All runs are deleted, in several transactions."""
    names = "digest, script, source, args, account, emulated, caps, began, seed, state, ended"
    count = 2 * pruning.BATCH + 1
    copied = f"SELECT 'r' || n, {names} FROM runs, generate_series(2, {count}) n WHERE id = %s"
    database.rows(f"INSERT INTO runs (id, {names}) {copied}", (ended(),))

    assert count == len(set(pruning.prune(database, DAY).removed))
    assert set() == left(database)


def test_a_key_is_not_reused_after_pruning(database, ended):
    """A submission, delivery or slot whose run was pruned does not run again."""
    run = ended(key="order-1")
    triggers.add(database, "orders", FLOW)
    request = Request(trigger="orders", id="d1", query={}, headers={}, body="x")
    delivered, _ = triggers.submit(database, request)
    database.rows(_ENDED, ("done", 2 * DAY, delivered))
    assert {run, delivered} == set(pruning.prune(database, DAY).removed)

    assert (run, False) == runs.submit(database, FLOW, key="order-1")
    with pytest.raises(UsageError, match="key 'order-1' belongs to run"):
        runs.submit(database, Head(script="flow.lua", source=b"return 2"), key="order-1")
    assert (delivered, False) == triggers.submit(database, request)
    assert set() == left(database)


def test_schedules_and_budgets_are_kept(database, ended):
    """A schedule whose last run was pruned is still listed, and amounts spent still count."""
    schedules.add(database, NewSchedule(name="nightly", cron="0 3 * * *", zone="UTC", head=FLOW))
    run = schedules.run_now(database, "nightly")
    database.rows(_ENDED, ("done", 2 * DAY, run))
    database.rows("INSERT INTO charges (at, account, run, kind, spent) VALUES (1, 'default', %s, 'p', 5)", (run,))
    pruning.prune(database, DAY)

    (one,) = schedules.listed(database)
    assert (run, None) == (one.last_run, one.last_state)
    assert [(5,)] == database.rows("SELECT spent FROM charges")


def test_the_command(database, ended, url, monkeypatch, capsys):
    """Runs are pruned by age or by name, with output as text or JSON; each kept run is shown with the command that
    settles it.
    """
    monkeypatch.setenv("KOSMO_DATABASE", url)
    old, named, kept = ended(), ended(age=2 * DAY, key="by-key"), ended("failed")
    database.rows("UPDATE intents SET open = true WHERE run = %s", (kept,))

    def kosmo(*words):
        status = main(["runs", "prune", *words, "--database"])
        return status, capsys.readouterr()

    status, printed = kosmo("--older", "30d")
    assert (0, "removed 1 run") == (status, printed.out.splitlines()[0])
    assert f"kept {kept}: it is unknown whether a write of this run, or an identical write, happened" in printed.out
    assert {named, kept} == left(database)
    status, printed = kosmo("--json", "by-key")
    assert {"success": True, "removed": [named], "kept": []} == json.loads(printed.out)
    for words, message in (
        ((), "expected either runs to delete or --older-than TIME"),
        ((kept, "--older-than", "1d"), "expected either runs to delete or --older-than TIME"),
        (("--older-than", "soon"), "expected a time such as"),
        (("no-such-run",), "no run 'no-such-run'"),
    ):
        status, printed = kosmo(*words)
        assert message in printed.err, printed
        assert 0 != status
    assert old not in left(database)
