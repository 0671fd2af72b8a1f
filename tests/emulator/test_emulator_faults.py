from __future__ import annotations

from types import SimpleNamespace

import pytest

from kosmolua.emulator import KINDS, Emulator, Fault, parse_fault
from kosmolua.emulator.faults import FaultBox
from kosmolua.errors import UsageError
from kosmolua.gate.functions import resolve

FLUX = "black-forest-labs/flux-schnell"


def test_a_specification_is_read():
    """A fault has a kind, a target, and options in any order."""
    assert Fault("429", "create", 3, {"retry_after": "2"}) == parse_fault("429:retry_after=2:create:times=3")
    assert Fault("drop", "*", None, {"after": "accept"}) == parse_fault("drop:times=*")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("abort", "unknown fault 'abort'; did you mean 'aborted'?"),
        ("500:get_predictoin", "did you mean 'get_prediction'?"),
        ("429:retry-after=2", "did you mean 'retry_after'?"),
        ("429:retry_after=soon", "expected a number of seconds"),
        ("500:times=x", "expected times=N or times=*"),
        ("500:read:write", "expected one target"),
        ("drop:after=lunch", "unknown value of after 'lunch'"),
        ("", "unknown fault ''"),
    ],
)
def test_an_invalid_specification(spec, said):
    """The usage error for an invalid fault suggests the intended spelling."""
    with pytest.raises(UsageError) as caught:
        Emulator(faults=[spec])

    assert said in str(caught.value)


def test_unknown_faults_name_the_known_ones():
    """The hint lists every kind; in a header the same mistake gives a problem document with status 400."""
    with pytest.raises(UsageError) as caught:
        parse_fault("nonsense")

    assert all(kind in caught.value.hint for kind in KINDS)


def test_a_mistake_in_the_header_is_a_problem(api):
    """A request with an invalid fault header is refused with the reason."""
    answer = api.get("/account", headers={"X-Emulator-Fault": "5000"})

    assert 400 == answer.status_code
    assert "did you mean '500'?" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("spec", "status", "kind"),
    [
        ("401", 401, "application/problem+json"),
        ("500", 500, "application/problem+json"),
        ("503", 503, "application/problem+json"),
        ("502-html", 502, "text/html"),
    ],
)
def test_a_status_once(spec, status, kind, world):
    """A status fault fires once by default."""
    with world.misbehaving(spec) as api:
        first, second = api.get("/account"), api.get("/account")

    assert (status, 200) == (first.status_code, second.status_code)
    assert first.headers["content-type"].startswith(kind)


def test_too_many_requests(world):
    """The 429 has the waiting time in its header and body, and applies only to its target."""
    with world.misbehaving("429:create:retry_after=2:times=2") as api:
        untouched = api.get("/account")
        refused = [world.hello(api) for _ in range(2)]
        made = world.hello(api)
        listed = api.get("/predictions").json()["results"]

    assert (200, 201) == (untouched.status_code, made.status_code)
    assert [429, 429] == [one.status_code for one in refused]
    assert ("2", 2) == (refused[0].headers["retry-after"], refused[0].json()["retry_after"])
    assert [made.json()["id"]] == [one["id"] for one in listed]


def test_an_empty_error(api):
    """A 500 fault can have an empty body."""
    answer = api.get("/account", headers={"X-Emulator-Fault": "empty"})

    assert (500, b"") == (answer.status_code, answer.content)


@pytest.mark.parametrize(("after", "made"), [("accept", 1), ("request", 0)])
def test_a_dropped_create(after, made, world):
    """The option `after` makes the connection close after the prediction was created instead of before."""
    with world.misbehaving(f"drop:create_prediction:after={after}") as api:
        with pytest.raises(ConnectionResetError):
            world.hello(api)

        assert made == len(api.get("/predictions").json()["results"])


def test_an_error_answer_can_be_dropped_too(api):
    """The connection closes instead of sending any answer, even an error."""
    with pytest.raises(ConnectionResetError):
        api.get("/predictions/nothing", headers={"X-Emulator-Fault": "drop"})


def test_a_cut_answer(api):
    """The connection closes after half of the body."""
    with pytest.raises(ConnectionResetError):
        api.get("/account", headers={"X-Emulator-Fault": "cut"})


def test_a_slow_answer(world, clock):
    """The clock advances before a slow request is processed."""
    before = clock.time()
    with world.misbehaving("slow:read:seconds=7") as api:
        api.get("/account")

    assert 7 == clock.time() - before


def test_aborted_predictions(world):
    """The next prediction that is created ends as aborted; reads before that do not use up the fault."""
    with world.misbehaving("aborted") as api:
        api.get("/account")
        first, second = (world.hello(api, Prefer="wait").json() for _ in range(2))

    assert ("aborted", None) == (first["status"], first["started_at"])
    assert "succeeded" == second["status"]


def test_a_stuck_prediction(api, world, clock):
    """A stuck prediction runs until the API's half hour is over, and then fails."""
    job = world.hello(api, X_Emulator_Fault="stuck").json()
    clock.advance(1700)
    before = api.get(job["urls"]["get"]).json()["status"]
    clock.advance(200)
    after = api.get(job["urls"]["get"]).json()

    assert ("processing", "failed") == (before, after["status"])
    assert "timed out" in after["error"]


def test_a_blocking_create_that_says_processing(api, world, clock):
    """The answer has no output, although the prediction will succeed."""
    answer = world.hello(api, Prefer="wait", X_Emulator_Fault="processing")
    clock.advance(1)

    assert (202, "processing", None) == (answer.status_code, answer.json()["status"], answer.json()["output"])
    assert "hello Ada" == api.get(answer.json()["urls"]["get"]).json()["output"]


def test_odd_page_links(api):
    """A page's `next` can be the word null or an http URL on another host."""
    word = api.get("/collections", headers={"X-Emulator-Fault": "next-null"}).json()
    foreign = api.get("/collections", headers={"X-Emulator-Fault": "http-next:host=pages.invalid"}).json()

    assert "null" == word["next"]
    assert foreign["next"].startswith("http://pages.invalid/v1/collections?cursor=")


def test_several_faults_in_one_header(api):
    """One header can have several faults, separated by commas."""
    answer = api.get("/collections", headers={"X-Emulator-Fault": "slow:seconds=1, next-null"})

    assert "null" == answer.json()["next"]


@pytest.mark.parametrize(
    ("spec", "status", "said"),
    [("402", 402, "insufficient credit"), ("low-credit:create:retry_after=7", 429, "less than $5.0 in credit")],
)
def test_accounts_without_credit(world, spec, status, said):
    """If the account has no or little credit, a create is refused with the API's message."""
    with world.misbehaving(spec) as api:
        refused = world.run(api, FLUX, {"prompt": "x"})

    assert (status, True) == (refused.status_code, said in refused.json()["detail"])
    assert ("7" if status == 429 else None) == refused.headers.get("Retry-After")


def test_a_rate_limit_counts_time_once():
    """Requests of several threads can arrive out of time order; the rate limit still refills only once."""
    box = FaultBox(["throttle:create:per_minute=60:burst=1"])
    create, request = resolve("create_prediction"), SimpleNamespace(headers={})
    fired = [box.pick(create, request, now) for now in (100.0, 1.0, 101.0)]

    assert [{}, {"retry_after": "1"}, {}] == [one["429"].options if one else one for one in fired]
