"""Webhooks from Replicate wake waiting runs: early, late, twice, never, forged, and replayed after a day."""

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from fleet import SCRIPT, Fleet
from receiving import Receiving, secret_of, signed
from waiting import stays, wait_until

from kosmolua.cli import main
from kosmolua.emulator import Emulator, running
from kosmolua.emulator.clock import AdjustableClock
from kosmolua.journal.records import Head
from kosmolua.worker import events, runs
from kosmolua.worker.database import Database

WAITING = """
local r = integrations.replicate
local p = r.create("minimax/video-01", { prompt = "x" })
print(p.id)
local done = r.wait(p)
print("on")
return done.status
"""
DAY = 86_400.0


@pytest.fixture
def fleet(url, tmp_path):
    """A fleet whose emulator's predictions take long, unless the clock is advanced."""
    with Fleet(url, tmp_path, clock=AdjustableClock()).serving() as fleet:
        yield fleet


@pytest.fixture
def receiving(fleet):
    with Receiving(fleet.database, fleet.emulator).serving() as receiving:
        yield receiving


def parked(fleet):
    """Start a run that waits without a process for a prediction, and return the prediction's id."""
    (run,) = fleet.submit(1, WAITING)
    wait_until(lambda: runs.find(fleet.database, run).state == "waiting")
    ((job,),) = fleet.database.rows("SELECT job FROM waits WHERE run = %s AND job IS NOT NULL", (run,))
    return run, job


def state_of(fleet, run):
    return runs.find(fleet.database, run).state


def feeds(fleet):
    """The webhooks that the emulator had to send, with prediction, URL and events."""
    return [(feed.job.id, feed.url, feed.wanted) for feed in fleet.emulator._world.feeds]


def reads(fleet):
    return sum(method == "GET" for method, *_ in fleet.server.requests)


def test_the_end_of_a_prediction_wakes_its_run(fleet, receiving):
    """The worker requests a webhook, the emulator sends it, and the run continues without a poll."""
    fleet.start(webhooks=receiving.url)
    run, job = parked(fleet)
    assert [(job, f"{receiving.url}/replicate/default", {"completed"})] == feeds(fleet)
    before = reads(fleet)
    fleet.emulator.clock.advance(3600)
    wait_until(lambda: state_of(fleet, run) == "done")

    assert ["succeeded"] == runs.find(fleet.database, run).results
    assert {"stored": 1} == receiving.counted
    assert reads(fleet) - before < 3  # a run that is woken by a poll needs three


def test_the_webhook_of_a_script_is_unchanged(fleet, receiving):
    """If a script names a webhook, its run is woken by polls."""
    fleet.start(webhooks=receiving.url)
    own = 'prompt = "x" }, { webhook = "https://example.com/own" }'
    (run,) = fleet.submit(1, WAITING.replace('prompt = "x" }', own))
    wait_until(lambda: state_of(fleet, run) == "waiting")
    fleet.emulator.clock.advance(3600)
    wait_until(lambda: state_of(fleet, run) == "done")

    assert {} == receiving.counted
    assert [] == feeds(fleet)  # the emulator sends only to this machine


def test_without_a_public_url(fleet):
    """Without a public URL no webhook is requested, and polls wake the run."""
    fleet.start()
    run, _ = parked(fleet)
    assert [] == feeds(fleet)
    fleet.emulator.clock.advance(3600)
    wait_until(lambda: state_of(fleet, run) == "done")

    assert [] == feeds(fleet)


def test_an_early_webhook(fleet, receiving):
    """A webhook that comes before its run is parked, and before any worker knows the prediction, is not lost."""
    fleet.start("answered:SIGSTOP", lease=30)
    (run,) = fleet.submit(1, WAITING)
    wait_until((fleet.directory / "fault0").exists)
    (job,) = fleet.emulator._world.predictions
    fleet.emulator.clock.advance(3600)
    assert 200 == receiving.deliver(job).status_code
    assert "running" == state_of(fleet, run)
    before = reads(fleet)
    fleet.workers[0].send_signal(18)  # SIGCONT
    wait_until(lambda: state_of(fleet, run) == "done", 30)

    assert {"stored": 1} == receiving.counted
    assert reads(fleet) - before == 1


def test_a_webhook_before_its_run_is_parked(fleet, receiving):
    """The event is found when the run is parked."""
    fleet.start("before_park:SIGSTOP", lease=30)
    (run,) = fleet.submit(1, WAITING)
    wait_until((fleet.directory / "fault0").exists)
    (job,) = fleet.emulator._world.predictions
    fleet.emulator.clock.advance(3600)
    receiving.deliver(job)
    fleet.workers[0].send_signal(18)  # SIGCONT
    wait_until(lambda: state_of(fleet, run) == "done", 30)

    assert ["succeeded"] == runs.find(fleet.database, run).results


def test_a_repeated_webhook(fleet, receiving):
    """The second delivery gets the same answer and changes nothing."""
    fleet.start()
    run, job = parked(fleet)
    fleet.emulator.clock.advance(3600)
    answers = [receiving.deliver(job) for _ in range(3)]
    wait_until(lambda: state_of(fleet, run) == "done")

    assert [200, 200, 200] == [each.status_code for each in answers]
    assert ["stored", "duplicate", "duplicate"] == [each.json()["outcome"] for each in answers]
    assert 1 == len(fleet.database.rows("SELECT 1 FROM events"))


def test_a_late_webhook(fleet, receiving):
    """A webhook after the end of the run is stored without effect."""
    fleet.start()
    run, job = parked(fleet)
    fleet.emulator.clock.advance(3600)
    wait_until(lambda: state_of(fleet, run) == "done")
    assert 200 == receiving.deliver(job).status_code
    assert 200 == receiving.deliver("unknown", identifier="msg_2").status_code

    assert stays(lambda: state_of(fleet, run), 1)
    assert fleet.emulator._world.predictions.keys() == {job}


def test_forged_and_replayed_webhooks(fleet, receiving):
    """A wrong key, a changed body, another account, an old or future time is refused, and the run still waits."""
    fleet.start()
    run, job = parked(fleet)
    wrong = "whsec_" + "A" * 32
    refused = [
        receiving.deliver(job, secret=wrong),
        receiving.deliver(job, age=DAY),
        receiving.deliver(job, age=-DAY),
        httpx.post(f"{receiving.url}/replicate/default", content=b"{}"),
        receiving.deliver(job, account="other"),
    ]

    assert [401, 401, 401, 401, 404] == [each.status_code for each in refused]
    assert {"signature": 1, "old": 1, "future": 1, "missing": 1} == receiving.counted
    assert stays(lambda: state_of(fleet, run), 1)
    assert [] == fleet.database.rows("SELECT 1 FROM events")
    assert receiving.fetched == ["default"]  # a forged webhook causes no further request


def test_a_premature_signed_webhook(fleet, receiving):
    """After a premature webhook the run reads the prediction, and continues to wait."""
    fleet.start()
    run, job = parked(fleet)
    receiving.deliver(job)
    assert stays(lambda: state_of(fleet, run) == "done", 2)
    fleet.emulator.clock.advance(3600)
    wait_until(lambda: state_of(fleet, run) == "done")

    assert ["succeeded"] == runs.find(fleet.database, run).results


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        (b'{"id":"x","status":"processing"}', 200, "not_ended"),
        (b'{"id":"x","status":"aborted"}', 200, "stored"),
        (b'{"id":1,"status":"succeeded"}', 400, None),
        (b'{"id":"' + b"x" * 9000 + b'","status":"succeeded"}', 400, None),
        (b'{"id":"a\\u0000","status":"succeeded"}', 400, None),
        (b"[1]", 400, None),
        (b"[" * 100_000, 400, None),
        (b"\xff", 400, None),
        (b"x" * (5 * 1024 * 1024), 413, None),
    ],
)
def test_bodies_of_webhooks(body, status, outcome, fleet, receiving):
    """Only predictions that have ended are stored."""
    headers = signed(secret_of(fleet.emulator), body, "msg_1", fleet.emulator.clock.time())
    answer = httpx.post(f"{receiving.url}/replicate/default", content=body, headers=headers)

    assert (status, outcome) == (answer.status_code, answer.json().get("outcome"))
    assert (outcome == "stored") == bool(fleet.database.rows("SELECT 1 FROM events"))


def limited(answer):
    return answer if answer.status_code == 429 else None


def test_forgeries_are_limited(fleet, receiving):
    """After twenty forgeries an address has to wait."""
    answers = [receiving.deliver("x", secret="whsec_" + "A" * 32) for _ in range(20)]
    assert [401] * 20 == [each.status_code for each in answers]
    answers += [wait_until(lambda: limited(receiving.deliver("x", secret="whsec_" + "A" * 32)))]

    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3


def test_workers_die_while_webhooks_arrive(url, tmp_path):
    """With webhooks too, each prediction is created once, and interrupted calls are found in the account."""
    fleet = Fleet(url, tmp_path)
    with fleet.serving(), Receiving(fleet.database, fleet.emulator).serving() as receiving:
        for step in ("claimed", "after_intent", "answered", "parked"):
            fleet.start(f"{step}:SIGKILL", slots=1, webhooks=receiving.url)
        wait_until(lambda: fleet.log().count("is ready") == 4)
        fleet.submit(4, SCRIPT)
        fleet.finish(webhooks=receiving.url)

        fleet.check(4)
        assert receiving.counted["stored"]


def test_old_events_are_deleted(database):
    """Events are deleted after days, when the same delivery would be refused anyway."""
    for number, age in enumerate(("0 s", "1 day", "3 days")):
        events.record(database, events.Ended(id=f"m{number}", account="a", kind="prediction", job="j", status="failed"))
        database.rows(f"UPDATE events SET at = at - interval '{age}' WHERE id = 'm{number}'")
    with database.transaction() as connection:
        events.forget_old(connection)

    assert [("m0",), ("m1",)] == database.rows("SELECT id FROM events ORDER BY id")


def test_the_database_is_unreachable(url, database):
    """Nothing is stored, so the answer requests another delivery."""
    away = Database(url, size=1)
    away.close()
    with Receiving(away, Emulator()).serving() as receiving:
        answers = [
            receiving.deliver("x"),
            httpx.post(f"{receiving.url}/trigger/x", headers={"authorization": "Bearer y"}),
        ]

    assert [503, 503] == [each.status_code for each in answers]
    assert [True, True] == ["retry-after" in each.headers for each in answers]


@contextmanager
def program(directory, environment, *words):
    """Start a command in a process, and wait until it is ready."""
    log = directory / words[0].replace(":", "-")
    with log.open("wb") as file:
        command = [sys.executable, "-m", "kosmolua", *words]
        made = subprocess.Popen(command, env=environment, stderr=file, stdout=file, cwd=directory)
    try:
        wait_until(lambda: made.poll() is not None or re.search("is ready|serving", log.read_text()))
        yield made
    finally:
        made.terminate()
        assert 0 == made.wait(30), log.read_text()


def test_the_commands_together(url, database, tmp_path):
    """Worker and server start as in production: the configuration has the public URL, and the API gives the secret."""
    emulator = Emulator(clock=AdjustableClock())
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = f"{found.getsockname()[1]}"
    (tmp_path / "config.toml").write_text(f'[webhooks]\nurl = "http://127.0.0.1:{port}/"\n')
    with running(emulator) as api:
        own = {"KOSMO_CONFIG_DIR": str(tmp_path), "KOSMO_STATE_DIR": str(tmp_path / "state"), "KOSMO_DATABASE": url}
        environment = {**os.environ, **own, "REPLICATE_URL": api, "REPLICATE_API_TOKEN": "r8_operator"}
        with (
            program(tmp_path, environment, "webhooks:serve", "--port", port),
            program(tmp_path, environment, "worker", "--write", "allow", "--park-after", "1"),
        ):
            run, _ = runs.submit(database, Head(script="w.lua", source=WAITING.encode()))
            wait_until(lambda: runs.find(database, run).state == "waiting")
            emulator.clock.advance(250)
            wait_until(lambda: database.rows("SELECT 1 FROM events"))
            wait_until(lambda: runs.find(database, run).state == "done")

    assert ["succeeded"] == runs.find(database, run).results
    assert f"Replicate sends them to http://127.0.0.1:{port}/" in (tmp_path / "webhooks-serve").read_text()


@pytest.mark.parametrize(
    "url_", ["http://hooks.example.com", "https://", "ftp://x", "https://x/?a=1", "hooks.example.com", "https://a b"]
)
def test_an_invalid_public_url(url_, tmp_path, monkeypatch, capsys):
    """The configuration error says what is expected."""
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path))
    (tmp_path / "config.toml").write_text(f'[webhooks]\nurl = "{url_}"\n')

    assert 4 == main(["integrations:status"])
    assert "expected an https URL without query, such as https://hooks.example.com" in capsys.readouterr().err
