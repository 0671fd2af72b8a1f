"""Submitted runs wait for approvals."""

import json
from contextlib import closing

import approvals_chaos
import pytest
from fleet import Fleet
from recording_server import RecordingServer
from waiting import wait_until

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.journal.approvals import check_approver
from kosmolua.journal.records import Head
from kosmolua.settings import approvers
from kosmolua.settings.config import Approving
from kosmolua.worker import approvals, runs

_ASK = """
INSERT INTO approvals (id, run, task, request, function, account, access, arguments, digest, estimate, why, expires_at)
VALUES (%s, %s, 0, %s, 'create_prediction', 'default', 'write', '{}', '\\x01', 0.5, 'write=ask',
  clock_timestamp() + make_interval(secs => %s))
"""


def asked(database, *identifiers, seconds=60.0, state="waiting"):
    """A run in this state with these open approvals."""
    run, _ = runs.submit(database, Head(script="flow.lua", source=b"return 1"), by="ana")
    for place, identifier in enumerate(identifiers, 1):
        database.rows(_ASK, (identifier, run, place, seconds))
    database.rows("UPDATE runs SET state = %s WHERE id = %s", (state, run))
    return run


def test_an_open_approval_is_listed_with_its_run(database):
    """The list has the run, its script, its submitter, the estimated cost and the state."""
    run = asked(database, "a1")

    (one,) = approvals.listed(database)

    assert ("a1", run, "flow.lua", "ana", 0.5, "open") == (
        *(one.id, one.run, one.script, one.submitted_by, one.estimate, one.status),
    )
    assert 1 == runs.find(database, run).approvals


def test_a_decision_wakes_the_run(database):
    """A decision records the person and the reason, and queues the waiting run."""
    run = asked(database, "a1")

    (one,) = approvals.decide(database, ["a1"], "denied", "bob", acting="root", reason="too dear")

    assert ("denied", "bob", "root", "too dear") == (one.status, one.decided_by, one.acting, one.reason)
    assert "ready" == runs.find(database, run).state
    assert [] == approvals.listed(database)
    assert ["a1"] == [each.id for each in approvals.listed(database, decided=True, run=run)]


def test_only_open_approvals_are_decided(database):
    """All approvals are decided, or none if one is unknown, decided, expired, or belongs to an ended run."""
    asked(database, "open")
    asked(database, "twice")
    approvals.decide(database, ["twice"], "approved", "bob")
    asked(database, "late", seconds=-1.0)
    asked(database, "ended", state="failed")

    failures = {}
    for identifier in ("missing", "twice", "late", "ended"):
        with pytest.raises(UsageError) as caught:
            approvals.decide(database, ["open", identifier], "approved", "bob")
        failures[identifier] = caught.value.message

    assert failures == {
        "missing": "no approval 'missing'",
        "twice": "approval twice is already approved by bob",
        "late": "approval late is already expired",
        "ended": f"approval ended belongs to run {approvals.find(database, 'ended').run}, which has ended",
    }
    assert ["open"] == [each.id for each in approvals.listed(database)]


HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
CREATE = f'integrations.replicate.create_prediction{{ version = "{HELLO}", input = {{ text = %s }} }}'
THREE = f"""
local made = parallel({{ "a", "b", "c" }}, function(text)
  local ok, found = pcall(function() return {CREATE % "text"} end)
  return ok and "made" or {{ code = found.code, message = found.message }}
end)
print("decided")
return made[1], made[2], made[3]
"""


@pytest.fixture
def fleet(url, tmp_path):
    with Fleet(url, tmp_path).serving() as fleet:
        yield fleet


def open_ones(fleet, count):
    """Wait until this many questions are open and their runs wait without a process."""

    def found():
        shown = approvals.listed(fleet.database)
        return shown if len(shown) == count and {"waiting"} == {each.state for each in shown} else None

    return wait_until(found)


def test_parallel_calls_are_asked_about_at_once_and_decided_separately(fleet):
    """Each approved call is sent once; a denied call raises an error with the reason. While waiting, the run has no
    process.
    """
    fleet.start(write="ask")
    (run,) = fleet.submit(1, THREE, by="ana")
    asked = {json.loads(each.arguments)["input"]["text"]: each for each in open_ones(fleet, 3)}
    first, second, third = (asked[text] for text in "abc")
    assert ({"version": HELLO, "input": {"text": "a"}}, "ana") == (json.loads(first.arguments), first.submitted_by)
    approvals.decide(fleet.database, [second.id], "denied", "bob", reason="too dear")
    wait_until(lambda: approvals.find(fleet.database, second.id).used_at)
    open_ones(fleet, 2)
    approvals.decide(fleet.database, [first.id, third.id], "approved", "bob")
    fleet.finish()

    refused = {
        "code": "permission_denied",
        "message": f"create_prediction: bob denied approval {second.id}: too dear",
    }
    assert ["made", refused, "made"] == runs.find(fleet.database, run).results
    assert 2 == fleet.server.count("POST", "/predictions")
    assert [(1, 1, b"decided\n")] == runs.prints(fleet.database, run)


def test_an_unanswered_question_expires(fleet):
    """After its time limit the question counts as denied, and the script gets the error."""
    fleet.start(write="ask", approval_timeout=1.0)
    (run,) = fleet.submit(1, CREATE % "'a'")
    fleet.finish()

    (one,) = approvals.listed(fleet.database, decided=True)
    assert ("failed", "expired") == (runs.find(fleet.database, run).state, one.status)
    assert f"approval {one.id} expired" in runs.find(fleet.database, run).error
    assert 0 == fleet.server.count("POST", "/predictions")


def test_workers_are_killed_around_questions_decisions_and_requests(url, tmp_path):
    """In 30 rounds of approvals_chaos.py each approved call is sent once, after its approval, and no other call is
    sent.
    """
    events = approvals_chaos.go(url, tmp_path, 30, seed=19)

    assert sum(events[step] for step in approvals_chaos.STEPS) > 10


ONE = CREATE % "'a'"


def configure(tmp_path, *lines):
    """Write the section [approvals] into the configuration that the workers read."""
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "config.toml").write_text("\n".join(["[approvals]", *lines]))


def refused(fleet, run):
    return runs.find(fleet.database, run).error


@pytest.mark.parametrize(
    ("config", "worker", "of_run", "shown"),
    [
        ('approvers = ["ana", "@finance"]', None, ["@finance"], ["@finance"]),
        ('approvers = ["ana", "@finance"]', ["@finance"], ["ana", "bo"], ["bo"]),
        ('approvers = ["bo", "zoe"]', None, ["zoe", "bo"], ["zoe", "bo"]),
        ("", ["bo"], None, ["bo"]),
    ],
)
def test_approvers_are_narrowed(fleet, tmp_path, config, worker, of_run, shown):
    """The question shows who may decide under configuration, worker and run together; a decision by one of them is
    valid.
    """
    configure(tmp_path, config, 'groups = { finance = ["bo", "cy"] }')
    fleet.start(write="ask", approvers=worker)
    (run,) = fleet.submit(1, ONE, by="sam", approvers=of_run)
    (one,) = open_ones(fleet, 1)
    approvals.decide(fleet.database, [one.id], "approved", "bo")
    fleet.finish()

    assert (shown, False) == (one.approvers, one.own)
    assert ("done", of_run) == (runs.find(fleet.database, run).state, runs.find(fleet.database, run).approvers)
    assert 1 == fleet.server.count("POST", "/predictions")


@pytest.mark.parametrize(
    ("config", "worker", "of_run", "by", "reason"),
    [
        ('approvers = ["ana"]', None, ["ana", "sam"], "sam", "not among approvals.approvers (ana)"),
        ("", None, ["ana", "sam"], "sam", "the submitter of a run may not approve it"),
        ("", ["ana"], ["ana", "eve"], "eve", "not among the approvers of this run (ana)"),
        ("", ["ana"], ["ana"], "@finance", "not among the approvers of this run (ana)"),
        ('approvers = ["@finance"]', None, ["bo", "eve"], "eve", "not among approvals.approvers (@finance)"),
    ],
)
def test_a_decision_by_an_unauthorized_person_is_a_denial(fleet, tmp_path, config, worker, of_run, by, reason):
    """A run never widens what its worker allows, even if the decision was written directly into the database."""
    configure(tmp_path, config, 'groups = { finance = ["bo", "cy"] }')
    fleet.start(write="ask", approvers=worker)
    (run,) = fleet.submit(1, ONE, by="sam", approvers=of_run)
    (one,) = open_ones(fleet, 1)
    fleet.database.rows("UPDATE approvals SET approvers = NULL, own = true")
    approvals.decide(fleet.database, [one.id], "approved", by)
    fleet.finish()

    assert f"this worker denied approval {one.id}: {by} may not approve it: {reason}" in refused(fleet, run)
    assert 0 == fleet.server.count("POST", "/predictions")


@pytest.mark.parametrize(
    ("config", "worker", "of_run", "lists"),
    [
        ('approvers = ["ana"]', None, ["bo"], "ana; bo"),
        ("", ["ana"], ["bo"], "ana; bo"),
        ("", None, ["sam"], "sam, and not sam, who submitted the run"),
        ('approvers = ["@finance"]', ["ana"], None, "@finance; ana"),
    ],
)
def test_a_question_that_nobody_may_answer(fleet, tmp_path, config, worker, of_run, lists):
    """The call is refused at once, and the error has the lists that have nobody in common."""
    configure(tmp_path, config, 'groups = { finance = ["bo", "cy"] }')
    fleet.start(write="ask", approvers=worker)
    (run,) = fleet.submit(1, ONE, by="sam", approvers=of_run)
    fleet.finish()

    assert f"nobody may approve it: expected a person who is in each of: {lists}" in refused(fleet, run)
    assert [] == approvals.listed(fleet.database, decided=True)


def test_a_key_with_other_approvers(database):
    """Other approvers mean a different run, because the first run's approvers are not those in the request."""
    head = Head(script="flow.lua", source=b"return 1")
    first, _ = runs.submit(database, head, key="k", approvers=["ana"])

    assert (first, False) == runs.submit(database, head, key="k", approvers=["ana"])
    for other in (None, ["ana", "bo"]):
        with pytest.raises(UsageError, match="another script, arguments, account, budget or approvers"):
            runs.submit(database, head, key="k", approvers=other)


def test_a_resumed_run_shows_the_current_approvers(fleet, tmp_path):
    """The open question of a resumed run has the approvers of the changed configuration."""
    configure(tmp_path, 'approvers = ["ana"]')
    fleet.start(write="ask")
    (run,) = fleet.submit(1, ONE, by="sam")
    (one,) = open_ones(fleet, 1)
    configure(tmp_path, 'approvers = ["bo"]')
    runs.cancel(fleet.database, run)
    runs.resume(fleet.database, run)
    wait_until(lambda: approvals.find(fleet.database, one.id).approvers == ["bo"])

    assert ["ana"] == one.approvers


@pytest.mark.parametrize("own", ["true", "false"])
def test_a_submitter_may_approve_once_the_worker_allows_it(fleet, tmp_path, own):
    """The current configurations of the worker and of the person decide, not those of the time of the question. The
    person's own cannot widen the worker's.
    """
    fleet.start(write="ask")
    (run,) = fleet.submit(1, ONE, by="sam")
    (one,) = open_ones(fleet, 1)
    configure(tmp_path, f"own = {own}")

    def check(settings):
        check_approver(
            settings, one, "sam", own=False, reread=lambda each: approvals.reread(fleet.database, each, 60.0)
        )

    with pytest.raises(PermissionDeniedError, match="the submitter of a run may not approve it"):
        check(Approving())
    if own == "false":
        with pytest.raises(PermissionDeniedError, match="by the configuration of its worker"):
            check(Approving(own=True))
        return
    check(Approving(own=True))
    approvals.decide(fleet.database, [one.id], "approved", "sam")
    fleet.finish()

    assert "done" == runs.find(fleet.database, run).state


@pytest.mark.parametrize(
    ("config", "acting", "state"),
    [
        ("", "sam", "failed"),
        ('act_as = ["bot"]', "sam", "failed"),
        ('act_as = ["@bots"]', "bot", "done"),
        ("", None, "done"),
        ("", approvers.THROUGH, "done"),
    ],
)
def test_a_decision_on_behalf_of_another(fleet, tmp_path, config, acting, state):
    """The worker's configuration says who may make it: whoever decides could change their own."""
    configure(tmp_path, config, 'groups = { bots = ["bot"] }')
    fleet.start(write="ask")
    (run,) = fleet.submit(1, ONE, by="sam")
    (one,) = open_ones(fleet, 1)
    approvals.decide(fleet.database, [one.id], "approved", "ana", acting=acting)
    fleet.finish()

    assert state == runs.find(fleet.database, run).state
    assert (state == "failed") == ("sam may not decide on behalf of others" in (refused(fleet, run) or ""))
    assert int(state == "done") == fleet.server.count("POST", "/predictions")


def test_the_webhook_of_a_worker_is_not_part_of_a_decision(fleet):
    """The operator configures the worker's webhook, which a question does not show: a change needs no new approval."""
    with closing(RecordingServer()) as receiver:
        targets = decided_between_addresses(fleet, f"http://127.0.0.1:{receiver.port}", receiver)

    assert {"/second/replicate/default"} == targets


def decided_between_addresses(fleet, base, receiver):
    """Let one worker ask about a create and another send it, and return the paths of its webhooks."""
    first = fleet.start(write="ask", webhooks=f"{base}/first")
    (run,) = fleet.submit(1, ONE, by="sam")
    (one,) = open_ones(fleet, 1)
    first.terminate()
    first.wait(30)
    fleet.workers.remove(first)
    approvals.decide(fleet.database, [one.id], "approved", "bob")
    fleet.start(write="ask", webhooks=f"{base}/second")
    wait_until(lambda: runs.find(fleet.database, run).state == "done" and receiver.requests)

    assert {"version": HELLO, "input": {"text": "a"}} == json.loads(one.arguments)
    assert [one.id] == [each.id for each in approvals.listed(fleet.database, decided=True)]
    return {each.target for each in receiver.requests}


def test_a_webhook_of_the_script_is_part_of_a_decision(fleet):
    """A script that was approved with one webhook address cannot use another."""
    fleet.start(write="ask")
    asks = ONE.replace("input =", 'webhook = "https://hooks.example.com/%s", input =')
    (run,) = fleet.submit(1, asks % "a", by="sam")
    (first,) = open_ones(fleet, 1)
    fleet.database.rows("UPDATE runs SET source = %s WHERE id = %s", ((asks % "b").encode(), run))
    approvals.decide(fleet.database, [first.id], "approved", "bob")
    (second,) = open_ones(fleet, 1)

    shown = [json.loads(each.arguments)["webhook"] for each in (first, second)]
    assert ["https://hooks.example.com/a", "https://hooks.example.com/b"] == shown
    assert first.digest != second.digest
    assert 0 == fleet.server.count("POST", "/predictions")
