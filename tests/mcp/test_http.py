"""Streamable HTTP with the official client and with single requests: which requests are accepted, and what sessions
share."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, closing, contextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult
from recording_server import Answer
from waiting import wait_until

from kosmolua.cli import main

TOKEN = "a-token-of-the-test"
BOTH_ERAS = pytest.mark.parametrize("mode", ["legacy", "auto"])
CREATE = ("replicate_create_prediction", {"version": "v", "input": {}})
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
PLAIN = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Served:
    """A server in a separate process."""

    def __init__(self, process):
        self.process = process
        self.errors = []
        self.url = self._said("serving ").partition(";")[0]
        self.port = int(self.url.rpartition(":")[2].partition("/")[0])

    def _said(self, words):
        while words not in (line := self.process.stderr.readline()):
            assert line, self.errors
            self.errors.append(line)
        return line.partition(words)[2].strip()

    def token(self):
        return self._said("Bearer ")

    def post(self, message, **headers):
        """Send a request; return the status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {**PLAIN, "Authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection.request("POST", "/mcp", json.dumps(message), {k: v for k, v in given.items() if v is not None})
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read().decode()
        connection.close()
        return found

    def request(self, method, body, session, **given):
        """Send a request of a session; return the connection, whose answer is not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {**PLAIN, "Authorization": f"Bearer {TOKEN}", "mcp-session-id": session, **given}
        connection.request(method, "/mcp", body, headers)
        return closing(connection)

    @asynccontextmanager
    async def client(self, **options):
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as inner:
            async with Client(streamable_http_client(self.url, http_client=inner), **options) as made:
                yield made


@pytest.fixture
def serving(environment, tmp_path):
    @contextmanager
    def start(*flags, token=TOKEN):
        command = [sys.executable, "-m", "kosmolua", "mcp:serve", "--http", "127.0.0.1:0", *flags]
        given = {**environment, **({"KOSMO_MCP_TOKEN": token} if token else {})}
        with subprocess.Popen(command, env=given, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield Served(process)
            finally:
                process.kill()

    return start


@BOTH_ERAS
def test_the_official_client_lists_and_calls(serving, server, mode):
    """Tools, scripts, resources and the prompt are the same as over standard input and output."""
    server.default = Answer(body=b'{"id": "p1", "username": "a"}')

    async def main(served):
        async with served.client(mode=mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            single = await client.call_tool("replicate_get_prediction", {"prediction_id": "p1"})
            script = await client.call_tool("execute_lua", {"source": "return replicate.get_account{}.username"})
            page = await client.read_resource("kosmolua://docs/errors")
            prompt = await client.get_prompt("replicate_workflow", {"task": "a fox"})
            return tools, single.structured_content, script.structured_content, page, prompt

    with serving("--code", "--tools", "get_*") as served:
        tools, single, script, page, prompt = asyncio.run(main(served))

    assert {"execute_lua", "replicate_get_model"} <= tools
    assert ({"id": "p1", "username": "a"}, "a") == (single["data"], script["result"])
    assert page.contents[0].text.startswith("# Errors")
    assert "The task: a fox" in prompt.messages[0].content.text


@BOTH_ERAS
@pytest.mark.parametrize(("answer", "code"), [("once", None), ("no", "permission_denied")])
def test_a_person_is_asked(serving, server, mode, answer, code):
    """The client that made the call gets the question, and nothing is sent without approval."""
    server.default = Answer(201, b'{"id": "p1"}')

    async def elicit(_context, _params):
        return ElicitResult(action="accept", content={"answer": answer})

    async def main(served):
        async with served.client(mode=mode, elicitation_callback=elicit) as client:
            return (await client.call_tool(*CREATE)).structured_content

    with serving("--write", "ask") as served:
        result = asyncio.run(main(served))

    assert (code, 0 if code else 1) == (result.get("code"), len(server.requests))


def test_each_session_has_its_own_budget(serving, server):
    """Spending in one session does not count toward the budget of another."""
    server.default = Answer(201, b'{"id": "p1", "status": "succeeded"}')

    async def spend(served):
        async with served.client(mode="legacy") as client:
            made = [await client.call_tool(*CREATE) for _ in range(2)]
            return [result.structured_content.get("code") for result in made]

    async def main(served):
        return await asyncio.gather(spend(served), spend(served))

    with serving("--write", "allow", "--max-predictions", "1") as served:
        codes = asyncio.run(main(served))

    assert [[None, "limit_reached"]] * 2 == codes
    assert 2 == len(server.requests)


def test_progress_is_reported(serving, server):
    """Each completed call of a script sends a notification."""
    told = []

    async def progress(_progress, _total, message):
        told.append(message)

    async def main(served):
        source = "for _ = 1, 2 do replicate.get_account{} end"
        async with served.client(mode="legacy") as client:
            await client.call_tool("execute_lua", {"source": source}, progress_callback=progress)

    with serving("--code") as served:
        asyncio.run(main(served))

    assert ["get_account: ok"] * 2 == told


ANSWERED = [
    ({}, 200),
    ({"Authorization": None}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"Authorization": f"Basic {TOKEN}"}, 401),
    ({"Host": "evil.example"}, 421),
    ({"Host": "127.0.0.1.evil.example:80"}, 421),
    ({"Host": "mcp.example"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:3000"}, 200),
    ({"Origin": "https://app.example"}, 200),
    ({"Content_Type": "text/plain"}, 400),
]


def test_only_trusted_requests_are_accepted(serving):
    """Only requests with the token, to a known host, and not from other web sites (DNS rebinding) are accepted."""
    with serving("--allow-host", "mcp.example", "--allow-origin", "https://app.example") as served:
        answers = [served.post(HELLO, **headers) for headers, _ in ANSWERED]

    assert [status for _, status in ANSWERED] == [status for status, _, _ in answers]
    assert {"Bearer"} == {headers["WWW-Authenticate"] for status, headers, _ in answers if status == 401}


def test_a_token_is_made_unless_one_is_given(serving):
    """A generated token is printed once; with --no-token every program on the machine is served."""
    with serving(token=None) as served:
        made = served.token()
        assert 401 == served.post(HELLO)[0]
        assert 200 == served.post(HELLO, Authorization=f"Bearer {made}")[0]
    with serving("--no-token", token=None) as served:
        assert 200 == served.post(HELLO, Authorization=None)[0]

    assert len(made) > 30


def test_deleting_a_session_ends_its_processes(serving):
    """The processes of a deleted session end, and its id is unknown afterwards."""
    source = {"name": "execute_lua", "arguments": '{"source": "return 1"}'}
    with serving("--code") as served:
        session = served.post(HELLO)[1]["mcp-session-id"]
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": source}
        assert '"result":1' in served.post(call, mcp_session_id=session)[2].replace(" ", "")
        assert children(served.process.pid)
        with served.request("DELETE", None, session) as connection:
            assert 200 == connection.getresponse().status

        wait_until(lambda: not children(served.process.pid))
        assert 404 == served.post(call, mcp_session_id=session)[0]


def test_a_budget_cannot_be_evaded_with_a_new_session(serving, server):
    """Requests without a session share one budget, whatever session id they send, and a refused DELETE deletes
    nothing."""
    server.default = Answer(201, b'{"id": "p1", "status": "succeeded"}')
    named = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": CREATE[0]}
    meta = {"protocolVersion": "2026-07-28", "clientInfo": {"name": "t", "version": "1"}, "clientCapabilities": {}}
    params = {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    params |= {"name": CREATE[0], "arguments": CREATE[1]}
    with serving("--write", "allow", "--max-predictions", "1") as served:
        answers = [served.post(call, mcp_session_id=session, **named) for session in (None, "a", "b")]
        for headers in ({"Host": "evil.example"}, {"MCP-Protocol-Version": "2026-07-28"}, {}):
            with served.request("DELETE", None, "", **headers) as connection:
                assert 400 <= connection.getresponse().status
            answers.append(served.post(call, **named))

    assert [200] * 6 == [status for status, _, _ in answers]
    assert [False, *[True] * 5] == ["reached its budget" in body for _, _, body in answers]
    assert 1 == len(server.requests)


@pytest.mark.parametrize(("mode", "questions"), [("legacy", 1), ("auto", 2)])
def test_an_answer_for_the_run_applies_to_one_client(serving, server, mode, questions):
    """Without sessions, clients cannot be told apart, so a person is asked about each call of a single tool."""
    server.default = Answer(201, b'{"id": "p1"}')
    asked = []

    async def elicit(_context, params):
        asked.append(params.message)
        return ElicitResult(action="accept", content={"answer": "run"})

    async def main(served):
        async with served.client(mode=mode, elicitation_callback=elicit) as client:
            return [(await client.call_tool(*CREATE)).structured_content["success"] for _ in range(2)]

    with serving("--write", "ask") as served:
        assert [True, True] == asyncio.run(main(served))

    assert (questions, 2) == (len(asked), len(server.requests))


def test_runs_without_a_session_are_not_listed(serving, server):
    """Only the client that started a run without a session knows its id, and can look the run up with this id."""

    async def main(served):
        found = {}
        for mode in ("legacy", "auto"):
            async with served.client(mode=mode) as client:
                begun = (await client.call_tool("execute_lua", {"source": "sleep(1) return 7"})).structured_content
                listed = (await client.call_tool("runs", {})).structured_content
                looked = begun
                while looked.get("status") == "running":
                    looked = (await client.call_tool("runs", {"id": begun["id"]})).structured_content
                found[mode] = listed["success"], looked["result"]
        return found

    with serving("--code", "--return-after", "0.2") as served:
        assert {"legacy": (True, 7), "auto": (False, 7)} == asyncio.run(main(served))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server(serving, number):
    """A signal ends the server without waiting for a running script, and no child process remains."""
    source = {"name": "execute_lua", "arguments": {"source": "while true do end"}}
    with serving("--code") as served:
        session = served.post(HELLO)[1]["mcp-session-id"]
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": source}
        with served.request("POST", json.dumps(call), session):
            started = wait_until(lambda: children(served.process.pid))
            served.process.send_signal(number)
            assert 128 + number == served.process.wait(20)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started))


def children(pid):
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            found.update(file.read().split())
    return found


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["mcp:serve", "--http", "nonsense"], 2, "expected HOST:PORT, got 'nonsense'"),
        (["mcp:serve", "--http", "127.0.0.1:99999"], 2, "expected HOST:PORT"),
        (["mcp:serve", "--http", "0.0.0.0:0"], 2, "0.0.0.0 is not loopback"),
        (["mcp:serve", "--http", "0.0.0.0:0", "--no-token", "--allow-host", "a"], 2, "expected a token and"),
        (["mcp:serve", "--no-token"], 2, "need --http"),
        (["mcp:install", "cursor", "--", "--http"], 2, "a registered client starts its own"),
    ],
)
def test_invalid_addresses_are_refused(capfd, argv, code, words):
    """An invalid address is reported before anything is served or written."""
    assert code == main(argv)
    assert words in capfd.readouterr().err


def test_an_address_in_use_is_named(capfd, server):
    """The error for an address in use names the address."""
    assert 4 == main(["mcp:serve", "--http", f"127.0.0.1:{server.port}"])
    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in capfd.readouterr().err
