"""Approvals of submitted runs."""

import pytest

from kosmolua.errors import UsageError
from kosmolua.journal.records import Head
from kosmolua.worker import approvals, runs

_ASK = """
INSERT INTO approvals (id, run, task, request, function, account, access, arguments, digest, estimate, why, expires_at)
VALUES (%s, %s, 0, %s, 'create_prediction', 'default', 'write', '{}', '\\x01', 0.5, 'write=ask',
  clock_timestamp() + make_interval(secs => %s))
"""


def asked(database, *identifiers, seconds=60.0, state="waiting"):
    """A run in that state with these open approvals."""
    run, _ = runs.submit(database, Head(script="flow.lua", source=b"return 1"), by="ana")
    for place, identifier in enumerate(identifiers, 1):
        database.rows(_ASK, (identifier, run, place, seconds))
    database.rows("UPDATE runs SET state = %s WHERE id = %s", (state, run))
    return run


def test_an_open_approval_is_listed_with_its_run(database):
    """The list has the run, its script, who submitted it, the estimated cost and the state."""
    run = asked(database, "a1")

    (one,) = approvals.listed(database)

    assert ("a1", run, "flow.lua", "ana", 0.5, "open") == (
        *(one.id, one.run, one.script, one.submitted_by, one.estimate, one.status),
    )
    assert 1 == runs.find(database, run).approvals


def test_a_decision_wakes_the_run(database):
    """Deciding notes who and why, and queues the waiting run."""
    run = asked(database, "a1")

    (one,) = approvals.decide(database, ["a1"], "denied", "bob", acting="root", reason="too dear")

    assert ("denied", "bob", "root", "too dear") == (one.status, one.decided_by, one.acting, one.reason)
    assert "ready" == runs.find(database, run).state
    assert [] == approvals.listed(database)
    assert ["a1"] == [each.id for each in approvals.listed(database, decided=True, run=run)]


def test_only_an_open_approval_is_decided(database):
    """All are decided or none: not if one is unknown, decided, expired, or of a run that has ended."""
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
