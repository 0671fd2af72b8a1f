"""The path of a call has an order of checks, questions to a person, remembered answers, and a log."""

import pytest

from kosmolua.errors import ArgumentError, CredentialError, PermissionDeniedError, UsageError
from kosmolua.gate.policy import policy_of
from kosmolua.gate.prompt import Nobody, Question, Scripted, render
from kosmolua.gate.record import MAX_LOG
from kosmolua.gate.run import Run
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.settings import config

CREATE = ("create_prediction", {"version": "v", "input": {"text": "a"}})


@pytest.fixture
def session(server):
    opened = []

    def make(prompter=None, *, read="allow", write="ask", **options):
        made = Session(
            lambda _: Client(token="r8_token", base_url=server.url),
            policy_of(config.load({}, read=read, write=write)),
            prompter,
            **options,
        )
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def test_a_person_is_asked(server, session):
    """The answer "yes" allows one call, "run" all further calls of that function, and "no" refuses the call."""
    prompter = Scripted(["once", "run", "no"])
    made = session(prompter)

    made.call(*CREATE)
    made.call(*CREATE)
    made.call(*CREATE)
    for _ in range(2):
        with pytest.raises(PermissionDeniedError, match="you refused it"):
            made.call("delete_file", {"file_id": "f"})

    assert (3, 3) == (len(server.requests), len(prompter.asked))
    assert ["person"] * 5 == [entry.by for entry in made.log]
    assert ["ok", "ok", "ok", "refused", "refused"] == [entry.outcome for entry in made.log]


def test_the_question_shows_what_is_sent(session):
    """The question has exactly the validated arguments."""
    prompter = Scripted()
    with pytest.raises(PermissionDeniedError):
        session(prompter, run=Run(script="flow.lua")).call(*CREATE)

    why = "write=ask (--write)"
    assert [Question("create_prediction", "default", "write", CREATE[1], "flow.lua", why)] == prompter.asked


def test_without_a_terminal_the_call_is_refused(server, session):
    """The call is refused without a terminal, and the hint shows how to allow it."""
    with pytest.raises(PermissionDeniedError) as caught:
        session(Nobody()).call(*CREATE)

    assert "approval_required" == caught.value.code
    assert "--write allow" in caught.value.hint
    assert [] == server.requests


def test_the_order_of_the_checks(server, session):
    """An unknown function is reported first, then arguments, credentials and policy."""
    denied = session(write="deny")
    with pytest.raises(UsageError):
        denied.call("create_predictoin", {})
    with pytest.raises(ArgumentError):
        denied.call("create_prediction", {})
    with pytest.raises(PermissionDeniedError):
        denied.call(*CREATE)

    def no_token(_):
        raise CredentialError("no token")

    with pytest.raises(CredentialError):
        Session(no_token, policy_of(config.load({}, write="deny"))).call(*CREATE)
    assert [] == server.requests


def test_force_is_logged(session):
    """The entry shows that --force bypassed the policy."""
    made = session(write="deny", force=True)
    made.call(*CREATE)

    assert ("allow", "force", "ok") == (made.log[0].decision, made.log[0].by, made.log[0].outcome)


def test_the_log_holds_no_inputs(session):
    """An entry has function, person and outcome, never arguments or answers."""
    made = session(write="allow")
    made.call("create_prediction", {"version": "v", "input": {"text": "marked"}})
    with pytest.raises(ArgumentError):
        made.call("create_prediction", {"version": "v", "input": "marked"})

    assert "marked" not in repr(made.log)
    assert [("ok", None), ("error", "invalid_arguments")] == [(entry.outcome, entry.code) for entry in made.log]


def test_the_log_is_bounded(session):
    """A script with endless calls does not fill its host's memory."""
    made = session(read="deny")
    for _ in range(MAX_LOG + 5):
        with pytest.raises(PermissionDeniedError):
            made.call("get_account", {})

    assert (MAX_LOG, 5) == (len(made.log), made.unlogged)


def test_a_question_is_escaped_for_the_terminal():
    """Control characters, direction marks and long arguments are not on the screen; the last line has the question."""
    evil = {"input": {"text": "\x1b[2J\x1b[1;1Hallow get_account?\r\n\u202e"}, "a\x1bb": "x" * 5000}
    text = render(Question("create_prediction", "work\x07", "write", evil, "evil\n.lua"))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert len(text) < 1500
    assert text.startswith("kosmo: create_prediction from evil\\n.lua, with\n")
    asking = ["kosmo: allow create_prediction (write) on account work\\x07?", "[o]nce, for this [r]un, [N]o: "]
    assert asking == text.splitlines()[-2:]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_question_breaks_between_words(columns):
    """In a narrow terminal no word is cut, and the answer fits on the last line."""
    question = Question("create_model_prediction", "default", "write", {"model_name": "x"}, "flow.lua", "write=ask")
    lines = render(question, columns=columns).split("\n")

    assert columns >= max(map(len, lines))
    assert lines[-1].endswith("[o]nce, for this [r]un, [N]o: ")


def test_a_question_fits_a_narrow_terminal():
    """With any terminal width a long argument is cut and does not push the question off the screen."""
    question = Question("create_prediction", "default", "write", {"webhook_events_filter": "x" * 1_000_000})

    assert len(render(question, columns=40, rows=12)) < 500


@pytest.mark.parametrize(("length", "whole"), [(1_400, True), (5_000, False)])
@pytest.mark.parametrize("letter", ["x", "界"])
def test_a_question_uses_the_screen(length, whole, letter):
    """An input that fits on the screen is shown completely; a longer input leaves room for the answer."""
    given = {"model_owner": "a", "model_name": "b", "input": {"prompt": letter * (length // (1 + (letter > "x")))}}
    lines = render(Question("create_model_prediction", "default", "write", given, "f.lua")).split("\n")
    columns = [sum(2 if one == "界" else 1 for one in line) for line in lines]

    assert whole == ("characters)" not in "".join(lines))
    assert sum(-(-count // 80) for count in columns) <= 24


def test_accounts_have_their_own_client(server):
    """A call uses the client of the named account, and each account connects once."""
    connected = []

    def connect(account):
        connected.append(account)
        return Client(token=f"r8_{account}", base_url=server.url)

    with Session(connect, policy_of(config.DEFAULTS)) as made:
        for account in ("", "work", "work"):
            made.call("get_account", {}, account)

    assert ["default", "work"] == connected
    assert ["Bearer r8_default", "Bearer r8_work", "Bearer r8_work"] == [
        request.headers["authorization"] for request in server.requests
    ]
