"""An exception at any step of a call becomes, at every interface, an error with a code and the place to report it.
The call is recorded, and the interface continues to work.

The interpreter's trace raises the exception as a function begins: see `faults`.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from zlib import crc32

import faults
import pytest
from recording_server import Answer
from surroundings import clean_environment
from tmux import Screen
from waiting import wait_until

from kosmolua import Host
from kosmolua.errors import CODES, ISSUES_URL, KosmoError
from kosmolua.gate.audit import read
from kosmolua.host.caller import CALLER

CREATE = ("create_prediction", {"version": "v", "input": {"text": "a"}})
PREDICTION = b'{"id": "p1", "status": "succeeded", "output": "x"}'
BUG = "This is a bug in kosmolua"
SCRIPT = """
local seen = {}
for _, f in ipairs {
  function() integrations.replicate.create_prediction { version = "v", input = { text = "a" } } end,
  function() require("util") end,
  function() docs.search("wait") end,
} do
  local ok, failure = pcall(f)
  seen[#seen + 1] = ok and "ok" or failure.code
end
return seen
"""
SEEN = ["ok", "permission_denied", "ok"]
# Functions outside of the error handling, or the error handling itself.
OUTSIDE = {
    "host/calls.py:DirectCalls.call", "host/calls.py:DirectCalls.request", "host/host.py:Host.run",
    "host/host.py:_check_text",
    "host/explained.py:explained", "host/host.py:_close",
    "host/script.py:ScriptRun.result", "host/script.py:ScriptRun.steps", "runtime/resting.py:carried_out",
    "host/script.py:ScriptRun._finish", "host/script.py:ScriptRun._checked",
    "errors.py:release", "gate/session.py:Session.raised", "gate/session.py:Session.fault",
    "runtime/watchdog.py:Watchdog._watch", "runtime/watchdog.py:Watchdog._guard", "runtime/lane.py:Lane._serve",
    "host/host.py:Host._ready",
    "host/journals.py:opened",
    "host/journals.py:_close",
}  # fmt: skip


# After these steps a run searches the account for what it created, which takes seconds.
JOURNAL = ("journal/", "runtime/tape.py", "services/keeping.py")
SEARCHED = {
    "gate/sender.py:Sender._note_creation", "replicate/ids.py:id_of",
    "gate/lost.py:Creations.lose", "gate/lost.py:Creations.end",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_run_of_this_thread():
    """An exception in the step that leaves a run keeps that run as this thread's run; later tests must not see it."""
    yield
    CALLER.stop = CALLER.meter = None


@pytest.fixture
def api(server):
    server.default = Answer(201, PREDICTION)
    return server


@pytest.fixture
def host(api):
    with Host(url=api.url, token="r8_token-of-tests", read="allow", write="allow", on_notice=lambda _: None) as made:
        yield made


@pytest.fixture
def recorded(tmp_path):
    """The function and code of each new entry in the audit log."""
    seen = []

    def new():
        entries = [(entry["function"], entry.get("code")) for entry in read(str(tmp_path / "state" / "audit.jsonl"))]
        found = entries[len(seen) :]
        seen[:] = entries
        return found

    return new


def outcome(step, action, *arguments):
    """The result of an action, or its error, which has a code and, for a bug, the place to report it."""
    try:
        return action(*arguments)
    except Exception as error:  # noqa: BLE001 - of which kind is the question
        return checked(error, step)


def checked(error, step):
    assert isinstance(error, KosmoError), f"{step}: {error!r}"
    assert error.code in CODES
    assert (error.code == "internal_error") == (BUG in error.message)
    assert (error.code == "internal_error") == (ISSUES_URL in (error.hint or ""))
    return error


def steps_of(action, *arguments):
    """The steps of an action without module loading, each with an exception type that is not converted."""
    action(*arguments)
    with faults.steps() as found:
        action(*arguments)
    kinds = [*faults.KINDS]
    return [(step, kinds[crc32(step.encode()) % len(kinds)]) for step in found if step not in OUTSIDE]


# Python ---------------------------------------------------------------------------------------------------------------


def test_every_step_of_a_call(host, recorded):
    """Each step of a call fails once. From the decision to the answer the failure is recorded under its code; later
    failures keep the answer; the next call works.
    """
    outcomes, steps = [], steps_of(host.call, *CREATE)
    with faults.Faults().installed() as fault:
        for step, kind in steps:
            recorded()
            fault.arm(step, kind)
            found = outcome(step, host.call, *CREATE)
            entries = recorded()

            assert (step, True) == (step, fault.raised)
            assert (step, "p1") == (step, host.call(*CREATE)["id"])
            outcomes.append((getattr(found, "code", None), [code for _, code in entries]))

    codes = [code for code, _ in outcomes]
    assert {None, "internal_error", "system_error", "uncertain"} == {*codes}
    assert 80 < sum(code is not None and [code] == entries for code, entries in outcomes)
    assert 15 > sum(code is not None and [] == entries for code, entries in outcomes)  # before it was resolved
    assert 15 < codes.count(None)


@pytest.mark.parametrize("journal", [None, "run"])
def test_every_step_of_a_run(host, tmp_path, journal):
    """Each step of a run fails once, as an error that the script catches or that ends the run; the next call works.
    With a journal the steps are the journal's.
    """
    numbers = iter(range(10_000))

    def run():
        return host.run(SCRIPT, journal=journal and str(tmp_path / f"{journal}{next(numbers)}"))

    ended = []
    steps = [
        each for each in steps_of(run) if each[0] not in SEARCHED and each[0].startswith(JOURNAL if journal else "")
    ]
    with faults.Faults().installed() as fault:
        for step, kind in steps:
            fault.arm(step, kind)
            found = outcome(step, run)
            error = getattr(found, "error", found)
            ended.append(checked(error, step).code if error else found.results[0])
            fault.arm(None)

            assert (step, "p1") == (step, host.call(*CREATE)["id"])

    assert SEEN == run().results[0]
    of_run = ended.count("internal_error") + ended.count("system_error")
    of_call = sum(isinstance(seen, list) and seen[0] != "ok" for seen in ended)
    assert (20 if journal else 50) < of_run
    assert journal or 50 < of_call


# The command line ----------------------------------------------------------------------------------------------------

FLOW = "integrations.replicate.create_prediction { version = 'v', input = {} } return 'done'"
LUA = ["lua", "--json", "--write", "allow", "-e", FLOW]
TEXT = ["lua", "--write", "allow", "-e", FLOW]
CALL = ["integrations:call", "replicate.create_prediction", "--version", "v", "--input", "{}", "--write", "allow"]
REPORT = [*LUA, "--report", "run.html"]


def environment_of(home, url):
    reach = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_token-of-tests"}
    return {**clean_environment(home), **reach, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


@pytest.mark.parametrize(
    ("step", "argv"),
    [
        ("cli/__init__.py:_dispatch", LUA),
        ("cli/lua.py:_source", LUA),
        ("cli/host.py:host_of", LUA),
        ("host/host.py:Host.script", LUA),
        ("runtime/isolate.py:Child._serve", LUA),
        ("runtime/watchdog.py:Watchdog._pause", LUA),
        ("gate/permission.py:Permission.check", LUA),
        ("gate/sender.py:Sender.send", TEXT),
        ("replicate/answers.py:read", LUA),
        ("gate/session.py:Session.close", TEXT),
        ("cli/results.py:_envelope", LUA),
        ("host/sessions.py:Sessions.open", [*CALL, "--json"]),
        ("gate/policy.py:decide", [*CALL, "--json"]),
        ("replicate/connection.py:Connection.read_head", [*CALL, "--json"]),
        ("cli/call.py:read", CALL),
        ("replicate/request.py:build", CALL),
        ("host/report.py:write", REPORT),
        ("host/report.py:_page", REPORT),
        ("services/progress.py:Progress.ended", REPORT),
    ],
)
def test_a_command(api, tmp_path, step, argv):
    """A single message or envelope has the code, the place to report the fault, and the exit status of a failure."""
    (tmp_path / "fault").write_text(f"{step} ValueError")
    ran = subprocess.run(
        [sys.executable, faults.__file__, "fault", *argv], capture_output=True, text=True, check=False, timeout=60,
        cwd=tmp_path, env=environment_of(tmp_path, api.url),
    )  # fmt: skip

    assert (tmp_path / "fault.raised").exists()
    assert (step, 1, False) == (step, ran.returncode, "Traceback" in ran.stdout + ran.stderr)
    if "--json" in argv and argv is not REPORT:
        told = json.loads(ran.stdout)
        assert (False, "internal_error", ISSUES_URL) == (told["success"], told["code"], ISSUES_URL)
    assert BUG in ran.stdout + ran.stderr
    assert ISSUES_URL in ran.stdout + ran.stderr


# Interfaces that continue to work
# ------------------------------------------------------------------------------------------------


class Armed:
    """A program with faults: `arm` sets a fault while the program waits."""

    def __init__(self, directory, pid):
        self._file, self._raised = directory / "fault", directory / "fault.raised"
        self._pid = pid

    def arm(self, step, kind="ValueError"):
        self._raised.unlink(missing_ok=True)
        self._file.write_text(f"{step} {kind}")
        os.kill(self._pid, signal.SIGUSR2)
        wait_until(lambda: not self._file.exists())

    @property
    def raised(self):
        return self._raised.exists()


class Server:
    """An MCP server over its standard streams."""

    def __init__(self, process):
        self._process, self._number = process, 0

    def ask(self, method, **params):
        self._number += 1
        self.tell(method, id=self._number, **params)
        while (answer := json.loads(self._process.stdout.readline())).get("id") != self._number:
            pass
        return answer

    def tell(self, method, id=None, **params):  # noqa: A002 - of the protocol
        message = {"jsonrpc": "2.0", "method": method, "params": params, **({"id": id} if id else {})}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def call(self, tool, **arguments):
        """The data from a tool, or the message of the tool's failure."""
        found = self.ask("tools/call", name=tool, arguments=arguments)["result"]["structuredContent"]
        return found.get("data", found.get("result")) if found["success"] else found


@contextmanager
def serving(directory, url, *flags):
    with subprocess.Popen(
        [sys.executable, faults.__file__, str(directory / "fault"), "mcp:serve", "--write", "allow", *flags],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=directory,
        env=environment_of(directory, url),
    ) as process:  # fmt: skip
        server = Server(process)
        client = {"name": "t", "version": "1"}
        server.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        server.tell("notifications/initialized")
        yield server, Armed(directory, process.pid)
        process.stdin.close()
        assert "Traceback" not in process.stderr.read()


ROAD = [
    "host/sessions.py:Sessions.open",
    "mcp/service.py:Service._call", "host/calls.py:DirectCalls.request", "host/calls.py:DirectCalls._session",
    "host/calls.py:DirectCalls._calling", "gate/session.py:Session._validated",
    "replicate/structs.py:decode_arguments", "gate/permission.py:Permission.check", "gate/policy.py:decide",
    "gate/uploads.py:Uploads.replaced", "gate/sender.py:Sender.send", "gate/budget.py:Budget.reserve",
    "replicate/client.py:Client.send", "replicate/request.py:build", "replicate/retry.py:RetryTransport.send",
    "replicate/connection.py:Connection.send", "replicate/connection.py:Connection.read_head",
    "replicate/answers.py:read", "gate/record.py:Record.add", "mcp/content.py:of_answer",
]  # fmt: skip
CODE = [
    "mcp/service.py:Service._code", "mcp/code.py:checked", "host/host.py:Host.script", "host/script.py:ScriptRun._run",
    "runtime/isolate.py:Child._serve", "host/handler.py:ScriptHandler._called", "gate/policy.py:decide",
    "gate/sender.py:Sender.send", "host/script.py:ScriptRun._leave", "mcp/content.py:of_run",
]  # fmt: skip


LISTS = {
    "tools/list": "mcp/service.py:Service._list_tools",
    "resources/list": "mcp/resources.py:listed",
    "prompts/list": "mcp/service.py:Service._list_prompts",
}


def is_bug(error):
    text = json.dumps(error)
    return "internal_error" in text and BUG in text and ISSUES_URL in text


def test_a_tool(api, tmp_path, recorded):
    """The result is an error with a code, the call is recorded, and the next call works."""
    arguments = CREATE[1]
    with serving(tmp_path, api.url) as (server, armed):
        offered = [each["name"] for each in server.ask("tools/list")["result"]["tools"]]
        (tool,) = [name for name in offered if name.endswith("create_prediction")]
        for step in ROAD:
            recorded()
            armed.arm(step)
            error = server.call(tool, **arguments)

            assert (step, True, True) == (step, armed.raised, is_bug(error))
            assert (step, "p1") == (step, server.call(tool, **arguments)["id"])
            assert (step, 1) == (step, recorded().count(("create_prediction", None)) - ("of_answer" in step))
        for method, step in LISTS.items():
            armed.arm(step)
            assert (method, True) == (method, is_bug(server.ask(method)["error"]))
            assert "result" in server.ask(method)


def test_a_tool_that_runs_lua(api, tmp_path):
    """The result has the script's or run's error, and the next script runs."""
    with serving(tmp_path, api.url, "--code") as (server, armed):
        for step in CODE:
            armed.arm(step)
            error = server.call("execute_lua", source=FLOW)

            assert (step, True, True) == (step, armed.raised, is_bug(error))
            assert (step, "done") == (step, server.call("execute_lua", source=FLOW))


INPUTS = [
    "repl/shell.py:Shell.evaluate", "runtime/interactive.py:Interpreter._evaluated", "repl/calls.py:Calls._tracking",
    "host/handler.py:ScriptHandler._called", "gate/session.py:Session._validated", "gate/policy.py:decide",
    "gate/sender.py:Sender.send", "replicate/answers.py:read", "repl/render.py:render", "repl/shell.py:Shell._note",
    "repl/calls.py:Calls.__call__",
]  # fmt: skip


def test_an_input_at_a_terminal(api, tmp_path):
    """The input gets the error, and the prompt accepts the next input."""
    screen = prompt(tmp_path, api.url)
    try:
        armed = Armed(tmp_path, screen.pid)
        for number, step in enumerate(INPUTS):
            armed.arm(step)
            screen.enter("integrations.replicate.create_prediction{ version = 'v', input = {} }.id", BUG)
            assert (step, True) == (step, armed.raised)
            screen.enter(f"print('still ' .. {number})", f"still {number}")
            screen.press("C-l")
            screen.wait_for("in[", without=BUG)
    finally:
        screen.close()


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("repl/shell.py:Shell.status", ""),  # the next key redraws it
        ("repl/line.py:Line._enter", BUG),
        ("repl/shell.py:Shell.is_complete", BUG),
        ("repl/completion.py:complete", ""),
        ("repl/line.py:_Lexer._fragments", ""),
        ("repl/line.py:_Brackets._marked", ""),
    ],
)
def test_a_line_at_a_terminal(api, tmp_path, step, shown):
    """A failure during typing shows no traceback, and the typed line remains."""
    screen = prompt(tmp_path, api.url)
    try:
        armed = Armed(tmp_path, screen.pid)
        armed.arm(step)
        screen.type("run('own")
        screen.press("C-u")
        screen.type("print(('x'):rep(3) .. 'y')")
        screen.press("Enter")
        wait_until(lambda: armed.raised)
        text = screen.wait_for(shown)
        if "xxxy" not in text:
            screen.press("Enter")
        screen.wait_for("xxxy")

        assert "Traceback" not in screen.text
        assert "Press ENTER" not in screen.text
    finally:
        screen.close()


def prompt(directory, url):
    environment = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_token-of-tests", "NO_COLOR": "1"}
    program = (faults.__file__, str(directory / "fault"))
    return Screen(directory, "repl", "--write", "allow", environment=environment, program=program)
