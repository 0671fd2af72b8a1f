"""The server in a real process, with the official client, and with single lines for details."""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from jsonschema import Draft202012Validator
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult
from recording_server import Answer
from waiting import stays, wait_until

from kosmolua.gate import audit
from kosmolua.mcp.docs import WORKFLOWS
from kosmolua.mcp.protocol import can_elicit
from kosmolua.mcp.wire import MAX_LINE
from kosmolua.replicate.catalogue import OPERATIONS

FUNCTION = "replicate_"
CREATE = (f"{FUNCTION}create_prediction", {"version": "v", "input": {}})
LUA_CREATE = "return integrations.replicate.create_prediction{ version = 'v', input = {} }.id"
BOTH_ERAS = pytest.mark.parametrize("mode", ["legacy", "auto"])


def names(result):
    return {tool.name.removeprefix(FUNCTION) for tool in result.tools}


def wire_format(tools):
    return [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in tools]


# Tools ------------------------------------------------------------------------------------------------------------


@BOTH_ERAS
def test_every_function_is_a_tool(connected, mode):
    """Each function's tool has a name, hints, and a schema that accepts the example and rejects a misspelled
    argument."""

    async def main():
        async with connected("--write", "allow", mode=mode) as client:
            return {tool["name"]: tool for tool in wire_format((await client.list_tools()).tools)}

    tools = asyncio.run(main())

    assert {FUNCTION + operation.name for operation in OPERATIONS} == tools.keys()
    for operation in OPERATIONS:
        tool = tools[FUNCTION + operation.name]
        Draft202012Validator.check_schema(tool["inputSchema"])
        schema = Draft202012Validator(tool["inputSchema"])
        assert schema.is_valid(operation.example)
        assert not schema.is_valid({**operation.example, "nosuch": 1})
        assert (operation.access == "read") == tool["annotations"]["readOnlyHint"]
        assert operation.summary in tool["description"]
    hints = [
        {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True},
        {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True},
        {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": True},
    ]
    assert hints == [tools[FUNCTION + name]["annotations"] for name in ("get_model", "create_model", "delete_model")]


@BOTH_ERAS
def test_a_call_answers_with_data_and_text(connected, server, mode):
    """The result of a call contains the answer as data and as JSON text."""
    server.default = Answer(body='{"id": "p1", "error": null, "logs": "é"}'.encode())

    async def main():
        async with connected(mode=mode) as client:
            return await client.call_tool(f"{FUNCTION}get_prediction", {"prediction_id": "p1"})

    result = asyncio.run(main())

    data = {"id": "p1", "error": None, "logs": "é"}
    assert (False, {"success": True, "data": data}) == (result.is_error, result.structured_content)
    assert data == json.loads(result.content[0].text)
    assert "Bearer r8_marked_token" == server.requests[0].headers["authorization"]


def test_failures_are_results_for_the_model(connected, server):
    """An error of the API or in the arguments is a result with code and hint, not a protocol error."""
    server.default = Answer(404, b'{"detail": "no such thing"}')

    async def main():
        async with connected() as client:
            missing = await client.call_tool(f"{FUNCTION}get_prediction", {"prediction_id": "p"})
            wrong = await client.call_tool(f"{FUNCTION}get_prediction", {"prediction": "p"})
            return missing, wrong

    missing, wrong = asyncio.run(main())

    assert (True, "not_found", 404) == (
        missing.is_error, missing.structured_content["code"], missing.structured_content["status"],
    )  # fmt: skip
    assert (True, "invalid_arguments") == (wrong.is_error, wrong.structured_content["code"])
    assert "did you mean `prediction_id`" in wrong.content[0].text
    assert 1 == len(server.requests)


def test_a_file_travels_as_base64(connected, server):
    """Bytes are sent as base64 in both directions, and a picture is sent as a picture."""
    server.default = Answer(body=b'{"id": "f1"}')
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(100))

    async def main():
        async with connected("--write", "allow") as client:
            made = await client.call_tool(f"{FUNCTION}create_file", {"content": "AP8=", "filename": "a.bin"})
            bad = await client.call_tool(f"{FUNCTION}create_file", {"content": "?", "filename": "a.bin"})
            server.default = Answer(body=b"\0\xff", headers={"Content-Type": "application/octet-stream"})
            download = f"{FUNCTION}download_file"
            arguments = {"file_id": "f1", "owner": "o", "expiry": 1, "signature": "s"}
            plain = await client.call_tool(download, arguments)
            server.default = Answer(body=picture, headers={"Content-Type": "image/png"})
            return made, bad, plain, await client.call_tool(download, arguments)

    made, bad, plain, shown = asyncio.run(main())

    assert not made.is_error
    assert b"\r\n\r\n\0\xff\r\n" in server.requests[0].body
    assert "expected base64" in bad.content[0].text
    assert {"base64": "AP8=", "size": 2} == plain.structured_content["data"]
    assert ["text", "image"] == [block.type for block in shown.content]
    assert ("image/png", f"[picture 1: image/png, {len(picture)} bytes]") == (
        shown.content[1].mime_type, shown.structured_content["data"],
    )  # fmt: skip


def test_a_long_result_is_cut_between_characters(connected, server):
    """The note states the whole length, and the text that is shown is valid."""
    server.default = Answer(body=json.dumps({"logs": "🎉e\u0301" * 500}, ensure_ascii=False).encode())

    async def main(limit):
        async with connected("--max-result-chars", str(limit)) as client:
            return await client.call_tool(f"{FUNCTION}get_prediction", {"prediction_id": "p"})

    for limit in (100, 101, 102):
        result = asyncio.run(main(limit))
        text = result.content[0].text
        shown = text.partition("…")[0]
        assert ('{"logs":"' + "🎉e\u0301" * 500).startswith(shown)
        assert len(shown) > limit - 3
        assert not shown.endswith("e")
        assert "of 1511 characters" in text
        assert (None, 1511) == (result.structured_content["data"], result.structured_content["cut"]["characters"])


# Permissions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "config", "listed"),
    [
        ((), "", set()),
        (("--write", "ask"), "", {"create_prediction", "delete_file"}),
        (("--write", "allow"), "", {"create_prediction", "delete_file"}),
        (("--write", "allow"), '[replicate.permissions]\nwrite = "deny"', set()),
        (("--write", "allow"), '[[replicate.rules]]\nverdict = "deny"\nfunctions = "delete_*"', {"create_prediction"}),
        (
            ("--write", "allow"),
            '[[replicate.rules]]\nverdict = "deny"\nfunctions = "*"\narguments = { model = "a/*" }',
            {"create_prediction", "delete_file"},
        ),
        ((), '[[replicate.rules]]\nverdict = "allow"\nfunctions = "create_*"', set()),
        (("--write", "allow", "--tools", "*_prediction"), "", {"create_prediction"}),
    ],
)  # fmt: skip
def test_denied_writes_are_neither_listed_nor_callable(connected, configured, server, flags, config, listed):
    """A write that is always denied has no tool, and a configured denial cannot be changed with a flag."""
    configured(config)
    writes = {"create_prediction": CREATE[1], "delete_file": {"file_id": "f"}}

    async def main():
        async with connected(*flags) as client:
            found = names(await client.list_tools()) & writes.keys()
            for name in writes.keys() - listed:
                with pytest.raises(MCPError, match=r"the policy denies|unknown tool") as raised:
                    await client.call_tool(FUNCTION + name, writes[name])
                assert -32602 == raised.value.error.code
            return found

    assert listed == asyncio.run(main())
    assert [] == server.requests


def test_allow_is_never_more_than_configured(connected, configured, server):
    """If the configuration is ask, --write allow does not change it to allow."""
    configured('[replicate.permissions]\nwrite = "ask"')

    async def main():
        async with connected("--write", "allow") as client:
            return await client.call_tool(*CREATE)

    assert "approval_required" == asyncio.run(main()).structured_content["code"]
    assert [] == server.requests


def test_a_secret_is_not_handed_to_an_agent(connected, server):
    """A signing key needs a person's approval, as in a script."""

    async def main():
        async with connected() as client:
            return await client.call_tool(f"{FUNCTION}get_default_webhook_secret", {})

    assert "approval_required" == asyncio.run(main()).structured_content["code"]
    assert [] == server.requests


@BOTH_ERAS
@pytest.mark.parametrize(
    ("answer", "code", "sent"),
    [
        (ElicitResult(action="accept", content={"answer": "once"}), None, 2),
        (ElicitResult(action="accept", content={"answer": "no"}), "permission_denied", 0),
        (ElicitResult(action="decline"), "permission_denied", 0),
        (None, "approval_required", 0),
    ],
    ids=["yes", "no", "declined", "cannot ask"],
)
def test_a_person_is_asked_through_the_client(connected, server, mode, answer, code, sent):
    """The question shows what a tool or script would send; nothing is sent without approval."""
    server.default = Answer(201, b'{"id": "p1"}')
    asked = []

    async def elicit(_context, params):
        asked.append(params.message)
        return answer

    async def main():
        options = {"elicitation_callback": elicit} if answer else {}
        async with connected("--write", "ask", "--code", "--tools", "*", mode=mode, **options) as client:
            tool = await client.call_tool(*CREATE)
            return tool.structured_content, (
                await client.call_tool("execute_lua", {"source": LUA_CREATE})
            ).structured_content

    tool, script = asyncio.run(main())

    found = script["error"]["code"] if script.get("error") else None
    assert (code, code if answer else None) == (tool.get("code"), found)
    assert ("waiting" if answer is None else None) == script.get("status")
    assert sent == len(server.requests)
    assert (2 if answer else 0) == len(asked)
    for message in asked:
        assert "kosmo: allow create_prediction (write) on account default?" in message
        assert 'version: "v"' in message


# Code mode --------------------------------------------------------------------------------------------------------


def test_code_mode_is_four_tools(connected):
    """The definitions of code mode are at most a tenth as long as those of all functions; --tools adds other tools."""

    async def tools(*flags):
        async with connected("--write", "allow", *flags) as client:
            return wire_format((await client.list_tools()).tools)

    code, every, both = (asyncio.run(tools(*flags)) for flags in (("--code",), (), ("--code", "--tools", "get_model")))

    assert ["search_docs", "read_docs", "execute_lua", "runs"] == [tool["name"] for tool in code]
    assert len(json.dumps(code)) * 10 <= len(json.dumps(every))
    assert [*code, *[tool for tool in every if tool["name"] == f"{FUNCTION}get_model"]] == both


def test_a_script_gives_result_output_and_calls(connected, server):
    """One script replaces calls of several tools; its output is part of the answer and does not disturb the
    protocol."""
    server.default = Answer(body=b'{"username": "a"}')
    source = "print('hello', args[1]) return integrations.replicate.get_account{}.username, { 1, json.null }"

    async def main():
        async with connected("--code") as client:
            good = await client.call_tool("execute_lua", {"source": source, "args": ["é"]})
            bad = await client.call_tool("execute_lua", {"source": "\nerror('boom')"})
            return good, bad

    good, bad = asyncio.run(main())

    data = good.structured_content
    assert (True, "a", ["a", [1, None]], "hello\té\n", 1) == (
        data["success"], data["result"], data["results"], data["output"], data["calls"],
    )  # fmt: skip
    assert ["get_account"] == [entry["function"] for entry in data["call_log"]]
    assert 'hello\té\nresult: ["a",[1,null]]\ncalls: get_account ok' == good.content[0].text
    assert (True, "script:2") == (bad.is_error, bad.structured_content["error"]["where"])
    assert "error: script:2: boom" in bad.content[0].text


def test_a_script_has_limits_and_budgets(connected, server):
    """An endless loop and a call beyond the budget end the script with an error that names the limit."""
    calls = "for _ = 1, 9 do integrations.replicate.get_account{} end"

    async def main():
        async with connected("--code", "--cpu-limit", "0.3", "--max-calls", "2") as client:
            loop = await client.call_tool("execute_lua", {"source": "while true do end"})
            return loop, await client.call_tool("execute_lua", {"source": calls})

    for result in asyncio.run(main()):
        assert "limit_reached" == result.structured_content["error"]["code"]
    assert 2 == len(server.requests)


def test_pictures_of_a_script_are_shown(connected):
    """A data URL of a picture is returned as a picture; similar text remains text."""
    source = "return { 'data:image/png;base64,iVBORw0KGgo=', 'data:image/png;base64,?', 'data:text/plain;base64,AA==' }"

    async def main():
        async with connected("--code") as client:
            return await client.call_tool("execute_lua", {"source": source})

    result = asyncio.run(main())

    assert ["text", "image"] == [block.type for block in result.content]
    assert "iVBORw0KGgo=" == result.content[1].data
    assert [
        "[picture 1: image/png, 8 bytes]", "data:image/png;base64,?", "data:text/plain;base64,AA==",
    ] == result.structured_content["result"]  # fmt: skip


def test_pictures_that_a_model_made_are_shown(connected):
    """The answer of a tool or script keeps the URLs of a model's pictures, and also contains the pictures."""
    model = {"model_owner": "black-forest-labs", "model_name": "flux-schnell", "prefer": "wait"}
    given = {"prompt": "dusk", "width": 16, "height": 16, "num_outputs": 2}
    source = 'return (run("black-forest-labs/flux-schnell", { prompt = "dusk", width = 16, height = 16 }))'

    async def main():
        async with connected("--emulate", "--write", "allow", "--code", "--tools", "create_*") as client:
            made = await client.call_tool(f"{FUNCTION}create_model_prediction", {**model, "input": given})
            return made, await client.call_tool("execute_lua", {"source": source})

    made, ran = asyncio.run(main())

    assert ["text", "image", "image"] == [block.type for block in made.content]
    assert ["text", "image"] == [block.type for block in ran.content]
    assert all(base64.b64decode(block.data).startswith(b"\x89PNG") for block in [*made.content[1:], ran.content[1]])
    assert all(url.startswith("http") for url in made.structured_content["data"]["output"])


def test_invalid_arguments_of_a_code_tool(connected):
    """An invalid argument gives a result that says what was expected."""
    wrong = {
        "expected a string - at `source`": ("execute_lua", {"source": 1}),
        "execute_lua: missing argument `source`": ("execute_lua", {}),
        "execute_lua: unknown argument `code`; expected one of source, args": ("execute_lua", {"code": "return 1"}),
        "expected a list of strings - at `args`": ("execute_lua", {"source": "", "args": "a"}),
        "unknown argument `nosuch`; expected one of source, args": ("execute_lua", {"source": "", "nosuch": 1}),
        "did you mean get_account": ("read_docs", {"name": "get_acount"}),
    }

    async def main():
        async with connected("--code") as client:
            return {words: await client.call_tool(*call) for words, call in wrong.items()}

    for words, result in asyncio.run(main()).items():
        assert result.is_error
        assert words in result.content[0].text


def test_documentation_is_found_and_read(connected):
    """A search returns names of pages that can be read; a function's page has the function's example, and a topic's
    page its text."""

    async def main():
        async with connected("--code") as client:
            found = await client.call_tool("search_docs", {"query": "cancel a prediction"})
            pages = [await client.call_tool("read_docs", {"name": name}) for name in ("cancel_prediction", "budgets")]
            return found, *pages

    found, function, page = asyncio.run(main())

    assert "cancel_prediction" == found.structured_content["data"]["results"][0]["name"]
    assert "- prediction_id (string, required)" in function.content[0].text
    assert "return integrations.replicate.cancel_prediction{" in function.content[0].text
    assert "# What a run may spend" in page.content[0].text


# Running calls -------------------------------------------------------------------------------------------------


@BOTH_ERAS
def test_progress_is_reported(connected, mode):
    """Each completed call is reported while the script continues."""
    told = []

    async def note(_progress, _total, message):
        told.append(message)

    async def main():
        async with connected("--code", "--emulate", mode=mode) as client:
            source = "for _ = 1, 3 do integrations.replicate.get_account{} end"
            await client.call_tool("execute_lua", {"source": source}, progress_callback=note)

    asyncio.run(main())

    assert ["get_account: ok"] * 3 == told


def test_a_canceled_call_stops_the_script(wire, server):
    """After a cancellation the script makes no further call, no answer is sent, and the server continues."""
    source = "while true do integrations.replicate.get_account{} sleep(0.01) end"
    with wire("--code") as line:
        line.call(1, "execute_lua", {"source": source})
        wait_until(lambda: len(server.requests) > 3)
        line.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
        wait_until(lambda: stays(lambda: len(server.requests), 0.2))
        assert {"jsonrpc": "2.0", "id": 2, "result": {}} == line.ask({"id": 2, "method": "ping"})


def test_a_canceled_create_is_not_sent_again(wire, server):
    """A create that waits for its retry is not sent after its tool call is canceled."""
    server.default = Answer(429, headers={"Retry-After": "1"})
    with wire("--write", "allow") as line:
        line.call(1, *CREATE)
        wait_until(lambda: server.requests)
        line.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
        assert {} == line.ask({"id": 2, "method": "ping"})["result"]
        line.call(3, f"{FUNCTION}get_account", {})  # retried after the same delay, which begins later
        wait_until(lambda: ["GET", "GET"] == [request.method for request in server.requests][-2:])

    assert 1 == [request.method for request in server.requests].count("POST")


def test_invalid_messages_get_a_protocol_error(wire):
    """Each invalid message gets a JSON-RPC error code, and the server continues."""
    wrong = [
        (b"no json", -32700),
        (b'{"jsonrpc": "2.0", "id": ', -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        ({"id": 1, "method": "nosuch"}, -32601),
        ({"id": 1, "method": "tools/call", "params": {}}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": "nosuch"}}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": "execute_lua", "arguments": []}}, -32602),
        ({"id": 1, "method": "tools/call", "params": {"name": "execute_lua", "arguments": {"source": "x" * 2**24}}},
         -32602),
        ({"id": 1, "method": "resources/read", "params": {"uri": "kosmolua://docs/nosuch"}}, -32602),
        ({"id": 1, "method": "resources/read", "params": {"uri": "file:///etc/passwd"}}, -32602),
        ({"id": 1, "method": "prompts/get", "params": {"name": "nosuch"}}, -32602),
    ]  # fmt: skip
    with wire("--code") as line:
        answers = [line.ask(sent)["error"]["code"] for sent, _ in wrong]
        assert {} == line.ask({"id": 2, "method": "ping"})["result"]

    assert [code for _, code in wrong] == answers


def test_too_many_calls_at_once_are_refused(wire, server):
    """The 33rd concurrent call is refused; after another call has ended, a call is accepted again."""
    with wire("--code") as line:
        for number in range(33):
            line.call(number, "execute_lua", {"source": "sleep(60)"})
        answer = line.receive()
        assert (32, -32602) == (answer["id"], answer["error"]["code"])
        line.send({"method": "notifications/cancelled", "params": {"requestId": 0}})
        wait_until(lambda: "result" in _again(line))


def _again(line):
    line.call("again", "search_docs", {"query": "model"})
    return line.receive()


def test_the_server_ends_with_its_client(wire):
    """When standard input is closed, the server and its runs end."""
    with wire("--code") as line:
        line.call(1, "execute_lua", {"source": "while true do end"})
        line.call(2, "search_docs", {"query": "model"})
        line.receive()
        child = _children(line.process.pid)
        line.process.stdin.close()
        assert 0 == line.process.wait(20)
        assert child
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in child))


def test_open_calls_are_answered_after_the_end_of_input(wire, server):
    """Open calls are still answered after standard input is closed."""
    asked, closed = threading.Semaphore(0), threading.Event()

    class Held(Answer):
        def encode(self):
            asked.release()
            closed.wait(10)
            return super().encode()

    server.default = Held(body=b'{"id": "p", "status": "succeeded"}')
    with wire() as line:
        for number in (1, 2):
            line.call(number, f"{FUNCTION}get_prediction", {"prediction_id": f"p{number}"})
            assert asked.acquire(timeout=10)
        line.process.stdin.close()
        closed.set()
        answers = [line.receive(), line.receive()]

        assert {1: False, 2: False} == {answer["id"]: answer["result"]["isError"] for answer in answers}
        assert 0 == line.process.wait(20)


@pytest.mark.parametrize(
    "written",
    [
        '{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": ' + '{"a":' * 5000 + "1" + "}" * 5001,
        '{"method": "ping", "params": ' + '{"a":' * 5000 + "1" + "}" * 5000 + ', "jsonrpc": "2.0", "id": 7}',
        '{"jsonrpc": "2.0", "id": 7, "method": "pi',
        '{"jsonrpc": "2.0", "method": "ping", "params": {"a": "\x01"}, "id": 7}',
    ],
    ids=["deep, id first", "deep, id last", "cut", "control character"],
)
def test_a_line_that_cannot_be_read_is_answered_with_its_id(wire, written):
    """A line that is not valid JSON is answered with the id that it contains, since the client waits for an answer with
    that id."""
    with wire() as line:
        line.send(written.encode())
        answer = line.receive()

        assert (7, -32700) == (answer["id"], answer["error"]["code"])


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
@pytest.mark.parametrize("code", [False, True])
def test_at_the_end_running_predictions_are_named(wire, server, configured, number, code):
    """When the client leaves or a signal arrives, running predictions of tools and scripts are named."""
    configured('[replicate]\npermissions = { write = "allow" }\n')
    server.default = Answer(201, b'{"id": "p1", "status": "starting", "model": "o/m", "input": {}, "urls": {}}')
    given = {"model_owner": "o", "model_name": "m", "input": {}}
    with wire("--write", "allow", *(["--code"] if code else [])) as line:
        if code:
            source = "return integrations.replicate.create_model_prediction(json.decode(args[1])).id"
            line.call(1, "execute_lua", {"source": source, "args": [json.dumps(given)]})
        else:
            line.call(1, f"{FUNCTION}create_model_prediction", given)
        line.receive()
        if number:
            line.process.send_signal(number)
        else:
            line.process.stdin.close()
        line.process.wait(20)

        assert b"prediction p1 may still run; cancel it: " in line.process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server(wire, number):
    """A signal ends the server without waiting for its client, and no child process remains."""
    with wire("--code") as line:
        line.call(1, "execute_lua", {"source": "while true do end"})
        line.call(2, "search_docs", {"query": "model"})
        line.receive()
        child = _children(line.process.pid)
        line.process.send_signal(number)
        assert 128 + number == line.process.wait(20)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in child))


def _children(pid):
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            found.update(file.read().split())
    return found


# Resources and prompts --------------------------------------------------------------------------------------------


@BOTH_ERAS
def test_resources_are_read(connected, server, mode):
    """Pages, functions and recent runs can be read as resources; a run lists its calls without arguments."""

    async def main():
        async with connected("--code", mode=mode) as client:
            source = "integrations.replicate.get_model{ model_owner = 'marked', model_name = 'x' }"
            await client.call_tool("execute_lua", {"source": source})
            listed = await client.list_resources()
            templates = await client.list_resource_templates()
            texts = {}
            for resource in listed.resources:
                texts[str(resource.uri)] = (await client.read_resource(str(resource.uri))).contents[0].text
            runs = json.loads(texts["kosmolua://runs"])
            one = (await client.read_resource(f"kosmolua://runs/{runs[0]['run']}")).contents[0].text
            function = (await client.read_resource("kosmolua://functions/get_model")).contents[0].text
            return texts, templates, runs, json.loads(one), function

    texts, templates, runs, calls, function = asyncio.run(main())

    assert {"kosmolua://docs/workflows", "kosmolua://docs/lua", "kosmolua://docs/permissions"} <= texts.keys()
    assert ["kosmolua://functions/{name}", "kosmolua://runs/{id}"] == [
        template.uri_template for template in templates.resource_templates
    ]
    assert ("script", 1, "get_model: ok") == tuple(runs[0][name] for name in ("script", "calls", "last"))
    assert ["get_model"] == [call["function"] for call in calls]
    assert "marked" not in json.dumps([runs, calls])
    assert function.startswith("# get_model (read)")


def test_the_prompt_is_short(connected):
    """The prompt contains the task, and has fewer than 1,500 words and symbols."""

    async def main():
        async with connected("--code") as client:
            (prompt,) = (await client.list_prompts()).prompts
            found = await client.get_prompt(prompt.name, {"task": "paint a cat"})
            return found.messages[0].content.text

    text = asyncio.run(main())

    assert text.endswith("The task: paint a cat")
    assert len(re.findall(r"\w+|[^\w\s]", text)) < 1500


def test_examples_of_the_prompt_run(connected):
    """The examples in the prompt run unchanged against the emulator."""
    examples = [found for found in re.findall(r"(?:^    .*\n|^\n)+", WORKFLOWS, re.MULTILINE) if found.strip()]

    async def main():
        files = ("--allow-read", ".", "--allow-write", ".")
        async with connected("--code", "--emulate", "--write", "allow", *files) as client:
            return [await client.call_tool("execute_lua", {"source": example}) for example in examples]

    results = asyncio.run(main())

    assert 7 == len(results)
    for result in results:
        assert not result.is_error, result.content[0].text
        assert result.structured_content["result"]


def test_a_script_cannot_reach_the_operators_files(connected, server, tmp_path):
    """With every directory allowed, a script cannot read the configuration, project settings or the process's
    environment."""
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "credentials.json").write_text("r8_OfTheOwner")
    (tmp_path / ".kosmo").mkdir()
    reasons = {
        "config/credentials.json": "kosmolua's configuration directory",
        ".kosmo/config.toml": "in a .kosmo directory",
        "/proc/self/environ": "a file system of the kernel",
    }
    attempts = [
        attempt
        for path in reasons
        for attempt in (f"integrations.replicate.create_file{{ path = '{path}' }}", f"download('data:,x', '{path}')")
    ]

    async def main():
        async with connected("--code", "--write", "allow", "--allow-read", "/", "--allow-write", "/") as client:
            return [await client.call_tool("execute_lua", {"source": source}) for source in attempts]

    ended = asyncio.run(main())

    for number, result in enumerate(ended):
        error = result.structured_content["error"]
        assert "permission_denied" == error["code"]
        assert [*reasons.values()][number // 2] in error["message"]
    assert [] == server.requests


def test_a_script_cannot_erase_the_record(connected, server, environment):
    """Endless refusals become one audit entry with a count, and earlier entries are kept."""
    loop = "for _ = 1, 5000 do pcall(replicate.get_account) end"

    async def main():
        async with connected("--code", "--read", "deny") as client:
            for _ in range(2):
                await client.call_tool("execute_lua", {"source": loop})

    asyncio.run(main())

    entries = audit.merged(audit.read(audit.file_of(environment)))
    assert [5000, 5000] == [entry["count"] for entry in entries]
    assert 2 == len({entry["run"] for entry in entries})


@pytest.mark.parametrize(
    "odd", [r'"\ud83d"', "[" * 300 + "]" * 300, "9" * 5000], ids=["half a pair", "300 levels", "5,000 digits"]
)
def test_a_request_that_cannot_be_read_is_answered_with_its_id(wire, odd):
    """A request with unusable arguments is answered with its id, since its client would otherwise wait until a
    timeout."""
    with wire() as server:
        line = '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "x", "arguments": {"a": %s}}}'
        server.send((line % odd).encode())

        assert 7 == server.receive()["id"]


@pytest.mark.parametrize("arguments", ['{"query": "cancel"}', {"query": "cancel"}])
def test_arguments_may_be_json_text(wire, arguments):
    """Arguments may be the JSON text of an object, since some models send this instead of the object."""
    with wire("--code") as line:
        line.call(1, "search_docs", arguments)
        found = line.receive()["result"]["structuredContent"]["data"]["results"]
        line.call(2, "search_docs", "cancel")
        refused = line.receive()

    assert "cancel_prediction" in {entry["name"] for entry in found}
    assert (2, -32602) == (refused["id"], refused["error"]["code"])
    assert "expected an object, got text that is not JSON of one - at `arguments`" in refused["error"]["message"]


ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def test_invalid_requests_of_protocol_2026(wire):
    """In protocol version 2026-07-28, the error for a request names the missing part or unsupported version; there is
    no ping."""
    other = {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    half = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    with wire() as line:
        good = line.ask({"id": 1, "method": "prompts/list", "params": {"_meta": ENVELOPE}})["result"]
        answers = [
            line.ask({"id": 2, "method": method, "params": {"_meta": meta}})["error"]
            for method, meta in (("tools/list", half), ("tools/list", other), ("ping", ENVELOPE))
        ]

    assert ("complete", 0, "private") == (good["resultType"], good["ttlMs"], good["cacheScope"])
    assert "kosmolua" == good["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]
    assert [-32602, -32022, -32601] == [error["code"] for error in answers]
    assert {"supported": ["2026-07-28"], "requested": "2031-01-01"} == answers[1]["data"]


def test_a_handshake_comes_first(environment, tmp_path):
    """Before a handshake only ping is answered; a client with an unknown version gets the latest version that has a
    handshake."""
    command = [sys.executable, "-m", "kosmolua", "mcp:serve"]
    lines = [
        {"id": 1, "method": "ping"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "initialize", "params": {"capabilities": {}}},
        {"id": 4, "method": "initialize", "params": {"protocolVersion": "1999-01-01", "capabilities": {}}},
        {"id": 5, "method": "prompts/list"},
    ]
    sent = "".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in lines)
    ran = subprocess.run(
        command, input=sent, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    answers = {answer["id"]: answer for answer in map(json.loads, ran.stdout.splitlines())}

    assert {} == answers[1]["result"]
    assert "send initialize first" in answers[2]["error"]["message"]
    assert "expected a string - at `protocolVersion`" in answers[3]["error"]["message"]
    assert "2025-11-25" == answers[4]["result"]["protocolVersion"]
    assert "prompts" in answers[5]["result"]


def test_a_line_that_is_too_long_is_skipped(wire):
    """A line that is too long is refused without being stored, and the next line is answered."""
    with wire() as line:
        line.send(b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * MAX_LINE + b'"}')
        refused = line.receive()
        assert {} == line.ask({"id": 2, "method": "ping"})["result"]

    assert f"a message of more than {MAX_LINE} bytes" in refused["error"]["message"]


def test_an_id_is_used_once_at_a_time(wire, server):
    """A request with the id of an open request is refused, and the open request is answered."""
    with wire("--code") as line:
        line.call(1, "execute_lua", {"source": "sleep(0.5) return 1"})
        line.call(1, "execute_lua", {"source": "return 2"})
        answers = [line.receive(), line.receive()]

    assert -32600 == answers[0]["error"]["code"]
    assert 1 == answers[1]["result"]["structuredContent"]["result"]


def test_functions_of_the_user_are_tools(connected, tmp_path):
    """Each function of the user has a tool with a schema and a documentation page, and can be called by scripts."""
    (tmp_path / "mine.py").write_text('def notify(text: str):\n    "Tell the operator."\n    return text.upper()\n')

    async def main():
        flags = ["--code", "--tools", "custom*", "--write", "allow", "--emulate", "--functions", "mine:notify"]
        async with connected(*flags) as client:
            tools = {tool["name"]: tool for tool in wire_format((await client.list_tools()).tools)}
            called = await client.call_tool("custom_notify", {"text": "a"})
            ran = await client.call_tool("execute_lua", {"source": "return custom.notify{ text = 'b' }"})
            found = await client.call_tool("search_docs", {"query": "operator"})
            page = await client.call_tool("read_docs", {"name": "custom.notify"})
            return tools, [each.structured_content for each in (called, ran, found, page)]

    tools, (called, ran, found, page) = asyncio.run(main())

    assert ["text"] == [*tools["custom_notify"]["inputSchema"]["properties"]]
    assert ("Tell the operator.", False) == (
        tools["custom_notify"]["description"], tools["custom_notify"]["annotations"]["readOnlyHint"],
    )  # fmt: skip
    assert ("A", "B") == (called["data"], ran["result"])
    assert "custom.notify" == found["data"]["results"][0]["name"]
    assert page["data"].startswith("# custom.notify (write)")


def test_kept_scripts_are_found_and_are_tools(connected, tmp_path):
    """Stored scripts are described by their headers; the tool of a script checks the arguments and runs the script."""
    directory = tmp_path / "config" / "scripts"
    directory.mkdir(parents=True)
    header = "--@ describe: Draw a lighthouse\n--@ arg count integer = 2: how many\n"
    (directory / "draw.lua").write_text(f"{header}return args.count\n")
    (directory / "broken.lua").write_text("--@ arg\n")

    async def main():
        async with connected("--code", "--scripts", "--emulate") as client:
            tools = {tool["name"]: tool for tool in wire_format((await client.list_tools()).tools)}
            calls = (
                ("script_draw", {"count": 3}), ("script_draw", {}), ("script_draw", {"count": "x"}), ("script_no", {}),
                ("search_docs", {"query": "lighthouse"}), ("read_docs", {"name": "scripts.draw"}),
            )  # fmt: skip
            return tools, [(await client.call_tool(*call)).structured_content for call in calls]

    tools, (three, default, wrong, missing, found, page) = asyncio.run(main())

    assert {"script_draw", "execute_lua", "runs", "search_docs", "read_docs"} == tools.keys()
    assert "integer" == tools["script_draw"]["inputSchema"]["properties"]["count"]["type"]
    assert (3, 2) == (three["result"], default["result"])
    assert ("invalid_arguments", "usage") == (wrong["code"], missing["code"])
    assert {"name": "scripts.draw", "kind": "script", "summary": "Draw a lighthouse"} == found["data"]["results"][0]
    assert "return args.count" in page["data"]


@pytest.mark.parametrize(
    ("modes", "can_ask"), [({}, True), ({"form": {}}, True), ({"form": {}, "url": {}}, True), ({"url": {}}, False)]
)
def test_clients_with_forms_are_asked(modes, can_ask):
    """An empty elicitation capability means forms, as in protocol versions before modes."""
    assert can_ask == can_elicit({"elicitation": modes})
    assert not can_elicit({})
    assert not can_elicit(None)
