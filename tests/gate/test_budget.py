"""Amounts are reserved before a call is sent and released if nothing was created, also with many threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from recording_server import Answer

from kosmolua.errors import ApiError, ArgumentError, LimitError, PermissionDeniedError
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import policy_of
from kosmolua.gate.prompt import Scripted
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.settings import config
from kosmolua.settings.config import Price, Prices

CREATE = ("create_prediction", {"version": "owner/name", "input": {}})
OPERATION = resolve("create_prediction")
PRICES = Prices(
    hardware={"gpu-a40": 0.5},
    models={"owner/name": Price(hardware="gpu-a40"), "by/run": Price(run=2.0), "no/price": Price(hardware="unknown")},
)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def session(server):
    opened = []

    def make(prompter=None, *, caps, prices=None, clock=None, **options):
        made = Session(
            lambda _: Client(token="r8_token", base_url=server.url),
            policy_of(config.load({}, write="allow")),
            prompter,
            budget=Budget(caps, prices, clock or Clock()),
            **options,
        )
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def prediction(identifier, status="starting", **more):
    text = ", ".join(f'"{name}": {value}' for name, value in more.items())
    return Answer(201, f'{{"id": "{identifier}", "status": "{status}"{", " if text else ""}{text}}}'.encode())


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("caps", "calls", "sent", "flag"),
    [
        (Caps(calls=2), ["get_account", CREATE, "get_account"], 2, "--max-calls"),
        (Caps(calls=0), ["get_account"], 0, "--max-calls"),
        (Caps(writes=1), ["get_account", CREATE, CREATE], 2, "--max-writes"),
        (Caps(predictions=1), ["get_account", CREATE, CREATE], 2, "--max-predictions"),
        (Caps(predictions=0), [("create_deployment_prediction",
                                {"deployment_owner": "o", "deployment_name": "n", "input": {}})],
         0, "--max-predictions"),
    ],
)  # fmt: skip
def test_a_budget_ends_the_calls(server, session, force, caps, calls, sent, flag):
    """Calls end at exactly the budget's number, also with --force; the hint names the flag that raises the budget."""
    made = session(caps=caps, force=force)
    for call in calls[:-1]:
        made.call(*(call if isinstance(call, tuple) else (call, {})))
    with pytest.raises(LimitError) as caught:
        made.call(*(calls[-1] if isinstance(calls[-1], tuple) else (calls[-1], {})))

    assert sent == len(server.requests)
    assert "limit_reached" == caught.value.code
    assert flag in caught.value.hint
    assert ("error", "limit_reached") == (made.log[-1].outcome, made.log[-1].code)


def test_a_budget_of_the_header_is_raised_there():
    """The hint names the header or the operator's flag, whichever was lower."""
    hints = []
    for given, declared in ((5, 1), (1, 5)):
        budget = Budget(Caps(predictions=given), declared=Caps(predictions=declared))
        budget.reserve(OPERATION, CREATE[1])
        with pytest.raises(LimitError, match="its budget of 1 prediction or training") as caught:
            budget.reserve(OPERATION, CREATE[1])
        hints.append(caught.value.hint)

    assert [
        "the script's author can raise max_predictions in its header; this call was not sent",
        "raise it with --max-predictions; this call was not sent",
    ] == hints


def test_many_threads_spend_no_more_than_one(server, session):
    """Of fifty concurrent calls exactly ten are sent."""
    made = session(caps=Caps(predictions=10))
    start = threading.Barrier(50)

    def one(_):
        start.wait()
        try:
            made.call(*CREATE)
        except LimitError:
            return 0
        return 1

    with ThreadPoolExecutor(50) as pool:
        assert 10 == sum(pool.map(one, range(50)))
    assert 10 == len(server.requests)


def test_unsent_calls_cost_nothing(server, session):
    """Invalid arguments, refusals and dry runs do not count."""
    made = session(caps=Caps(calls=1, writes=1))
    with pytest.raises(ArgumentError):
        made.call("create_prediction", {})
    made.call(*CREATE)

    dry = session(caps=Caps(calls=0), dry_run=True)
    assert "POST" == dry.call(*CREATE).data["method"]
    assert 1 == len(server.requests)


def test_a_rejected_create_does_not_count_as_a_prediction(server, session):
    """A 422 does not count for --max-predictions; a 500 does, because a prediction may have started."""
    made = session(caps=Caps(predictions=1))
    server.answers.append(Answer(422, b'{"detail": "no"}'))
    with pytest.raises(ApiError):
        made.call(*CREATE)
    assert 0 == made.budget.spent()["predictions"]

    server.answers.append(Answer(500, b"{}"))
    with pytest.raises(ApiError):
        made.call(*CREATE)
    assert (1, 1) == (made.budget.spent()["predictions"], made.budget.unanswered())
    with pytest.raises(LimitError):
        made.call(*CREATE)


def test_seconds_of_compute_are_the_apis_own(server, session):
    """Ended jobs count with metrics.predict_time, and running jobs by the clock."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=10), clock=clock)
    server.answers.append(prediction("a"))
    made.call(*CREATE)
    clock.now += 30
    assert 30 == made.budget.spent()["seconds_of_compute"]
    with pytest.raises(LimitError):
        made.call(*CREATE)

    server.answers.append(prediction("a", "succeeded", metrics='{"predict_time": 1.5}'))
    made.call("get_prediction", {"prediction_id": "a"})
    assert 1.5 == made.budget.spent()["seconds_of_compute"]
    made.call(*CREATE)


@pytest.mark.parametrize("seconds", ["-5", "1" + "0" * 310, "1e308", '"1.5"', "[]", "true"])
def test_impossible_seconds_are_ignored(server, session, seconds):
    """Impossible seconds from a server never reduce the amount spent, and end no run."""
    made = session(caps=Caps(seconds_of_compute=10))
    server.default = prediction("a", "succeeded", metrics=f'{{"predict_time": {seconds}}}')
    made.call(*CREATE)

    assert 0 <= made.budget.spent()["seconds_of_compute"] <= 1


@pytest.mark.parametrize("status", ["[]", "{}", "7", "null"])
def test_an_unknown_status_counts_as_running(server, session, status):
    """A prediction with an unknown status counts as running."""
    made = session(caps=Caps())
    server.default = Answer(201, f'{{"id": "a", "status": {status}}}'.encode())
    made.call(*CREATE)

    assert [("prediction", "a", "default")] == made.budget.running()


def test_an_answer_about_another_prediction_settles_nothing(server, session):
    """A script cannot settle the seconds of a prediction by reading another one."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=10), clock=clock)
    server.answers.extend([prediction("a"), prediction("other", "succeeded", metrics='{"predict_time": 0}')])
    made.call(*CREATE)
    clock.now += 30
    made.call("get_prediction", {"prediction_id": "other"})

    assert 30 == made.budget.spent()["seconds_of_compute"]


@pytest.mark.parametrize(
    ("version", "cost"),
    [("by/run", 2.0), ("owner/name", 30.0), ("OWNER/name:abc", 30.0)],
)
def test_cost_is_reserved_before_it_is_known(server, session, version, cost):
    """The reserved cost is the price per run, or the price of sixty seconds on the model's hardware."""
    made = session(caps=Caps(cost=cost + 0.1), prices=PRICES)
    made.call("create_prediction", {"version": version, "input": {}})
    assert cost == made.budget.spent()["cost"]
    with pytest.raises(LimitError, match="budget of"):
        made.call("create_prediction", {"version": version, "input": {}})
    assert ["POST", "GET"] == [request.method for request in server.requests]  # whether or not the first has ended


def test_the_actual_cost_replaces_the_estimate(server, session):
    """After its end a prediction counts with its actual seconds."""
    made = session(caps=Caps(cost=40), prices=PRICES)
    server.answers.extend([prediction("a"), prediction("a", "succeeded", metrics='{"predict_time": 4}')])
    made.call(*CREATE)
    made.call("get_prediction", {"prediction_id": "a"})

    assert 2.0 == made.budget.spent()["cost"]


@pytest.mark.parametrize("version", ["no/price", "not/listed", "5c7d5dc6dd8b"])
@pytest.mark.parametrize("force", [False, True])
def test_an_unknown_price_needs_approval(server, session, version, force):
    """An unknown price is never zero: a person decides, and without a person the call is refused, also with --force."""
    arguments = {"version": version, "input": {}}
    prompter = Scripted(["once"])
    made = session(prompter, caps=Caps(cost=100), prices=PRICES, force=force)
    made.call("create_prediction", arguments)
    assert "price" in prompter.asked[0].why

    with pytest.raises(PermissionDeniedError) as caught:
        session(caps=Caps(cost=100), prices=PRICES, force=force).call("create_prediction", arguments)
    assert "add its price to config.toml" in caught.value.hint
    assert 1 == len(server.requests)


def test_approval_of_a_bare_version_covers_only_it(server, session):
    """The model of a bare version is unknown, so "run" applies to that version only."""
    prompter = Scripted(["run", "no"])
    made = session(prompter, caps=Caps(cost=100), prices=PRICES)
    first, second = ({"version": digit * 64, "input": {}} for digit in "ab")
    made.call("create_prediction", first)
    made.call("create_prediction", first)
    with pytest.raises(PermissionDeniedError):
        made.call("create_prediction", second)

    assert ["a" * 64, "b" * 64] == [question.arguments["version"] for question in prompter.asked]
    assert 2 == len(server.requests)


def test_approval_of_a_deployment_covers_only_it(server, session):
    """Predictions of deployments have no known model either, so "run" applies to that deployment only."""
    prompter = Scripted(["run", "no"])
    made = session(prompter, caps=Caps(cost=100), prices=PRICES)
    made.call("create_deployment_prediction", {"deployment_owner": "o", "deployment_name": "a", "input": {}})
    with pytest.raises(PermissionDeniedError):
        made.call("create_deployment_prediction", {"deployment_owner": "o", "deployment_name": "b", "input": {}})

    assert 1 == len(server.requests)


DEPLOYMENT = {"name": "d", "model": "o/n", "version": "a" * 64, "hardware": "gpu-t4", "max_instances": 5}
CHANGED = {"deployment_owner": "o", "deployment_name": "d"}


@pytest.mark.parametrize(
    ("function", "arguments", "asks"),
    [
        ("create_deployment", {**DEPLOYMENT, "min_instances": 5}, True),
        ("create_deployment", {**DEPLOYMENT, "min_instances": 0}, False),
        ("update_deployment", {**CHANGED, "min_instances": 1}, True),
        ("update_deployment", {**CHANGED, "min_instances": 0, "hardware": "gpu-h100"}, False),
        ("update_deployment", {**CHANGED, "hardware": "gpu-h100"}, True),
        ("update_deployment", {**CHANGED, "max_instances": 3}, False),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_always_on_instances_need_approval(server, session, function, arguments, asks, force):
    """Idle instances cost money: with a cap on cost a person decides; without such a cap nobody is asked."""
    prompter = Scripted(["no"])
    made = session(prompter, caps=Caps(cost=0.00001), force=force)
    if asks:
        with pytest.raises(PermissionDeniedError):
            made.call(function, arguments)
        with pytest.raises(PermissionDeniedError, match="keeps hardware running"):
            session(caps=Caps(cost=0.00001), force=force).call(function, arguments)
    else:
        made.call(function, arguments)
    session(prompter, caps=Caps(calls=5)).call(function, arguments)

    assert int(asks) == len(prompter.asked)
    assert (1 if asks else 2) == len(server.requests)


def test_running_jobs_can_be_canceled(server, session):
    """Only jobs that the run started and that are not known to have ended are canceled; the log records it."""
    made = session(caps=Caps(calls=3))
    server.answers.extend([prediction("a"), prediction("b"), prediction("a", "succeeded")])
    made.call(*CREATE)
    made.call(*CREATE)
    made.call("get_prediction", {"prediction_id": "a"})
    assert [("prediction", "b", "default")] == made.budget.running()

    server.answers.append(prediction("b", "canceled"))
    assert [] == made.cancel_running()
    assert "/v1/predictions/b/cancel" == server.requests[-1].target
    assert ("cancel_prediction", "flag", "ok") == (made.log[-1].function, made.log[-1].by, made.log[-1].outcome)
    assert [] == made.budget.running()


def test_the_lower_of_two_caps_applies():
    """A script's header never allows more than the command's flags."""
    assert Caps(calls=1, writes=2, cost=3.0) == Caps(calls=1, writes=5).tightened(Caps(calls=4, writes=2, cost=3.0))
