"""Approvals and schedules in the console: the pages, and the effects of their forms."""

import re

import pytest
from test_access import Visitor

from kosmolua.journal.records import Head
from kosmolua.settings import approvers
from kosmolua.worker import approvals, schedules
from kosmolua.worker.schedules import NewSchedule

SECRETS = "approve alice alice-has-this-secret\napprove bob bob-has-another-one\nread reader-has-this-one\n"


@pytest.fixture
def sign_in(served, tmp_path, monkeypatch):
    """Sign in under a name from the secrets file, or without a login; ``settings`` is the content of config.toml."""
    made = []

    def sign_in(name=None, settings=""):
        directory = tmp_path / "config"
        directory.mkdir(exist_ok=True)
        (directory / "config.toml").write_text(settings)
        monkeypatch.setenv("KOSMO_CONFIG_DIR", str(directory))
        file = tmp_path / "secrets"
        file.write_text(SECRETS)
        file.chmod(0o600)
        made.append(Visitor(served(*(["--secret-file", str(file)] if name else [])).url))
        if name:
            secret = next(line.split()[-1] for line in SECRETS.splitlines() if f"{name} " in line)
            assert 303 == made[-1].sign_in(secret).status_code
        return made[-1]

    yield sign_in
    for each in made:
        each.client.close()


def decide(visitor, identifier, verdict, reason="", **more):
    page = visitor.get("/approvals").text
    form = page.partition(f'action="/approvals/{identifier}"')[2].partition("</form>")[0]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    return visitor.post(f"/approvals/{identifier}", {**fields, "verdict": verdict, "reason": reason, **more})


def test_a_question_shows_the_call_and_its_reason(sign_in, submitted, asking):
    """A question shows the call, the reason, the cost, the run, the account and the expiry time."""
    run = submitted("/flows/covers.lua")
    identifier = asking(run, arguments='{"input":{"prompt":"<b>dusk</b>"}}', why="rule 3: ask")
    visitor = sign_in()
    page = visitor.get("/approvals").text

    assert f'<article class="question" id="approval-{identifier}">' in page
    for words in (
        "create_prediction",
        "about 0.25",
        "rule 3: ask",
        "covers.lua",
        "&lt;b&gt;dusk&lt;/b&gt;",
        "in 60 min",
    ):
        assert words in page
    assert '<b class="count">1<span class="hidden"> waiting</span></b>' in visitor.get("/workers").text
    assert f'id="approval-{identifier}"' in visitor.get(f"/runs/{run}").text
    assert "1 approval" in visitor.get("/").text


def test_nothing_to_decide(sign_in):
    """If there are no questions, the page explains when runs ask for approval."""
    page = sign_in().get("/approvals").text

    assert "Nothing to decide" in page
    assert "kosmo worker --write ask" in page


def test_an_approved_run_continues(sign_in, submitted, asking, database):
    """After an approval the run continues, and the decision records the name that belongs to the secret."""
    run = submitted()
    first, second = asking(run), asking(run)
    visitor = sign_in("alice")

    answer = decide(visitor, first, "approved", "go ahead")
    assert (303, "/approvals?said=approved") == (answer.status_code, answer.headers["location"])
    found = approvals.find(database, first)
    assert ("approved", "alice", "kosmo serve", "go ahead") == (
        found.decision,
        found.decided_by,
        found.acting,
        found.reason,
    )
    assert [("ready",)] == database.rows("SELECT state FROM runs")

    assert 303 == decide(visitor, second, "denied").status_code
    assert ("denied", None) == (approvals.find(database, second).decision, approvals.find(database, second).reason)
    page = visitor.get("/approvals?said=denied").text
    assert "Denied. The script gets the reason." in page
    assert ["denied", "approved"] == re.findall(r'<b class="state \w+">(denied|approved)</b>', page)


def test_a_decision_is_made_once(sign_in, submitted, asking, database):
    """A second decision, a decision for other arguments, and a decision after the expiry time are refused."""
    run = submitted()
    one, other, late = asking(run), asking(run), asking(run, expires=0)
    visitor = sign_in("alice")
    token = visitor.token("/")
    digest = approvals.find(database, one).digest

    def post(identifier, *, digest=digest, **fields):
        return visitor.post(
            f"/approvals/{identifier}", {"csrf": token, "questions": f"{identifier}:{digest}", **fields}
        )

    assert 400 == post(one).status_code
    assert 400 == post(one, verdict="maybe").status_code
    assert 400 == post(other, verdict="approved").status_code
    assert 404 == post("missing", verdict="approved").status_code
    assert 303 == post(one, verdict="approved").status_code
    again = post(one, verdict="denied")
    assert 409 == again.status_code
    assert "is already approved by alice" in again.text
    assert 409 == post(late, verdict="approved", digest=approvals.find(database, late).digest).status_code
    assert ["approved", None, "expired"] == [approvals.find(database, each).decision for each in (one, other, late)]


def shown(database, *identifiers):
    return ",".join(f"{each}:{approvals.find(database, each).digest}" for each in identifiers)


def test_deciding_all_of_a_run(sign_in, submitted, asking, database):
    """A run's page can decide all its questions at once; if one of them was decided meanwhile, none is changed."""
    run = submitted(by="bob")
    three = [asking(run) for _ in range(3)]
    visitor = sign_in("alice")
    page = visitor.get(f"/runs/{run}").text
    form = page.partition(f'action="/runs/{run}/decide"')[2].partition("</form>")[0]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    assert shown(database, *three) == fields["questions"]
    assert "Approve all 3</button>" in form

    assert 303 == decide(visitor, three[0], "denied").status_code
    assert 409 == visitor.post(f"/runs/{run}/decide", {**fields, "verdict": "approved"}).status_code
    assert [None, None] == [approvals.find(database, each).decision for each in three[1:]]

    rest = {**fields, "questions": shown(database, *three[1:]), "verdict": "approved"}
    assert 403 == sign_in("bob").post(f"/runs/{run}/decide", rest).status_code
    answer = visitor.post(f"/runs/{run}/decide", rest)
    assert (303, f"/runs/{run}?said=approved") == (answer.status_code, answer.headers["location"])
    assert ["approved", "approved"] == [approvals.find(database, each).decision for each in three[1:]]


@pytest.mark.parametrize(
    ("name", "settings", "status"),
    [
        ("alice", "", 303),
        ("alice", '[approvals]\napprovers = ["bob"]\n', 403),
        ("bob", '[approvals]\napprovers = ["bob"]\nown = true\n', 303),
        ("bob", "", 403),  # bob submitted the run
        ("bob", "[approvals]\nown = true\n", 303),
        ("read", "", 403),
    ],
)
def test_who_may_decide(sign_in, submitted, asking, database, name, settings, status):
    """The configuration decides by the name that belongs to the secret; readers may never decide, and submitters not by
    default."""
    run = submitted(by="bob")
    identifier = asking(run)
    visitor = sign_in(name, settings)
    fields = {"csrf": visitor.token("/"), "questions": shown(database, identifier), "verdict": "approved"}

    assert status == visitor.post(f"/approvals/{identifier}", fields).status_code
    assert ("approved" if status == 303 else None) == approvals.find(database, identifier).decision
    assert ("Approve</button>" in visitor.get("/approvals").text) == (name != "read" and status == 403)


def test_approvers_of_a_run(sign_in, submitted, asking, database):
    """The page shows who may decide. Other people are refused with a message that names the approvers, even if they
    forge the form."""
    identifier = asking(submitted(by="carol"))
    database.rows("UPDATE approvals SET approvers = %s, own = false", (["bob", "carol"],))
    alice, bob = sign_in("alice"), sign_in("bob")
    fields = {"questions": shown(database, identifier), "verdict": "approved"}
    refused = alice.post(f"/approvals/{identifier}", {**fields, "csrf": alice.token("/")})

    assert "<dt>May decide</dt><dd>bob</dd>" in alice.get("/approvals").text
    assert (403, True) == (
        refused.status_code,
        "alice may not decide this: not among the approvers of this run (bob, carol)" in refused.text,
    )
    assert 303 == bob.post(f"/approvals/{identifier}", {**fields, "csrf": bob.token("/")}).status_code


def test_without_a_login(sign_in, submitted, asking, database):
    """Without a login the decision is recorded for the user who runs the console, with a note that there was no
    login."""
    identifier = asking(submitted())

    assert 303 == decide(sign_in(), identifier, "denied", "too dear").status_code
    found = approvals.find(database, identifier)
    assert (approvers.current(), "kosmo serve without a login") == (found.decided_by, found.acting)


def test_hostile_questions(sign_in, submitted, asking, database):
    """Arguments and reasons are shown as text, whatever they contain."""
    from test_pages import MARKUP, check_harmless

    run = submitted(MARKUP)
    identifier = asking(run, MARKUP, arguments=MARKUP, why=MARKUP, account=MARKUP, rule=MARKUP)
    visitor = sign_in()
    for path in ("/approvals", f"/approvals/{identifier}", f"/runs/{run}", "/"):
        check_harmless(visitor.get(path).text)
    assert 303 == decide(visitor, identifier, "denied", MARKUP).status_code
    check_harmless(visitor.get("/approvals").text)
    check_harmless(visitor.get(f"/approvals/{identifier}").text)


# Schedules ----------------------------------------------------------------------------------------------------------


def plan(database, name="nightly", **more):
    head = Head(script="/flows/nightly.lua", source=b"return 1", args=["a"])
    schedules.add(database, NewSchedule(name=name, cron="0 3 * * *", head=head, zone="Europe/Berlin", **more))


def test_without_schedules(sign_in):
    """If there are no schedules, the page shows how to add one."""
    assert "kosmo schedule add nightly" in sign_in().get("/schedules").text


def test_schedules(sign_in, database):
    """Each schedule shows its next run, its last result, and buttons to pause it, resume it and run it now."""
    plan(database)
    visitor = sign_in("alice")
    page = visitor.get("/schedules").text
    for words in ("nightly", "0 3 * * *", "Europe/Berlin", "nightly.lua", "Run now", "Pause"):
        assert words in page

    def act(action):
        answer = visitor.post(f"/schedules/nightly/{action}", {"csrf": visitor.token("/schedules")})
        return answer.status_code, schedules.listed(database, "nightly")[0]

    assert (303, True) == (act("pause")[0], act("pause")[1].paused)
    assert '<b class="state paused">paused</b>' in visitor.get("/schedules").text
    assert (303, False) == (act("resume")[0], act("resume")[1].paused)
    status, found = act("run")
    assert (303, "ready") == (status, found.last_state)
    assert f"/runs/{found.last_run}" in visitor.get("/schedules?said=run").text
    assert 404 == act("remove")[0]
    assert 404 == visitor.post("/schedules/other/run", {"csrf": visitor.token("/schedules")}).status_code


def test_schedules_of_a_reader(sign_in, database):
    """A reader sees no buttons for schedules, and a forged form changes nothing."""
    plan(database)
    visitor = sign_in("read")

    assert "Run now" not in visitor.get("/schedules").text
    assert 403 == visitor.post("/schedules/nightly/run", {"csrf": visitor.token("/")}).status_code
    assert schedules.listed(database, "nightly")[0].last_run is None
