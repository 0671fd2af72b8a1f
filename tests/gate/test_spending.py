"""Estimates are updated before a refusal, reservations are held, and budgets outlive the session of a run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from counting_server import CountingServer
from recording_server import Answer

from kosmolua.errors import LimitError, PermissionDeniedError
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.ledger import Ledger, Origin
from kosmolua.gate.policy import policy_of
from kosmolua.gate.prompt import Scripted
from kosmolua.gate.session import Session
from kosmolua.gate.spending import PersistentBudgets
from kosmolua.replicate.client import Client
from kosmolua.replicate.prices import Price, Prices
from kosmolua.settings import config
from kosmolua.settings.config import Allowance

IMAGES = {"version": "owner/images", "input": {"prompt": "x"}}
CREATE = ("create_prediction", IMAGES)
PRICES = Prices(models={"owner/images": Price(metrics={"image_output_count": 0.25}), "by/second": Price(second=1.0)})
SCHEMA = '{"components": {"schemas": {"Input": {"properties": {"num_outputs": {"default": 4}}}}}}'
DAY = Allowance(name="daily", period="day", cost=1.0)


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def session(server, tmp_path):
    opened = []

    def make(
        prompter=None,
        *,
        caps=None,
        prices=PRICES,
        clock=None,
        budgets=(),
        origin=None,
        told=None,
        write="allow",
        **options,
    ):
        persistent = None
        if budgets:
            ledger = Ledger(str(tmp_path / "ledger.sqlite"))
            persistent = PersistentBudgets(
                budgets, ledger, origin or Origin(), (told if told is not None else []).append
            )
        made = Session(
            lambda _: Client(token="r8_token", base_url=server.url),
            policy_of(config.load({}, write=write)),
            prompter,
            budget=Budget(caps, prices, clock or time.monotonic),
            persistent=persistent,
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


def ended(identifier, seconds):
    return prediction(identifier, "succeeded", metrics=f'{{"predict_time": {seconds}}}')


# Seconds ----------------------------------------------------------------------------------------------------------


def test_seconds_are_read_before_a_refusal(server, session):
    """A prediction that nobody waited for took half a second, not the time since its creation."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=5), clock=clock)
    server.answers.extend([prediction("a"), ended("a", 0.5), prediction("b")])
    made.call(*CREATE)
    clock.now += 7
    assert {"seconds_of_compute": 7.0, "cost": 0.25} == made.budget.guessed()
    made.call(*CREATE)

    assert ["POST", "GET", "POST"] == [request.method for request in server.requests]
    assert ("get_prediction", "read before a refusal", "budget", "ok") == (
        made.log[1].function, made.log[1].rule, made.log[1].by, made.log[1].outcome,
    )  # fmt: skip
    assert 0.5 == made.budget.spent()["seconds_of_compute"]


def test_running_jobs_count_by_the_clock(server, session):
    """After one read, the refusal says that the job is counted by the clock."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=5), clock=clock)
    server.answers.extend([prediction("a"), prediction("a", "processing")])
    made.call(*CREATE)
    clock.now += 7
    with pytest.raises(LimitError, match="budget of 5 seconds of compute"):
        made.call(*CREATE)

    assert ["POST", "GET"] == [request.method for request in server.requests]


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
@pytest.mark.parametrize("metrics", ["null", "{}", '{"predict_time": null}', '{"total_time": 9}'])
def test_elapsed_time_counts_without_predict_time(server, session, status, metrics):
    """An answer without predict_time does not count as zero seconds."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=2), clock=clock)
    server.answers.extend([prediction("a"), prediction("a", status, metrics=metrics)])
    made.call(*CREATE)
    clock.now += 1.2
    made.call("get_prediction", {"prediction_id": "a"})
    clock.now += 10

    assert 1.2 == made.budget.spent()["seconds_of_compute"]
    assert 1.2 == made.budget.guessed()["seconds_of_compute"]


def test_aborted_predictions_cost_nothing(server, session):
    """The deadline passed before the prediction started, and that is not billed."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=2), clock=clock)
    server.answers.extend(
        [prediction("a"), prediction("a", "aborted", started_at="null", metrics='{"total_time": 60}')]
    )
    made.call(*CREATE)
    clock.now += 60
    made.call("get_prediction", {"prediction_id": "a"})

    assert (0.0, 0.0) == (made.budget.spent()["seconds_of_compute"], made.budget.spent()["cost"])
    assert {} == made.budget.guessed()


def test_the_times_of_the_api_take_precedence(server, session):
    """The API's start and end times limit the compute time of a failed prediction that was read late."""
    clock = Clock()
    made = session(caps=Caps(seconds_of_compute=5), clock=clock)
    times = {"started_at": '"2026-11-30T12:00:01Z"', "completed_at": '"2026-11-30T12:00:02.500Z"'}
    server.answers.extend([prediction("a"), prediction("a", "failed", **times)])
    made.call(*CREATE)
    clock.now += 60
    made.call("get_prediction", {"prediction_id": "a"})

    assert 1.5 == made.budget.spent()["seconds_of_compute"]


def test_creates_run_one_at_a_time_until_the_time_is_known(server, session):
    """Under a small cap the first of many creates runs alone; then its time is reserved for each of the others."""
    server.default = ended("a", 0.2)
    made = session(caps=Caps(seconds_of_compute=0.5))
    start = threading.Barrier(30)

    def one(_):
        start.wait()
        try:
            made.call(*CREATE)
        except LimitError:
            return 0
        return 1

    with ThreadPoolExecutor(30) as pool:
        done = sum(pool.map(one, range(30)))

    assert done == sum(request.method == "POST" for request in server.requests)
    assert 2 <= done <= 3


def test_a_create_waits_while_reserved_seconds_may_be_freed(server, session):
    """A create waits while running jobs may release seconds, and is then sent."""
    server.answers.extend([prediction("a"), prediction("a"), prediction("a", "processing"), ended("a", 0.1)])
    server.default = ended("b", 0.1)
    made = session(caps=Caps(seconds_of_compute=30))
    made.call(*CREATE)
    made.call(*CREATE)

    assert ["POST", "GET", "GET", "GET", "POST"] == [request.method for request in server.requests]


# Cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4])
def test_outputs_are_counted_before_they_are_sent(server, session, count):
    """Four images do not fit under a cap for two images."""
    made = session(caps=Caps(cost=0.5))
    arguments = {"version": "owner/images", "input": {"prompt": "x", "num_outputs": count}}
    if count <= 2:
        made.call("create_prediction", arguments)
        assert 0.25 * count == made.budget.spent()["cost"] == made.log[0].estimate
    else:
        with pytest.raises(LimitError, match="this call may cost 1"):
            made.call("create_prediction", arguments)
        assert not server.requests


def test_defaults_of_the_schema_are_counted(server, session):
    """After the model has been read, its schema's defaults count for the model and its version."""
    version = f'{{"id": "{"a" * 64}", "openapi_schema": {SCHEMA}}}'
    server.answers.append(Answer(200, f'{{"owner": "owner", "name": "images", "latest_version": {version}}}'.encode()))
    made = session(caps=Caps(cost=0.5))
    made.call("get_model", {"model_owner": "owner", "model_name": "images"})
    with pytest.raises(LimitError):
        made.call(*CREATE)
    with pytest.raises(LimitError):
        made.call("create_prediction", {"version": f"owner/images:{'a' * 64}", "input": {}})
    made.call("create_prediction", {"version": "owner/images", "input": {"num_outputs": 1}})

    assert 2 == len(server.requests)


def test_a_bare_version_has_the_price_of_its_model(server, session):
    """The price is known if the run has read the model, or else from the created prediction."""
    version = f'{{"id": "{"a" * 64}", "openapi_schema": {SCHEMA}}}'
    model = Answer(200, f'{{"owner": "owner", "name": "images", "latest_version": {version}}}'.encode())
    server.answers.extend([model, prediction("a"), prediction("b", model='"owner/images"')])
    made = session(caps=Caps(cost=10))
    made.call("get_model", {"model_owner": "owner", "model_name": "images"})
    made.call("create_prediction", {"version": "a" * 64, "input": {}})
    assert 1.0 == made.budget.spent()["cost"]

    free = session()
    free.call("create_prediction", {"version": "b" * 64, "input": {}})
    assert (0.25, None) == (free.budget.spent()["cost"], free.budget.guessed().get("unpriced"))


def test_a_deployment_has_its_own_price(server, session):
    """The deployment's name determines the price; its model's price does not apply."""
    prices = Prices(models={"deployments/me/app": Price(run=0.4)})
    made = session(caps=Caps(cost=10), prices=prices)
    made.call("create_deployment_prediction", {"deployment_owner": "me", "deployment_name": "app", "input": {}})

    assert 0.4 == made.budget.spent()["cost"]


def test_metrics_settle_a_reservation(server, session):
    """The billed amount counts and is in the call's entry; jobs billed by the second are read before a refusal."""
    made = session(caps=Caps(cost=1.0))
    server.answers.append(prediction("a", "succeeded", metrics='{"predict_time": 3, "image_output_count": 1}'))
    made.call("create_prediction", {"version": "owner/images", "input": {"num_outputs": 3}})
    assert (0.75, 0.25) == (made.log[0].estimate, made.log[0].cost)
    assert 0.25 == made.budget.spent()["cost"]
    assert {} == made.budget.guessed()


def test_an_unknown_amount_needs_approval(server, session):
    """Unlimited tokens have an unknown price, which is never zero; the metrics settle it."""
    prices = Prices(models={"owner/images": Price(metrics={"token_output_count": 0.001})})
    prompter = Scripted(["once"])
    made = session(prompter, caps=Caps(cost=1.0), prices=prices)
    server.answers.extend([prediction("a"), prediction("a", "succeeded", metrics='{"token_output_count": 40}')])
    made.call(*CREATE)
    assert "no price is known" in prompter.asked[0].why
    assert 1 == made.budget.guessed()["unpriced"]

    made.call("get_prediction", {"prediction_id": "a"})
    assert (0.04, None) == (made.budget.spent()["cost"], made.budget.guessed().get("unpriced"))
    made.call("create_prediction", {"version": "owner/images", "input": {"max_tokens": 100}})
    assert 1 == len(prompter.asked)


# Budgets that outlive the run ---------------------------------------------------------------------------------------


def test_three_runs_share_a_budget(server, session):
    """The third run is refused, with the budget's name, state and renewal; a refusal reserves nothing."""
    server.default = prediction("a", "succeeded", metrics='{"image_output_count": 2}')
    arguments = {"version": "owner/images", "input": {"num_outputs": 2}}
    for _ in range(2):
        session(budgets=[DAY]).call("create_prediction", arguments)
    third = session(budgets=[DAY])
    with pytest.raises(LimitError) as caught:
        third.call("create_prediction", arguments)

    assert "budget 'daily' (cost 1 a day) has no room for this call: 1 spent and 0 reserved" in caught.value.message
    assert "it renews at " in caught.value.message
    assert " 00:00 UTC" in caught.value.message
    assert ("limit_reached", "daily") == (caught.value.code, caught.value.detail["budget"])
    assert 2 == len(server.requests)
    assert (0, 0) == (third.budget.spent()["predictions"], third.budget.spent()["calls"])


def test_a_rejected_create_is_released(server, session):
    """The reservation is released in all budgets; for a create that may have succeeded it is kept."""
    made = session(budgets=[DAY])
    server.answers.extend([Answer(422, b"{}"), Answer(500, b"{}")])
    for _ in range(2):
        with pytest.raises(Exception, match=r"create_prediction|server|422"):
            made.call(*CREATE)
    found = made.spending.persistent.ledger.totals([DAY])[0]

    assert (Decimal("0.25"), 1) == (found.reserved, found.predictions)


def test_reservations_of_killed_runs_are_read_before_a_refusal(server, session):
    """The unsettled reservation of a killed run counts until it is read."""
    session(budgets=[DAY])
    killed = session(budgets=[DAY])
    server.answers.append(prediction("dead", model='"owner/images"'))
    killed.call("create_prediction", {"version": "owner/images", "input": {"num_outputs": 4}})

    server.answers.append(prediction("dead", "succeeded", model='"owner/images"', metrics='{"image_output_count": 2}'))
    server.default = prediction("b", "succeeded", metrics='{"image_output_count": 2}')
    made = session(budgets=[DAY])
    made.call("create_prediction", {"version": "owner/images", "input": {"num_outputs": 2}})
    found = made.spending.persistent.ledger.totals([DAY])[0]

    assert ["POST", "GET", "POST"] == [request.method for request in server.requests]
    assert (Decimal(1), Decimal(0)) == (found.spent, found.reserved)


def test_a_warning_is_given_once_at_four_fifths(server, session):
    """Each run that passes four fifths of a budget gives one warning."""
    server.default = prediction("a", "succeeded", metrics='{"image_output_count": 1}')
    budget, told = Allowance(name="big", period="month", cost=1.25, timezone="Europe/Berlin"), []
    made = session(budgets=[budget], told=told)
    for _ in range(5):
        made.call(*CREATE)

    assert 1 == len(told)
    assert told[0].startswith("budget 'big' (cost 1.25 a month): 80% spent or reserved; it renews at ")
    assert told[0].endswith(" 00:00 Europe/Berlin")


@pytest.mark.parametrize(
    ("budget", "origin", "account", "bound"),
    [
        (Allowance(name="b", period="day", cost=0.1), Origin(), "default", True),
        (Allowance(name="b", period="day", cost=0.1, account="work"), Origin(), "default", False),
        (Allowance(name="b", period="day", cost=0.1, account="work"), Origin(), "work", True),
        (Allowance(name="b", period="day", cost=0.1, script="*.lua"), Origin("", "dir/a.lua"), "default", True),
        (Allowance(name="b", period="day", cost=0.1, script="b.lua"), Origin("", "dir/a.lua"), "default", False),
        (Allowance(name="b", period="day", cost=0.1, script="*"), Origin(), "default", False),
        (Allowance(name="b", period="day", cost=0.1, caller="mcp"), Origin("", "a.lua", "mcp"), "default", True),
        (Allowance(name="b", period="day", cost=0.1, caller="mcp"), Origin("", "mcp"), "default", False),
        (Allowance(name="b", period="day", predictions=0), Origin(), "default", True),
    ],
)
def test_a_budget_counts_only_what_matches_its_conditions(server, session, budget, origin, account, bound):
    """A budget can name an account, a script by path or name, or a program's caller; without conditions everything
    counts.
    """
    made = session(budgets=[budget], origin=origin)
    if bound:
        with pytest.raises(LimitError):
            made.call(*CREATE, account)
    else:
        made.call(*CREATE, account)

    assert int(not bound) == len(server.requests)


def test_an_unknown_price_needs_approval_under_a_budget_of_cost(server, session):
    """Without a person the call is refused, also with --force; a budget of predictions needs no price."""
    unknown = {"version": "not/listed", "input": {}}
    for force in (False, True):
        with pytest.raises(PermissionDeniedError, match="budget 'daily' limits the cost"):
            session(budgets=[DAY], force=force).call("create_prediction", unknown)
    session(budgets=[Allowance(name="few", period="day", predictions=5)]).call("create_prediction", unknown)
    session(Scripted(["once"]), budgets=[DAY]).call("create_prediction", unknown)

    assert 2 == len(server.requests)


def test_a_dry_run_reserves_nothing(session, tmp_path):
    """A dry run does not create a ledger."""
    session(budgets=[DAY], dry_run=True).call(*CREATE)

    assert not (tmp_path / "ledger.sqlite").exists()


def test_budgets_are_described(server, session):
    """Each budget that counts calls of the account is described."""
    server.default = prediction("a", "succeeded", metrics='{"image_output_count": 1}')
    made = session(budgets=[DAY, Allowance(name="other", period="day", cost=2.0, account="work")])
    made.call(*CREATE)
    (line,) = made.spending.described("default")

    assert line.startswith("budget 'daily' (cost 1 a day): 0.25 spent and 0 reserved; it renews at ")
    assert [] == session().spending.described("default")


@pytest.mark.parametrize(
    ("budget", "flag"),
    [
        (Allowance(name="the cost", period="day", cost=0.1, predictions=9), "kosmo budget set 'the cost' --cost N"),
        (Allowance(name="few", period="week", cost=9.0, predictions=0), "kosmo budget set few --predictions N"),
    ],
)
def test_a_refusal_says_how_to_raise_the_limit(session, budget, flag):
    """The refusal names the limit that was reached."""
    with pytest.raises(LimitError) as caught:
        session(budgets=[budget]).call(*CREATE)

    assert flag in caught.value.hint


def test_a_delayed_create_is_considered(tmp_path):
    """A delayed create will soon have its result, so another create is not refused because of its seconds."""
    clock, pool = Clock(), ThreadPoolExecutor(1)
    others = []

    def before(identifier):
        if identifier == "p0":
            clock.now += 7
            others.append(pool.submit(made.call, *CREATE))

    server = CountingServer(before)
    made = Session(
        lambda _: Client(token="r8_token", base_url=server.url),
        policy_of(config.load({}, write="allow")),
        budget=Budget(Caps(seconds_of_compute=5), PRICES, clock),
    )
    made.call(*CREATE)

    assert "p1" == others[0].result(30).data["id"]
    pool.shutdown()
    made.close()
    server.close()


@pytest.mark.parametrize(
    "limits",
    [
        {"caps": Caps(cost=0.9)},
        {"caps": Caps(predictions=0)},
        {"caps": Caps(writes=0)},
        {"caps": Caps(calls=0)},
        {"caps": Caps(seconds_of_compute=0)},
        {"budgets": [Allowance(name="daily", period="day", cost=0.9)]},
        {"budgets": [Allowance(name="daily", period="day", predictions=0)]},
    ],
)
def test_nobody_is_asked_about_a_call_without_room(server, session, limits):
    """A call that a cap or a budget refuses in any case ends with the limit, not with a question."""
    prompter = Scripted(["once"])
    made = session(prompter, write="ask", **limits)
    given = {**IMAGES, "input": {"prompt": "x", "num_outputs": 4}}

    with pytest.raises(LimitError):
        made.call("create_prediction", given)
    assert ([], [], 0) == (prompter.asked, server.requests, made.budget.spent()["calls"])
    assert [("ask", "limit_reached")] == [(entry.decision, entry.code) for entry in made.log]


def test_a_question_reserves_nothing(server, session):
    """A call with room is asked about, and its refusal leaves the budgets as they were."""
    server.default = Answer(201, b'{"id": "a", "status": "starting"}')
    prompter = Scripted(["no", "once"])
    made = session(prompter, write="ask", caps=Caps(cost=0.25, predictions=1), budgets=[DAY])
    with pytest.raises(PermissionDeniedError):
        made.call("delete_file", {"file_id": "f"})
    given = {**IMAGES, "input": {"prompt": "x", "num_outputs": 1}}

    assert "a" == made.call("create_prediction", given).data["id"]
    assert 2 == len(prompter.asked)
    with pytest.raises(LimitError):
        made.call("create_prediction", given)
    assert 2 == len(prompter.asked)


def test_running_jobs_do_not_prevent_a_question(server, session):
    """The cost of running jobs is an estimate, so a call that may get room is asked about."""
    server.default = Answer(201, b'{"id": "a", "status": "starting"}')
    prompter = Scripted(["once", "no"])
    made = session(prompter, write="ask", caps=Caps(cost=0.3))
    given = {**IMAGES, "input": {"prompt": "x", "num_outputs": 1}}
    made.call("create_prediction", given)
    with pytest.raises(PermissionDeniedError):
        made.call("create_prediction", given)

    assert 2 == len(prompter.asked)
