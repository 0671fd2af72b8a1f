"""Every failure on the path of a call becomes a recorded error with a code, loses no answer, and leaves the host
running.
"""

import json
from collections.abc import Mapping

import msgspec
import pytest
from recording_server import Answer

from kosmolua.cli.options import Options
from kosmolua.errors import (
    ApiError,
    InternalError,
    KosmoError,
    PermissionDeniedError,
    SystemFailureError,
    UncertainError,
    failure_of,
)
from kosmolua.gate.audit import Audit, Origin, read
from kosmolua.gate.budget import Budget
from kosmolua.gate.entry import Entry
from kosmolua.gate.files import Files
from kosmolua.gate.policy import Policy, policy_of
from kosmolua.gate.run import Reply, Run
from kosmolua.gate.session import Session
from kosmolua.repl.calls import Calls
from kosmolua.replicate.client import Client
from kosmolua.services.services import Services
from kosmolua.settings import config

TOKEN = "r8_token-of-tests"
CREATE = ("create_prediction", {"version": "v", "input": {"text": "a"}})
MADE = json.dumps({"id": "p1", "status": "starting"}).encode()
KINDS = [ValueError("odd"), RecursionError("deep"), OverflowError("large"), MemoryError(), OSError(28, "No space left")]


class Once:
    """An object that raises on the first call and then returns the real object."""

    def __init__(self, error, behind=lambda *_: None):
        self.error, self.behind, self.calls = error, behind, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == 1:
            raise self.error
        return self.behind(*arguments)


class Arguments(Mapping):
    """A mapping from the embedding program that cannot be read."""

    def __init__(self, error):
        self._raise = Once(error)

    def __getitem__(self, name):
        return self._raise(name)

    def __iter__(self):
        return iter(["version"])

    def __len__(self):
        return 1


class BrokenClient(Client):
    """A client that fails before anything is sent."""

    def __init__(self, error, **options):
        super().__init__(**options)
        self._fail = Once(error, super().send)

    def send(self, operation, arguments):
        return self._fail(operation, arguments)


class BrokenBudget(Budget):
    """A budget that fails at one of its two steps."""

    def __init__(self, step, error):
        super().__init__()
        setattr(self, step, Once(error, getattr(super(), step)))


class BrokenFiles(Files):
    """Files on a disk that cannot be read."""

    def content(self, path, *, limit=0):
        raise OSError(5, "Input/output error", path)

    read = content


class BrokenTicket:
    """A journal entry that fails at a given step."""

    def __init__(self, step, error):
        self.open, self.unsure, self._fail = [], False, {step: Once(error)}

    def send(self, *given):
        self._fail.get("send", lambda *_: None)(*given)

    def claim(self, identifier):
        self._fail.get("claim", lambda *_: None)(identifier)

    def turn(self):
        from contextlib import nullcontext

        return nullcontext()


class Asked:
    """A prompter with the given method."""

    def __init__(self, ask):
        self.ask = ask


@pytest.fixture
def road(server, tmp_path):
    """Make sessions of a real client with an audit log in a file; `road.audit` reads the log."""
    server.default = Answer(201, MADE)
    opened = []

    def make(prompter=None, *, connect=None, write="allow", **options):
        client = options.pop("client", Client)
        options.setdefault("audit", Audit(str(tmp_path / "audit.jsonl"), Origin("run"), print))
        policy = options.pop("policy", policy_of(config.load({}, read="allow", write=write)))
        made = Session(
            connect or (lambda _: client(token=TOKEN, base_url=server.url)),
            policy,
            prompter,
            **options,
        )
        opened.append(made)
        return made

    make.audit = lambda: [(entry["function"], entry.get("code")) for entry in read(str(tmp_path / "audit.jsonl"))]
    yield make
    for made in opened:
        made.close()


def failing(road, server, step, error):
    """A session that fails at this step of its first call, and the call's arguments."""
    arguments, options = CREATE[1], {}
    match step:
        case "arguments":
            arguments = Arguments(error)
        case "connect":
            options["connect"] = Once(error, lambda _: Client(token=TOKEN, base_url=server.url))
        case "reserve" | "settle":
            options["budget"] = BrokenBudget(step, error)
        case "send":
            options["client"] = lambda **given: BrokenClient(error, **given)
        case "prompter":
            options |= {"prompter": Asked(Once(error, lambda _: "once")), "write": "ask"}
        case "remember":
            options |= {"prompter": Asked(lambda _: "always"), "write": "ask", "remember": Once(error)}
        case "on_call":
            options["on_call"] = Once(error)
        case "audit":
            options["audit"] = Audit("/dev/null/audit.jsonl", Origin("run"), Once(error))
        case "watcher" | "watcher begins":
            options["watcher"] = type("Watcher", (), {"begins": print, "ended": print})()
            setattr(options["watcher"], "begins" if step.endswith("begins") else "ended", Once(error))
    return road(options.pop("prompter", None), **options), arguments


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["arguments", "connect", "prompter", "remember", "reserve", "send"])
def test_a_failure_before_the_answer_is_an_error_with_a_code(road, server, step, error):
    """The failure is recorded under its code, and the session's next call works."""
    session, arguments = failing(road, server, step, error)
    with pytest.raises(KosmoError) as caught:
        session.call("create_prediction", arguments)
    session.call(*CREATE)

    system = isinstance(error, MemoryError | OSError)
    code = "permission_denied" if step == "prompter" else "system_error" if system else "internal_error"
    assert (code, "create_prediction") == (caught.value.code, caught.value.function)
    assert [code, None] == [entry.code for entry in session.log]
    assert [("create_prediction", code), ("create_prediction", None)] == road.audit()


@pytest.mark.parametrize("step", ["settle", "on_call", "audit", "note", "watcher", "watcher begins"])
def test_a_failure_after_the_answer_keeps_the_answer(road, server, step):
    """The answer is returned, the call is logged, and the exception is kept."""
    error = ValueError("mine")
    session, _ = failing(road, server, step, error)
    reply = session.call(*CREATE, note=Once(error) if step == "note" else None)

    assert "p1" == reply.data["id"]
    assert ["ok"] == [entry.outcome for entry in session.log]
    assert error is session.raised


def test_a_bug_says_where_to_report_it(road, server):
    """The message says that it is a bug and where to report it; the stack names no directory."""
    session, arguments = failing(road, server, "send", ValueError("odd"))
    with pytest.raises(InternalError) as caught:
        session.call("create_prediction", arguments)

    error = caught.value
    assert "create_prediction: ValueError: odd. This is a bug in kosmolua" == error.message
    assert "/issues" in error.hint
    assert error.detail.startswith("kosmolua/gate/sender.py:")
    assert "test_road_failures.py" in error.detail
    assert __file__ not in error.detail


def test_a_token_in_an_exception_is_not_shown(road, server):
    """Neither the message nor the stack shows the token."""
    session, arguments = failing(road, server, "send", ValueError(f"Bearer {TOKEN}"))
    with pytest.raises(InternalError) as caught:
        session.call("create_prediction", arguments)

    assert TOKEN not in f"{caught.value} {caught.value.to_dict()}"


def test_a_failed_create_counts_as_uncertain(road, server):
    """A create that failed may have been sent, so it does not count as refused."""
    session, arguments = failing(road, server, "send", ValueError("odd"))
    with pytest.raises(InternalError):
        session.call("create_prediction", arguments)

    assert 1 == session.budget.unanswered()


@pytest.mark.parametrize("step", ["send", "claim"])
def test_a_failing_journal_is_an_error(road, step):
    """The exception of a journal becomes an error of the call."""
    session, ticket = road(), BrokenTicket(step, ValueError("odd"))
    with pytest.raises(InternalError):
        session.call(*CREATE, ticket=ticket)

    assert ticket.unsure


def test_files_that_cannot_be_read(road, tmp_path):
    """The error has the system's message and the file's name."""
    session = road(run=Run(files=BrokenFiles([str(tmp_path)], [])))
    with pytest.raises(SystemFailureError, match=r"create_file: Input/output error: 'a\.txt'"):
        session.call("create_file", {"path": "a.txt"})


def test_a_failing_policy_sends_nothing(road, server):
    """If the policy fails, nothing is sent."""

    with pytest.raises(InternalError):
        road(policy=Policy(Arguments(ValueError("odd")))).call("get_account", {})

    assert [] == server.requests


def test_a_failing_prompter_sends_nothing(road, server):
    """The prompter's exception is the cause of the error, and is kept for the prompter's owner."""
    error = TypeError("no word")
    session, arguments = failing(road, server, "prompter", error)
    with pytest.raises(PermissionDeniedError, match="the prompter failed: TypeError: no word") as caught:
        session.call("create_prediction", arguments)

    assert [] == server.requests
    assert error is caught.value.__cause__ is session.fault
    assert "refused" == session.log[0].outcome


@pytest.mark.parametrize("function", [None, 1, b"get_account", ["get_account"]])
def test_a_name_of_another_type(road, function):
    """A name that is not text counts as an unknown function."""
    with pytest.raises(KosmoError, match="expected the name of a function"):
        road().call(function, {})


def test_an_interrupt_is_recorded_as_an_interrupt(road, server):
    """Ctrl-C is not a failure of the call, and is recorded as an interrupt."""
    session, arguments = failing(road, server, "send", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.call("create_prediction", arguments)

    assert [("create_prediction", "interrupted")] == road.audit()


@pytest.mark.parametrize(
    "answer", [b"{}", b'{"id": null}', b'{"id": ""}', b'{"id": [1], "status": {}}', b'{"id": ".."}', b"[]"]
)
def test_a_create_that_is_answered_without_an_id(road, server, answer):
    """The prediction may exist with an unknown id: the call is uncertain, and is not resent."""
    server.default = Answer(201, answer)
    with pytest.raises(UncertainError, match="the API answered 201 with JSON that has no usable id"):
        road().call(*CREATE)

    assert ["POST"] == [request.method for request in server.requests if request.method == "POST"]


def test_an_error_of_the_api_is_not_a_bug(road, server):
    """An expected error is not reported as a bug."""
    server.default = Answer(404, b"{}")
    with pytest.raises(ApiError):
        road().call("get_account", {})


# Other services -------------------------------------------------------------------------------------------------------


def test_a_failing_service_is_an_error(road, tmp_path):
    """The exception becomes an error with a code, recorded under the service's name, and the next call works."""
    session = road()
    services = Services(BrokenFiles([str(tmp_path)], []), str(tmp_path), lambda: session)
    asked = msgspec.msgpack.encode({"name": "util"})
    with pytest.raises(SystemFailureError, match="require: Input/output error"):
        services("host.require", asked)

    assert [("require", "system_error")] == road.audit()
    assert services("host.docs", msgspec.msgpack.encode({"action": "list"}))


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_a_prompt_whose_session_cannot_be_opened(error):
    """The input gets an error, and the next input may open the session."""
    session = type(
        "Opened", (), {"raised": None, "call": lambda *_, **__: Reply({"ok": 1}, Entry("f", "a", "read", 0.0))}
    )()
    hosts = type("Hosts", (), {"session": Once(error, lambda *_: session)})()
    calls = Calls(Options(), hosts)
    with pytest.raises(KosmoError):
        calls("get_account", "", b"\x80")

    assert {"ok": 1} == calls("get_account", "", b"\x80")


def test_a_failure_after_an_answer_is_reported_by_the_next_call(road):
    """The failure is reported once, by the next call."""
    session = road()
    calls = Calls(Options(), type("Hosts", (), {"session": lambda *_: session})())
    calls.seen = Once(ValueError("odd"))

    assert "p1" == calls("get_account", "", b"\x80")["id"]
    with pytest.raises(InternalError, match="after an earlier call: ValueError: odd"):
        calls("get_account", "", b"\x80")
    assert "p1" == calls("get_account", "", b"\x80")["id"]


def test_a_removed_directory(tmp_path, monkeypatch):
    """The system's error for a removed directory, which has no name, is reported as a sentence."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Files()

    assert "run: the current directory no longer exists" == failure_of(caught.value, "run").message
