"""Schedules run each slot once, whatever was missed and however many workers check."""

import json
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fleet import Fleet
from waiting import wait_until

from kosmolua.cli import main
from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.worker import runs, schedules, triggers
from kosmolua.worker.schedules import NewSchedule


def planned(name="nightly", source=b"return 1", **more):
    head = Head(script="/flows/nightly.lua", source=source, args=["a", "b"], account="work")
    return NewSchedule(**{"name": name, "cron": "0 3 * * *", "head": head, "zone": "Europe/Berlin", **more})


def due_since(database, days, name="nightly"):
    """Move the schedule's next slot into the past, as if no worker had run since then."""
    (one,) = schedules.listed(database, name)
    slot = datetime.fromtimestamp(one.next, UTC) - timedelta(days=days)
    database.rows("UPDATE schedules SET next_at = %s WHERE name = %s", (slot, name))
    return slot


@pytest.fixture
def connection(url, database):
    with psycopg.connect(url, autocommit=True, **database.options) as connection:
        yield connection


def test_missed_slots_run_once(database, connection):
    """After three missed nights there is one run, with its arguments, account and budget, and then the next night's
    run.
    """
    assert "added" == schedules.add(database, planned(caps=Caps(cost=2.0), by="ada"))
    (before,) = schedules.listed(database)
    slot = due_since(database, 3)
    fired = [schedules.fire(connection) for _ in range(3)]
    (after,), (run,) = schedules.listed(database), runs.listed(database)

    assert [1, 0, 0] == fired
    assert (f"schedule:nightly:{slot:%Y-%m-%dT%H:%M:%SZ}", ["a", "b"], "work") == (run.key, run.args, run.account)
    assert (before.next, slot.timestamp(), run.id, "ready") == (
        after.next,
        after.last_slot,
        after.last_run,
        after.last_state,
    )
    assert "ada" == run.submitted_by
    ((caps,),) = database.rows("SELECT caps FROM runs")
    assert b"cost" in caps


def test_a_slot_never_runs_twice(url, database):
    """Eight workers find twenty due slots at once; each slot runs once."""
    for number in range(20):
        schedules.add(database, planned(f"n{number}"))
        due_since(database, 1, f"n{number}")
    barrier, fired = threading.Barrier(8), []

    def work():
        with psycopg.connect(url, autocommit=True, **database.options) as connection:
            barrier.wait()
            fired.append(sum(schedules.fire(connection) for _ in range(3)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 20 == sum(fired) == len(runs.listed(database))


def test_a_slot_that_has_run_does_not_run_again(database, connection):
    """A schedule that is removed and added again within a slot has the same run."""
    schedules.add(database, planned())
    slot = due_since(database, 1)
    schedules.fire(connection)
    schedules.remove(database, "nightly")
    database.rows("UPDATE runs SET state = 'done'")
    schedules.add(database, planned(source=b"return 2"))
    database.rows("UPDATE schedules SET next_at = %s", (slot,))
    schedules.fire(connection)

    (run,) = runs.listed(database)
    assert run.id == schedules.listed(database)[0].last_run


@pytest.mark.parametrize(
    ("overlap", "while_active", "after"),
    [("skip", (1, 1, False), (1, 1)), ("queue", (1, 0, True), (2, 0)), ("allow", (2, 0, False), (2, 0))],
)
def test_the_previous_run_has_not_ended(overlap, while_active, after, database, connection):
    """Depending on the option, the next slot is skipped, waits for the end of the run, or runs too."""
    schedules.add(database, planned(overlap=overlap))
    due_since(database, 2)
    schedules.fire(connection)
    due_since(database, 1)
    schedules.fire(connection)
    (one,) = schedules.listed(database)
    still_due = one.next < database.now()
    assert while_active == (len(runs.listed(database)), one.skipped, still_due)

    database.rows("UPDATE runs SET state = 'done'")
    schedules.fire(connection)
    (one,) = schedules.listed(database)
    assert after == (len(runs.listed(database)), one.skipped)
    assert one.next > database.now()


def test_paused_and_resumed(database, connection):
    """Slots during the pause are skipped; a run can still be started by hand."""
    schedules.add(database, planned())
    schedules.pause(database, "nightly")
    due_since(database, 2)
    assert 0 == schedules.fire(connection)
    assert schedules.run_now(database, "nightly") == schedules.listed(database)[0].last_run
    schedules.resume(database, "nightly")

    assert 0 == schedules.fire(connection)
    assert schedules.listed(database)[0].next > database.now()
    assert 1 == len(runs.listed(database))


def test_added_again(database):
    """Adding the same schedule again changes nothing; another schedule with its name is refused without --replace."""
    schedules.add(database, planned())
    assert "unchanged" == schedules.add(database, planned())
    with pytest.raises(UsageError, match="another schedule nightly: '0 3 "):
        schedules.add(database, planned(cron="0 4 * * *"))

    assert "replaced" == schedules.add(database, planned(cron="0 4 * * *"), replace=True)
    assert "0 4 * * *" == schedules.listed(database, "nightly")[0].cron


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_next_times_are_local(zone, database):
    """The next slot is 03:00 in the schedule's time zone."""
    schedules.add(database, planned(zone=zone))
    from zoneinfo import ZoneInfo

    local = datetime.fromtimestamp(schedules.listed(database)[0].next, ZoneInfo(zone))
    assert (3, 0) == (local.hour, local.minute)


def test_a_time_zone_unknown_to_a_worker(database, connection):
    """The schedule shows the error, and other schedules run."""
    schedules.add(database, planned("a"))
    schedules.add(database, planned("b"))
    due_since(database, 1, "a")
    due_since(database, 1, "b")
    database.rows("UPDATE schedules SET zone = 'Mars/Olympus' WHERE name = 'a'")

    assert 1 == schedules.fire(connection)
    assert ["unknown time zone 'Mars/Olympus'", None] == [one.error for one in schedules.listed(database)]


def test_a_worker_starts_due_runs(url, tmp_path):
    """The worker's clock is an hour wrong, so the database's clock applies."""
    with Fleet(url, tmp_path).serving() as fleet:
        head = Head(script="n.lua", source=b"return args[1]", args=["x"])
        for name in ("due", "later"):
            schedules.add(fleet.database, NewSchedule(name=name, cron="0 3 1 1 *", head=head))
        due_since(fleet.database, 370, "due")
        soon = "UPDATE schedules SET next_at = clock_timestamp() + interval '20 minutes' WHERE name = 'later'"
        fleet.database.rows(soon)
        fleet.start(ahead=3600)
        fleet.start(ahead=3600)
        wait_until(lambda: fleet.states() == {"done": 1})

        assert ["done", None] == [one.last_state for one in schedules.listed(fleet.database)]


# Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kosmo(url, database, capsys, monkeypatch):
    monkeypatch.setenv("KOSMO_DATABASE", url)

    def kosmo(*words):
        status = main(["schedule", *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return kosmo


@pytest.fixture
def flow(tmp_path):
    file = tmp_path / "flow.lua"
    file.write_text("#!/usr/bin/env kosmo\n-- nightly\n--@ schedule: 30 2 * * mon-fri Europe/Berlin\nreturn 1\n")
    return str(file)


def test_all_actions_of_the_command(kosmo, flow, database):
    """The test shows each action, from add to remove, with its output."""
    added = kosmo("add", "nightly", "0 3 * * *", flow, "--tz", "Asia/Tokyo", "--max-cost", "2", "--", "x", "--y")
    assert 0 == added[0]
    assert added[1].startswith("nightly: added; next ")
    assert added[1].endswith("03:00 Asia/Tokyo (0 3 * * *)\n")
    assert "nightly: unchanged" in kosmo(
        "add", "nightly", "0  3 * * *", flow, "--tz", "Asia/Tokyo", "--max-cost", "2", "--", "x", "--y"
    )[1]  # fmt: skip
    (shown,) = json.loads(kosmo("list", "--json")[1])["schedules"]
    assert (["x", "--y"], "skip", None) == (shown["args"], shown["overlap"], shown["last_run"])
    assert (0, "nightly: paused\n", "") == kosmo("pause", "nightly")
    assert "nightly  0 3 * * *  paused" in kosmo("list")[1]
    assert "next" in kosmo("resume", "nightly")[1]
    run = kosmo("run", "nightly")[1].strip()
    assert f"{run} ready" in kosmo("list", "nightly")[1]
    assert "schedule:nightly" == database.rows("SELECT started_by FROM runs WHERE id = %s", (run,))[0][0]
    assert (0, "nightly: removed\n", "") == kosmo("remove", "nightly")
    assert "no schedules; to add one" in kosmo("list")[1]


def test_the_scripts_header_has_the_schedule(kosmo, flow):
    """The name is that of the file by default; --tz and an expression override the header."""
    assert "flow: added; next " in kosmo("add", flow)[1]
    assert "other: added" in kosmo("add", "other", flow, "--tz", "UTC")[1]
    assert "flow: replaced" in kosmo("add", "@daily", flow, "--replace")[1]
    shown = {one["name"]: (one["cron"], one["zone"]) for one in json.loads(kosmo("list", "--json")[1])["schedules"]}

    assert {"flow": ("@daily", "UTC"), "other": ("30 2 * * mon-fri", "UTC")} == shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "add: expected [NAME] ['CRON'] FILE, got 0 words"),
        (["add", "n", "0", "3", "*", "*", "*", "FLOW"], "quote the expression"),
        (["add", "n", "0 3 * *", "FLOW"], "expected five fields"),
        (["add", "n", "0 25 * * *", "FLOW"], "hour (field 2): expected 0 to 23, got '25'"),
        (["add", "n", "0 3 * * *", "FLOW", "--tz", "Europe/Berlni"], "did you mean Europe/Berlin"),
        (["add", "no/slash", "0 3 * * *", "FLOW"], "invalid name 'no/slash'"),
        (["add", "n", "0 3 * * *", "missing.lua"], "cannot read"),
        (["add", "n", "0 3 * * *", "FLOW", "--overlap", "both"], "--overlap"),
        (["run"], "run: expected the name of one schedule, got 0"),
        (["pause", "n", "m"], "expected the name of one schedule, got 2"),
        (["pause", "n", "--", "x"], "does not take script arguments"),
        (["remove", "n"], "no schedule 'n'"),
        (["run", "n"], "no schedule 'n'"),
        (["resume", "n"], "no schedule 'n'"),
        (["list", "n"], "no schedule 'n'"),
        (["stop", "n"], "stop"),
    ],
)
def test_usage_errors(kosmo, flow, words, said):
    """Invalid arguments are usage errors with a hint."""
    status, _, err = kosmo(*[flow if word == "FLOW" else word for word in words])

    assert 2 == status
    assert said in err
    assert "hint:" in err or "--help" in err


@pytest.mark.parametrize("words", [["schedule", "add", "n", "@daily"], ["triggers", "add", "n"]])
def test_a_syntax_error_is_found_when_adding(words, url, database, tmp_path, monkeypatch, capsys):
    """The error is reported when the schedule is added, not at its first run at night."""
    monkeypatch.setenv("KOSMO_DATABASE", url)
    (tmp_path / "f.lua").write_text("local a = 1\nif a then\n  print(a)\n")
    status = main([*words, str(tmp_path / "f.lua")])
    said = capsys.readouterr().err

    assert 2 == status
    assert "f.lua:" in said
    assert "'end' expected" in said
    assert "Add the end that is missing." in said


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("schedule: 0 3 * *", "expected five fields"),
        ("schedule: 0 3 * * * Mars/Olympus", "unknown time zone 'Mars/Olympus'"),
        ("schedule: 0 3 * * * Europe/Berlin nightly", "expected five fields"),
        ("schedule: 0 3 31 2 *", "none of the given months has a day 31"),
        ("schedul: 0 3 * * *", "did you mean schedule"),
        ("describe: nothing", "has no schedule in its header"),
    ],
)
def test_invalid_headers(kosmo, tmp_path, header, said):
    """The error names the line, also before the script runs."""
    (tmp_path / "f.lua").write_text(f"--@ {header}\nreturn 1\n")
    status, _, err = kosmo("add", str(tmp_path / "f.lua"))

    assert 2 == status
    assert said in err
    assert "f.lua:1: " in err or "no schedule" in err


def test_a_header_schedules_nothing_by_itself(url, database, tmp_path, monkeypatch, capsys):
    """Only a person adds a schedule: a script that is submitted, triggered or run never does."""
    source = "--@ schedule: * * * * *\nreturn 1"
    (tmp_path / "every-minute.lua").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOSMO_DATABASE", url)
    triggers.add(database, "orders", Head(script="s.lua", source=source.encode()))
    statuses = [main(words.split()) for words in ("submit every-minute.lua", "lua --emulate every-minute.lua")]
    triggers.submit(database, triggers.Request(trigger="orders", body="", headers={}, query={}))
    with Fleet(url, tmp_path).serving() as fleet:
        fleet.start()
        fleet.finish()
    assert ([0, 0], ["done", "done"]) == (statuses, [one.state for one in runs.listed(database)])
    assert [] == schedules.listed(database)

    assert 0 == main(["schedule", "add", "every-minute.lua"])
    assert ["* * * * *"] == [one.cron for one in schedules.listed(database)]
    assert "* * * * *" in capsys.readouterr().out
