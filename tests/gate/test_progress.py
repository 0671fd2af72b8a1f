"""The progress of a run is computed from valid and invalid answers of the API."""

from datetime import UTC, datetime

import pytest

from kosmolua.errors import KosmoError
from kosmolua.gate.entry import Entry
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.services.progress import MAX_FILES, MAX_JOBS, MAX_TEXT, Progress, Summary
from kosmolua.settings import config

NOW = 1_700_000_000.0
SKEW = 3_600.0  # offset of the API's clock from this machine's clock


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def moment(seconds):
    """A time on the API's clock."""
    return datetime.fromtimestamp(NOW + SKEW + seconds, UTC).isoformat().replace("+00:00", "Z")


class Told:
    """A `Progress` that receives answers."""

    def __init__(self, **options):
        self.clock = Clock()
        self.progress = Progress(clock=self.clock, **options)

    def __call__(self, function, data, given=None, **fields):
        operation = resolve(function)
        entry = Entry(operation.name, "default", operation.access, self.clock.now, outcome="ok", **fields)
        self.progress.begins(entry, operation, {})
        self.progress.ended(entry, operation, given or {}, data, None)


@pytest.fixture
def told():
    return Told(keep=True)


def prediction(status, identifier="p1", **fields):
    return {"id": identifier, "status": status, "created_at": moment(0), **fields}


def test_a_prediction_from_start_to_end(told):
    """State, percent and seconds follow the answers."""
    told("create_prediction", prediction("starting"))
    assert Summary(0, {"starting": 1}, None, 0.0, []) == told.progress.summary()

    told.clock.now += 3
    told("get_prediction", prediction("processing", started_at=moment(1), logs=" 10%|#   | 1/10\n 50%|##  | 5/10\n"))
    assert Summary(0, {"processing": 1}, 50, 2.0, []) == told.progress.summary()

    told.clock.now += 3
    ended = {"started_at": moment(1), "completed_at": moment(5), "metrics": {"predict_time": 3.5}, "output": "a fox"}
    told("get_prediction", prediction("succeeded", **ended))
    assert Summary(0, {"succeeded": 1}, None, 3.5, []) == told.progress.summary()
    (job,) = told.progress.jobs
    assert (NOW, NOW + 1, NOW + 5) == (job.created, job.started, job.ended)  # measured by this machine's clock
    assert "a fox" == job.output


def test_a_create_in_flight(told):
    """A create counts until it has an answer or an error."""
    operation = resolve("create_prediction")
    entry = Entry("create_prediction", "default", "write", NOW)
    told.progress.begins(entry, operation, {})
    assert 1 == told.progress.summary().creating

    told.progress.ended(entry, operation, {}, None, KosmoError("the connection was lost"))
    assert Summary(0, {}, None, 0.0, []) == told.progress.summary()
    assert ["the connection was lost"] == [call.error for call in told.progress.calls]


def test_predictions_of_others(told):
    """A list updates only known predictions; a prediction that is read counts, but its compute does not."""
    told("create_prediction", prediction("starting"))
    page = [prediction("succeeded"), prediction("processing", "other"), None, {"id": []}]
    told("list_predictions", {"results": page})
    assert {"succeeded": 1} == told.progress.summary().states

    told("get_prediction", prediction("succeeded", "other", metrics={"predict_time": 100}))
    assert Summary(0, {"succeeded": 2}, None, 0.0, []) == told.progress.summary()


@pytest.mark.parametrize(
    ("event", "data", "status"),
    [("done", "{}", "succeeded"), ("done", '{"reason": "canceled"}', "canceled"), ("error", "{}", "failed")],
)
def test_a_stream_shows_the_end(told, event, data, status):
    """A streamed prediction needs no further read; the API may still report the missing data."""
    told("create_prediction", prediction("starting", urls={"stream": "https://stream.replicate.com/1"}))
    told.progress.followed("https://stream.replicate.com/1", "output", "text")
    told.progress.followed("https://stream.replicate.com/1", event, data)
    told.progress.followed("https://stream.replicate.com/2", event, data)

    assert {status: 1} == told.progress.summary().states
    assert told.progress.jobs == told.progress.unreported()


def test_downloads(told):
    """Downloads are listed while they are running."""
    told.progress.downloading("a.png", 10, None)
    told.progress.downloading("b.png", 10, 100)
    told.progress.downloading("a.png", -1, None)

    assert [("b.png", 10, 100)] == told.progress.summary().downloads


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 7, "created_at": 8, "started_at": {}, "completed_at": "x", "metrics": [], "logs": 9, "urls": 1},
        {"created_at": "9999-12-31T23:59:59Z", "started_at": "0001-01-01T00:00:00Z", "metrics": {"predict_time": "x"}},
        {"urls": {"stream": 1, "web": []}, "metrics": {"predict_time": float("inf")}, "output": 2**80, "error": [{}]},
        {"id": "x" * 10_000, "model": ["m"], "input": "text", "logs": "999%|#| 1/1"},
        {"id": None},
        {"id": ""},
    ],
)
def test_unexpected_answers(told, fields):
    """Answers with values of any type break nothing, and times stay within the run."""
    for function in ("create_prediction", "get_prediction", "list_predictions"):
        told(function, {**prediction("processing"), **fields})
        told(function, {**prediction("succeeded"), **fields})
        told(function, ["no", "object"])

    assert {"starting", "processing", "succeeded"} >= told.progress.summary().states.keys()
    for job in told.progress.jobs:
        assert job.created <= (job.started or NOW) <= (job.ended or NOW) <= NOW


def test_stored_texts_are_limited(told):
    """Long texts, deep and wide values, many files and many predictions are truncated; each prediction is counted."""
    deep = "end"
    for _ in range(100):
        deep = [deep]
    output = {"text": "x" * 100_000, "deep": deep, "wide": list(range(1000)), "url": ["https://a.test/1.png"] * 50}
    for number in range(MAX_JOBS + 5):
        told("create_prediction", prediction("succeeded", str(number), input={"a": "y" * 10**5}, output=output))

    assert {"succeeded": MAX_JOBS + 5} == told.progress.summary().states
    assert MAX_JOBS == len(told.progress.jobs)
    assert all(len(job.input + job.output) < 2 * MAX_TEXT + 100 for job in told.progress.jobs)
    assert MAX_FILES == len(told.progress.jobs[0].files)


def test_without_a_report_no_texts_are_stored():
    """The progress line needs only the states."""
    told = Told()
    told("create_prediction", prediction("succeeded", input={"a": 1}, output="b"))

    assert ([], []) == (told.progress.jobs, told.progress.calls)
    assert {"succeeded": 1} == told.progress.summary().states


def test_a_watcher_gets_no_secret(server):
    """The watcher sees the call for the webhook secret, but not the secret."""
    server.default.body = b'{"key": "whsec_marked"}'
    progress = Progress(keep=True)
    policy = policy_of(config.load({}, read="allow"))
    with Session(lambda _: Client(token="r8_token", base_url=server.url), policy, watcher=progress) as session:
        assert "whsec_marked" in str(session.call("get_default_webhook_secret", {}).data)

    (call,) = progress.calls
    assert ("get_default_webhook_secret", None, None) == (call.entry.function, call.job, call.error)
    assert "marked" not in str(vars(progress))
