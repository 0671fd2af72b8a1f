"""Runs with a journal on the command line: resuming, showing and removing them."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from recording_server import Answer
from surroundings import clean_environment
from waiting import stays

CREATE = "integrations.replicate.create_prediction{ version = 'v', input = { text = 'a' } }"


@pytest.fixture
def prediction(server):
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')


def test_the_same_command_resumes(server, live, prediction):
    """The same command takes finished calls from the journal, reports this, and makes the remaining calls."""
    server.answers.extend([Answer(201, b'{"id": "p0"}'), Answer(402, b'{"detail": "no credit"}')])
    command = ("lua", "-e", f"return {CREATE}.id, {CREATE}.id", "--journal", "x.journal", "--write", "allow")
    assert 1 == live(*command).status
    ran = live(*command)

    assert (0, "p0\np1\n") == ran.seen[:2]
    assert "1 answer is taken from" in ran.err
    assert 3 == len(server.requests)
    assert 0 == live(*command).status
    assert 3 == len(server.requests)


def test_a_finished_run_is_not_repeated(server, live, prediction):
    """If the run has finished, nothing is sent; --fresh starts a new run with the same name, and keeps the old one
    under its date."""
    command = ("lua", "-e", f"return {CREATE}.id", "--journal", "nightly", "--write", "allow")
    live(*command)
    ran = live(*command)
    assert (0, "p1\n") == ran.seen[:2]
    assert f"this run finished at {time.strftime('%Y-%m-%d')}" in ran.err
    assert "nothing is sent, and its results are those in" in ran.err
    assert "To start a new run: --fresh" in ran.err
    assert 1 == len(server.requests)

    server.default = Answer(201, b'{"id": "p2", "status": "starting"}')
    ran = live(*command, "--fresh")
    assert (0, "p2\n") == ran.seen[:2]
    names = [run["name"] for run in live("runs", "list", "--json").json["runs"]]
    assert [True, "nightly"] == [names[0].startswith("nightly-20"), *names[1:]]
    assert f"the earlier run is kept as {names[0]}" in ran.err
    assert "p1" in live("runs", "export", names[0]).out
    assert [2, 2] == [len(server.requests), live("runs", "list").out.count("nightly")]


def test_a_fresh_run_replaces_no_other_file(live, tmp_path):
    """--fresh does not replace other files or journals in use, and requires a journal."""
    (tmp_path / "notes.txt").write_text("mine")
    ran = live("lua", "-e", "time()", "--journal", "./notes.txt", "--fresh")
    assert (1, "mine") == (ran.status, (tmp_path / "notes.txt").read_text())
    assert 0 == live("lua", "-e", "time()", "--journal", "new", "--fresh").status
    ran = live("lua", "-e", "time()", "--fresh")
    assert (2, True) == (ran.status, "--fresh needs --journal" in ran.err)
    ran = live("lua", "-e", "time()", "--journal", "new", "--fresh", "--from-here")
    assert (2, True) == (ran.status, "leave out --fresh" in ran.err)


def test_an_interrupted_run_has_not_failed(server, live, prediction, tmp_path):
    """A run is listed as "interrupted" after Ctrl-C and SIGTERM."""
    environment = {**clean_environment(tmp_path), "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked"}
    for name, number in (("one", signal.SIGINT), ("two", signal.SIGTERM)):
        command = [sys.executable, "-m", "kosmolua", "lua", "-e", "print('on') sleep(60)", "--journal", name]
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.send_signal(number)

    assert {"one": "interrupted", "two": "interrupted"} == {
        run["name"]: run["state"] for run in live("runs", "list", "--json").json["runs"]
    }


def test_names_are_shown_without_control_characters(server, live, prediction, tmp_path):
    """Names from the journal are shown without control characters."""
    live("lua", "-e", "time()", "--journal", "here.journal")
    with closing(sqlite3.connect(tmp_path / "here.journal")) as file:
        file.execute("UPDATE facts SET value = char(27) || '[2J' WHERE name IN ('id', 'script', 'account')")
        file.commit()

    for argv in (("list",), ("show", "here.journal")):
        ran = live("runs", *argv)
        assert (0, False) == (ran.status, "\x1b" in ran.out + ran.err)


def test_a_run_is_listed_shown_resumed_exported_and_removed(server, live, prediction, tmp_path):
    """A run can be listed, shown, resumed, exported and removed, by id, name or file."""
    (tmp_path / "flow.lua").write_text(f"print(args[1]) local p = {CREATE} error('stopped')")
    live("lua", "flow.lua", "--journal", "nightly", "--write", "allow", "--", "x y")
    live("lua", "-e", "time()", "--journal", "here.journal")
    listed = live("runs", "list", "--json").json["runs"]
    assert ["failed", "finished"] == [run["state"] for run in listed]
    assert [1, 0] == [run["spent"]["predictions"] for run in listed]
    identifier = listed[0]["id"]

    assert identifier == live("runs", "show", "--json", "nightly").json["run"]["id"]
    for name in (identifier, "nightly", listed[0]["path"]):
        shown = live("runs", "show", name)
        assert 0 == shown.status
        assert "create_prediction" in shown.out
        assert "stopped" in shown.out
        assert f"kosmo runs resume {identifier}" in shown.out
    assert "here.journal" in live("runs").out

    (tmp_path / "flow.lua").write_text(f"print(args[1]) local p = {CREATE} print(p.id)")
    resumed = live("runs", "resume", "nightly")
    assert (0, "x y\np1\n") == resumed.seen[:2]
    assert "the script has changed since" in resumed.err
    assert 1 == len(server.requests)

    (line,) = live("runs", "export", "nightly").out.splitlines()
    entry = json.loads(line)
    assert ("create_prediction", "ok", {"id": "p1", "status": "starting"}) == tuple(
        entry[name] for name in ("function", "state", "answer")
    )

    assert 2 == live("runs", "prune").status
    assert "removed" in live("runs", "prune", "--older-than", "0s").out
    assert [] == live("runs", "list", "--json").json["runs"]
    assert not (tmp_path / "here.journal").exists()


def test_a_prune_by_age_says_what_it_kept(live, prediction):
    """Runs that may be resumed are kept, and the output counts both and shows how to delete them."""
    live("lua", "-e", "time()", "--journal", "done")
    live("lua", "-e", "time() error('x')", "--journal", "broken")
    assert "removed 0 runs\n" == live("runs", "prune", "--older-than", "1h").out
    pruned = live("runs", "prune", "--older-than", "0s").out
    again = live("runs", "prune", "--older-than", "0s", "--json").json

    last = "removed 1 run; kept 1 failed, interrupted or waiting: kosmo runs prune NAME"
    assert ["kept broken", last] == pruned.splitlines()[-2:]
    assert {"success": True, "removed": [], "kept": ["broken"]} == again
    assert 0 == live("runs", "prune", "broken").status


def test_an_id_of_a_submitted_run_is_explained(live):
    """A run that is not here but has such an id may have been submitted, so the hint names --database."""
    for command in (("show", "0123456789ab"), ("resume", "0123456789ab"), ("prune", "0123456789ab")):
        assert "kosmo runs show 0123456789ab --database" in live("runs", *command).err
    assert "--database" not in live("runs", "show", "nightly").err


@pytest.mark.parametrize("words", [("list",), ("show", "0123456789ab")])
def test_an_action_is_no_database(live, words):
    """After --database an action would be taken for its URL, and the error says where to write it."""
    ran = live("runs", "--database", *words)

    assert 2 == ran.status
    assert f"got '{words[0]}'; write --database after other words" in ran.err


def test_a_script_without_a_file_is_resumed(live, prediction):
    """A script from --eval is resumed from its text in the journal."""
    live("lua", "-e", "return ...", "--journal", "x", "--", "-a")

    assert (0, "-a\n") == live("runs", "resume", "x").seen[:2]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("runs", "show", "nothing"), "kosmo runs list"),
        (("runs", "show"), "expected one run"),
        (("runs", "resume"), "missing run to resume"),
        (("runs", "frobnicate"), "invalid choice"),
        (("lua", "-e", "1", "--journal", "x", "--dry-run"), "--dry-run"),
        (("lua", "-e", "return 1", "--journal", "no/such/place.journal"), "cannot write"),
    ],
)
def test_mistakes_are_reported(live, argv, words):
    """Each error message suggests a next step and has no traceback."""
    ran = live(*argv)

    assert ran.status in {1, 2}
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_mismatch_shows_both_sides(server, live, prediction):
    """The error shows the call in the journal and the call in the script; nothing is sent without --from-here."""
    live("lua", "-e", f"{CREATE}", "--journal", "x", "--write", "allow")
    ran = live("lua", "-e", "integrations.replicate.get_account{}", "--journal", "x", "--json")

    assert "journal" == ran.json["code"]
    assert "the journal: create_prediction" in ran.json["error"]
    assert "the script:  get_account" in ran.json["error"]
    assert 1 == len(server.requests)
    assert 0 == live("lua", "-e", "integrations.replicate.get_account{}", "--journal", "x", "--from-here").status
    assert 2 == len(server.requests)


def test_the_emulator_and_the_api_do_not_mix(live):
    """A journal recorded with the emulator is refused for the API."""
    live("lua", "-e", "time()", "--journal", "x", "--emulate")
    ran = live("lua", "-e", "time()", "--journal", "x")

    assert 1 == ran.status
    assert "--emulate" in ran.err
    assert 0 == live("runs", "resume", "x").status


def test_the_accounts_do_not_mix(live):
    """A journal is refused for another account; a resumed run uses the account of the journal."""
    live("lua", "-e", "time()", "--journal", "x", "--account", "work")
    ran = live("lua", "-e", "time()", "--journal", "x")

    assert 1 == ran.status
    assert "on account work; now the account is default" in ran.err
    assert "use --account work" in ran.err
    assert 0 == live("runs", "resume", "x").status
    assert "work" in live("runs", "show", "x").out


def test_an_unknown_end_counts_to_the_end_of_the_run(live, prediction):
    """A prediction whose end is unknown is counted up to the end of the run, not to the time of the listing."""
    live("lua", "-e", f"local p = {CREATE} error('stopped')", "--journal", "x", "--write", "allow")

    def seconds():
        return live("runs", "show", "x", "--json").json["run"]["spent"]["seconds_of_compute"]

    first = seconds()
    assert stays(seconds, 0.1)
    assert first == seconds()
    assert 0 <= first < 10


def test_calls_of_host_functions_are_only_counted(live, prediction):
    """The text output shows API calls and counts those of host functions; the JSON output lists all calls."""
    live("lua", "-e", f"time() sleep(0) {CREATE}", "--journal", "x", "--write", "allow")
    shown = live("runs", "show", "x")

    assert "create_prediction" in shown.out
    assert "host.sleep" not in shown.out
    assert "and 2 calls of host functions" in shown.out
    assert 3 == len(live("runs", "show", "x", "--json").json["calls"])


def test_a_script_cannot_reach_its_journal(live, server):
    """A script can neither read nor write its journal, under any file name that SQLite uses; the run can be resumed."""
    for name in ("x.journal", "x.journal-wal", "./x.journal-shm", "x.journal-lock"):
        for attempt in (f"download('data:,x', '{name}')", f"integrations.replicate.create_file{{ path = '{name}' }}"):
            ran = live("lua", "-e", f"time() {attempt}", "--journal", "x.journal", "--from-here",
                       "--allow-read", ".", "--allow-write", ".", "--write", "allow")  # fmt: skip
            assert 3 == ran.status
            assert f"'{name}' is not available to scripts: it is the journal" in ran.err

    assert [] == server.requests
    assert 0 == live("runs", "show", "x.journal").status
