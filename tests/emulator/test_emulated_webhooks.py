"""Webhooks from the emulator reach a real receiver on loopback, signed and in order, and no other address."""

from __future__ import annotations

import json
import socket
import threading
import time
from functools import partial
from itertools import pairwise

import httpx
import pytest
from recording_server import Answer
from waiting import scaled, wait_until

from kosmolua import verify_webhook
from kosmolua.emulator import Emulator, ManualClock, running
from kosmolua.emulator.jobs import show_prediction
from kosmolua.emulator.webhooks import EVENTS, GRACE, INTERVAL, QUIET, Feed, is_sent

LLAMA = "meta/meta-llama-3-8b-instruct"
FLUX = "black-forest-labs/flux-schnell"
VIDEO = "minimax/video-01"


def hook(server):
    return f"http://127.0.0.1:{server.port}/hook?who=me"


@pytest.fixture
def emulator(clock):
    made = Emulator(clock=clock, seed="webhooks")
    yield made
    made.close()


def arrived(server, count):
    """Return the received requests once this many have arrived."""
    wait_until(lambda: len(server.requests) >= count)
    return list(server.requests)


def ended():
    """Wait until no thread is sending webhooks."""
    return wait_until(lambda: not sending())


def sending():
    return [thread for thread in threading.enumerate() if thread.name == "webhooks"]


def run(api, model, given, server, **more):
    body = {"input": given, "webhook": hook(server), **more}
    answer = api.post(f"/models/{model}/predictions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def statuses(requests):
    return [json.loads(request.body)["status"] for request in requests]


def test_a_prediction_sends_its_events(api, emulator, clock, server):
    """A receiver gets the start, logs, output and end, each with the prediction at that time."""
    job = run(api, FLUX, {"prompt": "x", "seed": 3}, server)
    clock.advance(60)
    requests = arrived(server, 5)

    assert ended()
    shown = [json.loads(request.body) for request in requests]
    assert ["processing"] * 3 + ["succeeded"] * 2 == [one["status"] for one in shown]
    assert [1, 1, 3, 5, 5] == [len(one["logs"].splitlines()) for one in shown]
    assert [None] * 3 == [one["output"] for one in shown[:3]]
    assert [("POST", "/hook?who=me")] * 5 == [(request.method, request.target) for request in requests]
    assert {job["id"]} == {one["id"] for one in shown}
    assert api.get(job["urls"]["get"]).json() == shown[-1]


def test_webhooks_are_signed(api, emulator, clock, server):
    """Each webhook can be verified with the account's secret and has a unique id."""
    secret = api.get("/webhooks/default/secret").json()["key"]
    run(api, FLUX, {"prompt": "x"}, server)
    clock.advance(60)
    requests = arrived(server, 5)

    ids = [verify_webhook(one.headers, one.body, secret, now=clock.time()) for one in requests]
    assert len(ids) == len(set(ids)) == 5
    assert all(one.headers["content-type"] == "application/json" for one in requests)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["start"], ["processing"]),
        (["completed"], ["succeeded"]),
        (["start", "completed"], ["processing", "succeeded"]),
        (["output"], ["succeeded"]),
    ],
)
def test_the_filter_selects_events(wanted, expected, api, emulator, clock, server):
    """The filter selects the events; output that is complete at once arrives with the end."""
    run(api, FLUX, {"prompt": "x"}, server, webhook_events_filter=wanted)
    clock.advance(60)
    requests = arrived(server, len(expected))

    assert ended()
    assert expected == statuses(requests) == statuses(server.requests)


def test_a_canceled_prediction(api, emulator, clock, server):
    """The receiver of a canceled prediction also gets the end event."""
    job = run(api, VIDEO, {"prompt": "x"}, server, webhook_events_filter=["start", "completed"])
    clock.advance(10)
    arrived(server, 1)
    api.post(job["urls"]["cancel"])

    assert ["processing", "canceled"] == statuses(arrived(server, 2))
    assert ended()


def test_a_training(api, emulator, clock, server, world):
    """Trainings send the same events as predictions."""
    created = api.post(
        f"/models/stability-ai/sdxl/versions/{world.sdxl}/trainings",
        json={
            "destination": "emulator/my-sdxl",
            "input": {"input_images": "https://example.com/zip"},
            "webhook": hook(server),
            "webhook_events_filter": ["completed"],
        },
    )
    clock.advance(60)
    (told,) = arrived(server, 1)

    assert 201 == created.status_code
    assert ("emulator/my-sdxl", "succeeded") == tuple(json.loads(told.body)[key] for key in ("destination", "status"))


# The order of events, without a socket ----------------------------------------------------------------------------


@pytest.fixture
def feed(api, emulator, clock):
    """The event feed of a new prediction, read only by the test."""

    def make(model, given, *wanted):
        created = api.post(f"/models/{model}/predictions", json={"input": given}).json()
        job = emulator._world.find_job(created["id"])
        show = partial(show_prediction, job, origin="http://emulator.localhost")
        return Feed("http://localhost/", frozenset(wanted or EVENTS), job, show)

    return make


def test_text_is_sent_at_most_twice_a_second(feed, clock):
    """Output and logs are sent at most every half second, first at the start, and are complete at the end."""
    made = feed(LLAMA, {"prompt": "x", "seed": 1, "min_tokens": 200, "max_tokens": 200})
    began, events = made.job.start, []
    while not made.done:
        events += made.due(clock.time())
        clock.advance(0.01)

    assert ["start", "logs", "output"] == [event.name for event in events[:3]]
    assert ["completed"] == [event.name for event in events if event.time == events[-1].time][-1:]
    assert (began, made.job.end) == (events[0].time, events[-1].time)
    outputs = [event.time for event in events if event.name == "output"]
    assert len(outputs) >= 5
    assert all(later - sooner > INTERVAL - 0.001 for sooner, later in pairwise(outputs))


@pytest.mark.parametrize("step", [0.01, 0.3, 7.0, 100.0])
def test_events_depend_only_on_the_job(step, feed, clock):
    """The events and their times depend only on the job."""
    made = feed(LLAMA, {"prompt": "x", "seed": 1, "min_tokens": 100, "max_tokens": 100})
    whole = Feed(made.url, made.wanted, made.job, made.show)
    events = []
    while not made.done:
        clock.advance(step)
        events += made.due(clock.time())

    assert whole.due(clock.time()) == events
    assert [] == made.due(clock.time() + 1000)


def test_the_last_output_without_the_completed_event(feed, clock):
    """A receiver that selects only output gets all of it, at least half a second after the previous event."""
    made = feed(LLAMA, {"prompt": "x", "seed": 1, "min_tokens": 100, "max_tokens": 100}, "output")
    clock.advance(60)
    *_, before, last = made.due(clock.time())

    assert made.show(last.time)["output"] == made.show(clock.time())["output"]
    assert last.time - before.time == pytest.approx(INTERVAL)


def test_no_start_event_without_a_start(feed, clock, api):
    """A prediction that is canceled before its start sends only the end event."""
    made = feed(VIDEO, {"prompt": "x"})
    api.post(f"/predictions/{made.job.id}/cancel")

    assert ["completed"] == [event.name for event in made.due(clock.time())]


# Receivers that fail ----------------------------------------------------------------------------------------------


def test_the_completed_event_is_retried(server):
    """If the receiver fails, the end event is sent a few more times with the same id."""
    clock = ManualClock()
    server.default = Answer(status=503)
    emulator = Emulator(clock=clock)
    with running(emulator) as url:
        with_token = {"Authorization": "Bearer x"}
        body = {"input": {"prompt": "x"}, "webhook": hook(server), "webhook_events_filter": ["start", "completed"]}
        httpx.post(f"{url}/models/{FLUX}/predictions", json=body, headers=with_token)
        wait_until(lambda: clock.advance(0.5) or not sending())

    ids = [request.headers["webhook-id"] for request in server.requests]
    assert (5, 2, []) == (len(ids), len(set(ids)), sending())
    assert ["processing", *["succeeded"] * 4] == statuses(server.requests)


@pytest.mark.parametrize("status", [200, 204, 302, 404, 410])
def test_other_answers_are_final(status, api, emulator, clock, server):
    """After the receiver refuses or redirects a webhook, nothing is sent again."""
    server.default = Answer(status=status, headers={"Location": "http://127.0.0.1:1/"})
    run(api, FLUX, {"prompt": "x"}, server, webhook_events_filter=["completed"])
    clock.advance(60)

    arrived(server, 1)
    assert ended()
    assert 1 == len(server.requests)


def test_a_missing_receiver_is_ignored(api, emulator, clock, server):
    """A receiver that cannot be reached has no effect on the prediction."""
    job = run(api, FLUX, {"prompt": "x"}, server, webhook_events_filter=["start"])
    server.close()
    clock.advance(60)

    assert ended()
    assert "succeeded" == api.get(job["urls"]["get"]).json()["status"]


# Allowed addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/hook", True),
        ("http://localhost/hook", True),
        ("http://[::1]:8000/", True),
        ("http://127.8.9.1/", True),
        ("https://127.0.0.1/hook", False),
        ("http://example.com/hook", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://192.168.0.1/", False),
        ("http://0.0.0.0/", False),
        ("http://2130706433/", False),
        ("http://localhost:99999/", False),
        ("http://localhost:0/", False),
        ("http://localhost/a b", False),
        ("http://localhost/\r\nX: y", False),
        ("http://localhost/é", False),
        ("http://[::1", False),
        ("ftp://localhost/", False),
        ("", False),
    ],
)
def test_webhooks_are_sent_only_to_loopback(url, expected):
    """Webhooks are sent only over plain HTTP to loopback addresses, not to similar addresses."""
    assert expected == is_sent(url)


@pytest.mark.parametrize("url", ["https://example.com/hook", "https://127.0.0.1:1/hook"])
def test_other_webhooks_are_accepted_but_not_sent(url, api, emulator, clock):
    """Webhooks to other addresses are accepted, but no connection is made."""
    created = api.post(f"/models/{FLUX}/predictions", json={"input": {"prompt": "x"}, "webhook": url})

    assert (201, [], []) == (created.status_code, sending(), emulator._world.feeds)


def test_a_request_without_webhooks(clock, server, world):
    """The server can disable webhooks for a request, because a script has no network access, not even to loopback."""
    emulator = Emulator(clock=clock)
    with world.connect(lambda environ, start: emulator({**environ, QUIET: True}, start)) as api:
        run(api, FLUX, {"prompt": "x"}, server)
        clock.advance(60)

    assert ([], []) == (sending(), server.requests)


# Closing -----------------------------------------------------------------------------------------------------------


def test_closing_sends_due_events(server, world, clock):
    """Closing sends the events that are due now; later events are not sent."""
    emulator = Emulator(clock=clock)
    with world.connect(emulator) as api:
        run(api, VIDEO, {"prompt": "x"}, server, webhook_events_filter=["start", "completed"])
        clock.advance(9)
        emulator.close()

    assert (["processing"], []) == (statuses(server.requests), sending())


def test_closing_does_not_wait_for_a_receiver(world, clock):
    """A receiver that never answers does not delay closing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        emulator = Emulator(clock=clock)
        with world.connect(emulator) as api:
            body = {"input": {"prompt": "x"}, "webhook": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
            api.post(f"/models/{FLUX}/predictions", json=body)
        clock.advance(60)
        connection, _ = silent.accept()
        began = time.monotonic()
        emulator.close()
        connection.close()

    assert time.monotonic() - began < GRACE + scaled(2)
    assert not sending()


def test_after_closing(api, emulator, clock, server):
    """A closed emulator still answers, but sends nothing."""
    emulator.close()
    run(api, FLUX, {"prompt": "x"}, server)
    clock.advance(60)

    assert ([], []) == (sending(), server.requests)
