"""Scripts that wait for an approval or run for a long time, with `execute_lua` and `runs`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kills
import pytest
from recording_server import Answer
from waiting import wait_until

CREATE = "return replicate.create_prediction{ version = ('v'):rep(64), input = { text = args[1] } }.id"
DRAW = CREATE.replace("args[1]", "args.text") + ", args.text, args.count"


@pytest.fixture
def line(wire, server, tmp_path, environment):
    """A client that cannot ask a person, and the command line of the person who decides."""
    server.default = Answer(201, b'{"id": "p1", "status": "succeeded"}')

    def kosmo(*words):
        ran = subprocess.run(
            [sys.executable, "-m", "kosmolua", *words], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        return json.loads(ran.stdout)

    return lambda *flags: wire("--code", "--write", "ask", *flags), kosmo


def called(line, name, **arguments):
    line.call(1, name, arguments)
    return line.receive()["result"]


def test_a_script_waits_for_a_person_and_continues(line, server):
    """The result contains the question and how to approve it; the run continues under the same id, even in another
    server process."""
    start, kosmo = line
    with start() as first:
        waiting = called(first, "execute_lua", source=CREATE, args=["hello"])
        again = called(first, "execute_lua", id=waiting["structuredContent"]["id"])
        listed = called(first, "runs")["structuredContent"]["data"]["runs"]

    found = waiting["structuredContent"]
    (asked,) = found["approvals"]
    assert (False, "waiting", "create_prediction") == (waiting["isError"], found["status"], asked["function"])
    assert f"kosmo approvals approve {asked['id']}" == asked["approve"]
    assert asked["approve"] in waiting["content"][0]["text"]
    assert found["approvals"][0]["id"] == again["structuredContent"]["approvals"][0]["id"]
    assert [(found["id"], "waiting")] == [(each["id"], each["status"]) for each in listed]
    assert [] == server.requests

    kosmo("approvals", "approve", asked["id"], "--json")
    with start() as second:
        done = called(second, "execute_lua", id=found["id"])
        again = called(second, "execute_lua", id=found["id"])
        leave(second)
    with start() as third:
        gone = called(third, "execute_lua", id=found["id"])

    assert (True, "p1") == (done["structuredContent"]["success"], done["structuredContent"]["result"])
    assert "p1" == again["structuredContent"]["result"]
    assert 1 == len(server.requests)
    assert gone["isError"]
    assert [] == kosmo("runs", "list", "--json")["runs"]


def test_a_result_survives_the_server(line, server):
    """If the server is killed before the client received the result, another server returns it; nothing is sent
    again."""
    start, kosmo = line
    with start() as first:
        found = called(first, "execute_lua", source=CREATE, args=["hello"])["structuredContent"]
        kosmo("approvals", "approve", found["approvals"][0]["id"], "--json")
        called(first, "execute_lua", id=found["id"])
        first.process.kill()
    with start() as second:
        looked = called(second, "runs", id=found["id"])["structuredContent"]
        done = called(second, "execute_lua", id=found["id"])["structuredContent"]
        leave(second)

    assert (True, "p1") == (done["success"], done["result"])
    assert f'execute_lua {{"id": "{found["id"]}"}}' in looked["hint"]
    assert 1 == len(server.requests)
    assert [] == kosmo("runs", "list", "--json")["runs"]


def test_an_id_is_known_to_the_next_server(line):
    """A run that returns at once has a journal by then, so that its id is not lost with a killed server."""
    start, _ = line
    with start("--return-after", "0.001") as first:
        found = called(first, "execute_lua", source="sleep(600)")["structuredContent"]
        first.process.kill()
    with start("--return-after", "0.001") as second:
        again = called(second, "execute_lua", id=found["id"])["structuredContent"]
        leave(second)

    assert "running" == found["status"] == again["status"]


@pytest.mark.parametrize(("mode", "tool"), [(["--code"], "execute_lua"), ([], "continue_script")])
def test_a_kept_script_waits_for_a_person_and_continues(wire, line, server, environment, mode, tool):
    """A stored script waits as in `execute_lua`, and continues with its named arguments, even on another server and
    after the file was changed."""
    _, kosmo = line
    file = keep(environment, "draw", f"--@ arg text string\n--@ arg count integer = 2\n{DRAW}")
    with wire("--scripts", "--write", "ask", *mode) as first:
        waiting = called(first, "script_draw", text="hello")
        found = waiting["structuredContent"]
        again = called(first, tool, id=found["id"])["structuredContent"]
    file.write_text("--@ arg text string\nreturn 'another script'")
    kosmo("approvals", "approve", found["approvals"][0]["id"], "--json")
    with wire("--scripts", "--write", "ask", *mode) as second:
        done = called(second, tool, id=found["id"])["structuredContent"]
        wrong = called(second, tool, id=7)["structuredContent"]
        leave(second)

    assert "waiting" == found["status"] == again["status"]
    assert f'{tool} {{"id": "{found["id"]}"}}' in waiting["content"][0]["text"]
    assert ["p1", "hello", 2] == done["results"]
    assert "expected" in wrong["error"]
    assert 1 == len(server.requests)
    assert [] == kosmo("runs", "list", "--json")["runs"]


@pytest.mark.parametrize("mode", [["--code"], []])
def test_a_long_kept_script_returns_early_and_is_looked_up(wire, line, environment, mode):
    """The tool of a long stored script returns early, with or without code mode, and `runs` returns the result."""
    keep(environment, "slow", "--@ arg seconds number\nsleep(args.seconds) return 7")
    with wire("--scripts", "--write", "ask", "--return-after", "0.3", *mode) as client:
        found = called(client, "script_slow", seconds=1.5)["structuredContent"]
        assert "running" == found["status"]
        while found.get("status") == "running":
            found = called(client, "runs", id=found["id"])["structuredContent"]

    assert (True, 7) == (found["success"], found["result"])


def test_servers_are_killed_around_questions_decisions_requests_and_answers(tmp_path, monkeypatch):
    """After fifteen rounds of kills.py, each approved call was sent once and only after its approval, and nothing else
    was sent."""
    monkeypatch.delenv("KOSMO_STATE_DIR")
    events = kills.go(tmp_path, 15, seed=20)

    assert 15 == events["rounds"]
    assert events["killed"] > 15
    assert events["sent"] == events["approved"] > 0


def keep(environment, name, text):
    """Store a script as `kosmo scripts add` does. Returns the script's file."""
    directory = Path(environment["KOSMO_CONFIG_DIR"]) / "scripts"
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{name}.lua"
    file.write_text(text)
    return file


def leave(client):
    """Close the client's end of the connection, and wait until the server has ended."""
    client.process.stdin.close()
    wait_until(lambda: client.process.poll() is not None)


def test_a_denial_reaches_the_script(line, server):
    """The script gets the denial with its reason; the agent gets it as the error of the run."""
    start, kosmo = line
    with start() as client:
        found = called(client, "execute_lua", source=CREATE)["structuredContent"]
        kosmo("approvals", "deny", found["approvals"][0]["id"], "--reason", "not today", "--json")
        failed = called(client, "execute_lua", id=found["id"])

    assert failed["isError"]
    assert "not today" in failed["structuredContent"]["error"]["message"]
    assert [] == server.requests


def test_no_tool_decides(line):
    """No tool or function can approve or deny a call."""
    start, _ = line
    with start("--tools", "*") as client:
        client.send({"id": 1, "method": "tools/list"})
        names = [tool["name"] for tool in client.receive()["result"]["tools"]]

    assert not [name for name in names if re.search("approv|deny|decide", name)]


def test_other_journals_are_not_continued(line, environment):
    """An id must be that of such a run; paths and other journals are refused."""
    start, _ = line
    with start() as client:
        wrong = [
            called(client, "execute_lua", id=name)["structuredContent"]["error"]
            for name in ("J", "../x", "/etc/passwd", "mcp-000000000000")
        ]

    assert [f"no run {name!r}" for name in ("J", "../x", "/etc/passwd", "mcp-000000000000")] == wrong


def test_a_long_script_returns_early_and_is_looked_up(line):
    """The call is answered while the script continues; `runs` waits for the script's result, and returns it once."""
    start, _ = line
    with start("--return-after", "0.5") as client:
        early = called(client, "execute_lua", source="sleep(2) print('slept') return 7")
        identifier = early["structuredContent"]["id"]
        results = [called(client, "runs", id=identifier) for _ in range(2)]
        while results[-1]["structuredContent"].get("status") == "running":
            results.append(called(client, "runs", id=identifier))
        done = results[-1]["structuredContent"]
        gone = called(client, "runs", id=identifier)

    assert (False, "running") == (early["isError"], early["structuredContent"]["status"])
    assert f'runs {{"id": "{identifier}"}}' in early["content"][0]["text"]
    assert (True, 7, "slept\n") == (done["success"], done["result"], done["output"])
    assert gone["isError"]


def test_a_client_that_leaves_ends_its_runs(line, tmp_path):
    """When the client leaves, the server ends with all its runs."""
    start, _ = line
    with start("--return-after", "0.1") as client:
        called(client, "execute_lua", source="while true do sleep(0.1) end")
        client.process.stdin.close()
        wait_until(lambda: client.process.poll() is not None)

    assert 0 == client.process.returncode


def test_a_call_that_is_canceled_ends_its_run(line):
    """Canceling a call ends its run, even if the call only waits for an earlier run."""
    start, _ = line
    with start("--return-after", "0.3") as client:
        identifier = called(client, "execute_lua", source="while true do sleep(0.1) end")["structuredContent"]["id"]
        client.call(2, "runs", {"id": identifier})
        client.send({"method": "notifications/cancelled", "params": {"requestId": 2}})
        wait_until(lambda: not _running(client, identifier))


def _running(client, identifier):
    client.call(3, "runs", {})
    while (message := client.receive()).get("id") != 3:
        pass
    found = message["result"]["structuredContent"]["data"]["runs"]
    return [each for each in found if each["id"] == identifier and each["status"] == "running"]


def test_a_finished_run_leaves_no_journal(line, environment):
    """The journal of a finished run is removed."""
    start, _ = line
    with start() as client:
        called(client, "execute_lua", source="return 1")

    state = environment["KOSMO_STATE_DIR"]
    assert [] == [name for name in os.listdir(os.path.join(state, "runs")) if name.endswith(".journal")]
