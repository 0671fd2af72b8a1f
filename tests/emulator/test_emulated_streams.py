from __future__ import annotations

import pytest

from kosmolua.emulator import Emulator

LLAMA = "meta/meta-llama-3-8b-instruct"


def start(api, world, **given):
    return world.run(api, LLAMA, {"prompt": "a fox", "seed": 1, "max_tokens": 6, **given}).json()


def parse(text):
    """Return (event, id, data) for each event, without comments."""
    for block in text.strip().split("\n\n"):
        fields = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        if fields:
            data = "\n".join(value for name, _, value in fields if name == "data")
            kinds = {name: value for name, _, value in fields}
            yield kinds["event"], kinds.get("id", ""), data


def test_a_stream_carries_the_output(api, world):
    """A stream has log events, the output in pieces, then done; the joined pieces equal the prediction's output."""
    job = start(api, world)
    answer = api.get(job["urls"]["stream"], headers={"Accept": "text/event-stream"})
    events = list(parse(answer.text))
    done = api.get(job["urls"]["get"]).json()

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ["logs", *["output"] * 6, "done"] == [name for name, _, _ in events]
    assert "{}" == events[-1][2]
    assert done["output"] == [data for name, _, data in events if name == "output"]
    assert [*(f"1767225600:{n}" for n in range(7)), ""] == [number for _, number, _ in events]


def test_a_stream_resumes_after_the_last_event(api, world):
    """`Last-Event-ID` continues the stream after that event without repeats."""
    url = start(api, world)["urls"]["stream"]
    events = list(parse(api.get(url).text))
    rest = list(parse(api.get(url, headers={"Last-Event-ID": events[3][1]}).text))

    assert events[4:] == rest


def test_a_stream_needs_no_token(api, world):
    """Anyone with the URL can read a stream, but an invalid token is refused."""
    url = start(api, world)["urls"]["stream"]
    invalid = api.get(url, headers={"Authorization": "Bearer invalid"})
    del api.headers["Authorization"]

    assert (200, 401) == (api.get(url).status_code, invalid.status_code)


def test_a_stream_is_ended_after_half_a_minute_and_can_be_resumed(api, world):
    """Each connection is ended with the API's comment, so a long text takes several connections, without loss."""
    job = start(api, world, min_tokens=3000, max_tokens=3000)
    events, last, connections = [], "", 0
    while not events or events[-1][0] != "done":
        text = api.get(job["urls"]["stream"], headers={"Last-Event-ID": last}).text
        events += parse(text)
        last, connections = events[-1][1], connections + 1
        assert events[-1][0] == "done" or text.endswith(":408: 408 Request Timeout\n\n")
    output = [data for name, _, data in events if name == "output"]

    assert 2 == connections
    assert api.get(job["urls"]["get"]).json()["output"] == output


def test_the_stream_of_a_canceled_prediction(api, world, clock):
    """The stream of a canceled prediction has the output so far and the reason."""
    job = start(api, world, min_tokens=500, max_tokens=500)
    clock.advance(2)
    canceled = api.post(job["urls"]["cancel"]).json()
    events = list(parse(api.get(job["urls"]["stream"]).text))

    assert ("done", '{"reason":"canceled"}') == (events[-1][0], events[-1][2])
    assert canceled["output"] == [data for name, _, data in events if name == "output"]
    assert 0 < len(canceled["output"]) < 500


def test_models_that_do_not_stream_have_no_stream(api, world):
    """A model that does not stream has no stream URL, and a guessed URL gives 404."""
    job = world.hello(api).json()

    assert "stream" not in job["urls"]
    assert 404 == api.get(f"http://emulator.localhost/stream/{job['id']}").status_code


def test_a_stream_that_times_out(world, api):
    """The stream of a prediction that hangs ends with an error event after half an hour."""
    stuck = world.run(api, LLAMA, {"prompt": "x"}, **{"X-Emulator-Fault": "stuck"}).json()
    text = ""
    while "event: done" not in text:
        text = api.get(stuck["urls"]["stream"]).text
    events = list(parse(text))

    assert ["error", "done"] == [name for name, _, _ in events][-2:]
    assert '{"reason":"error"}' == events[-1][2]


def test_a_stream_that_is_cut(api, world):
    """A stream that is cut halfway can be resumed."""
    url = start(api, world)["urls"]["stream"]
    got = []
    with api.stream("GET", url, headers={"X-Emulator-Fault": "stream-cut"}) as cut, pytest.raises(ConnectionResetError):
        got.extend(cut.iter_raw())
    had = list(parse(b"".join(got).decode()))
    rest = list(parse(api.get(url, headers={"Last-Event-ID": had[-1][1]}).text))

    assert "done" not in [name for name, _, _ in had]
    assert list(parse(api.get(url).text)) == had + rest


def test_ids_at_the_end_on_request(api, world, clock):
    """If requested, the last events also have an id."""
    with world.connect(Emulator(clock=clock, streams="ids")) as other:
        events = list(parse(other.get(start(other, world)["urls"]["stream"]).text))

    assert ["done", f"1767225600:{len(events) - 1}"] == [*events[-1][:2]]
