"""Every request through every interface under every policy, checked by counting requests at a server."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
from recording_server import Answer

from kosmolua import Caps, Host, KosmoError
from kosmolua.cli import lua
from kosmolua.cli import options as options_
from kosmolua.cli import repl as repl_
from kosmolua.replicate.redact import NOTE
from kosmolua.runtime.launch import LIMITS, launch

PNG = b"\x89PNG\r\n\x1a\n"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SCHEMA = {
    "components": {
        "schemas": {
            "Input": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "Output": {"type": "string", "format": "uri"},
        }
    }
}
# The requests that the server gets for each way; in a list the first is a call, the second the page link.
WAYS = {
    "call": "/v1/trainings/t",
    "download": "/delivery/download.bin",
    "stream": "/stream/p",
    "save": "/delivery/save.png",
    "picture": "/delivery/picture.png",
    "page": "/v1/predictions?cursor=c",
    "upload": "/v1/files",
}
TRANSFERS = {"download", "stream", "save", "picture"}
SOURCE = """
local origin = "{origin}"
pcall(replicate.get_training, {{ training_id = "t" }})
pcall(download, origin .. "/delivery/download.bin", "out/d")
pcall(function()
  for _ in stream {{ id = "p", status = "starting", urls = {{ stream = origin .. "/stream/p" }} }} do end
end)
pcall(function() run("a/b", {{}}):save("out/s.png") end)
pcall(function()
  for _ in each("list_predictions", {{}}, {{ limit = 2 }}) do end
end)
pcall(replicate.create_file, {{ path = "in.bin" }})
pcall(replicate.get_prediction, {{ prediction_id = "picture" }})
return origin .. "/delivery/picture.png"
"""
RULES = """
[[replicate.rules]]
verdict = "deny"
functions = ["download", "stream"]
"""
POLICIES = {
    "allow": ["--read", "allow", "--write", "allow"],
    "ask": ["--read", "ask", "--write", "ask"],
    "deny": ["--read", "deny", "--write", "deny"],
    "needs": ["--read", "allow", "--write", "allow"],
    "max-calls": ["--read", "allow", "--write", "allow", "--max-calls", "0"],
    "dry-run": ["--read", "allow", "--write", "allow", "--dry-run"],
    "rule": ["--read", "allow", "--write", "allow"],
}


@pytest.fixture
def ground(server, tmp_path, monkeypatch):
    """A directory with the needed files, and a server that answers."""
    origin = server.url.removesuffix("/v1")
    prediction = {"id": "p", "status": "succeeded", "version": VERSION, "input": {}, "urls": {}}
    documents = {
        "/v1/models/a/b": {"owner": "a", "name": "b", "latest_version": {"id": VERSION, "openapi_schema": SCHEMA}},
        "/v1/predictions": {"results": [prediction], "next": f"{server.url}/predictions?cursor=c"},
        "/v1/predictions/p": prediction,
        "/v1/predictions/picture": {**prediction, "id": "picture", "output": f"{origin}/delivery/picture.png"},
        "/v1/models/a/b/predictions": {**prediction, "output": f"{origin}/delivery/save.png"},
        "/v1/files": {"id": "f", "urls": {"get": f"{server.url}/files/f"}},
    }
    server.routes = {path: Answer(200, json.dumps(document).encode()) for path, document in documents.items()}
    events = b"event: output\ndata: x\nid: 1\n\nevent: done\ndata: {}\nid: 2\n\n"
    server.routes["/stream/p"] = Answer(200, events, {"Content-Type": "text/event-stream"})
    server.routes |= {WAYS[way]: Answer(200, PNG) for way in ("download", "save", "picture")}
    (tmp_path / "out").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "in.bin").write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("REPLICATE_URL", server.url), ("REPLICATE_API_KEY", "r8_marked"), ("NO_COLOR", "1"), ("HOME", str(tmp_path)),
        ("KOSMO_CONFIG_DIR", str(tmp_path / "config")), ("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return tmp_path


def script(policy, server):
    header = "--@ needs: get_account\n" if policy == "needs" else ""
    return header + SOURCE.format(origin=server.url.removesuffix("/v1"))


def files(ground):
    return ["--allow-read", str(ground), "--allow-write", str(ground / "out")]


def kosmo(*argv, text=None):
    command = [sys.executable, "-m", "kosmolua", *argv]
    return subprocess.run(command, input=text, capture_output=True, check=False, env=os.environ, timeout=120)


def by_command(server, ground, policy):
    """Run each function as a command."""
    for words in (
        ["get_training", "--training_id", "t"],
        ["list_predictions", "--all"],
        ["create_file", "--path", str(ground / "in.bin")],
    ):
        kosmo("integrations:replicate", *words, *POLICIES[policy])


def by_lua(server, ground, policy):
    """Run one script, and make a page about the run with its pictures."""
    (ground / "ways.lua").write_text(script(policy, server))
    kosmo("lua", *POLICIES[policy], *files(ground), "--report", "run.html", "ways.lua")


def by_prompt(server, ground, policy):
    """Enter the same lines at the prompt, and show a picture."""
    parsed = lua._parser("repl").parse_args(["--repl", *POLICIES[policy], *files(ground)])
    shell = repl_._shell(parsed, options_.shared(parsed), [], LIMITS, launch(LIMITS))
    shell.enter(script(policy, server))
    shell.enter(":show")
    shell.close(cancel=False)


def by_tool(name, arguments, flags):
    """The result from a tool of an MCP server in its own process."""
    shake = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages = [
        {"id": 1, "method": "initialize", "params": shake},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
    ]
    command = [sys.executable, "-m", "kosmolua", "mcp:serve", "--code", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        process.stdin.flush()
        while (answer := json.loads(process.stdout.readline())).get("id") != 2:
            pass
        process.stdin.close()
    return answer["result"]


def by_mcp(server, ground, policy):
    """Call a tool that runs Lua and shows its result."""
    by_tool("execute_lua", {"source": script(policy, server)}, [*POLICIES[policy], *files(ground)])


def by_host(server, ground, policy):
    """Run a script and call the host's functions from a program."""
    said = "allow" if policy not in ("ask", "deny") else policy
    caps = Caps(calls=0) if policy == "max-calls" else None
    with Host(
        read=said, write=said, caps=caps, dry_run=policy == "dry-run",
        allow_read=[str(ground)], allow_write=[str(ground / "out")],
    ) as host:  # fmt: skip
        result = host.run(script(policy, server))
        if policy == "needs":
            return  # only scripts have a header
        with suppress(KosmoError):
            host.fetch(str(result.value), 1000)


DOORS = {"command": by_command, "lua": by_lua, "prompt": by_prompt, "mcp": by_mcp, "host": by_host}
HAS = {
    "command": {"call", "page", "upload"},
    "lua": set(WAYS),
    "prompt": set(WAYS),
    "mcp": set(WAYS),
    "host": set(WAYS),
}


# Only a script has a header, and a server for agents has no dry run.
NOT = {("command", "needs"), ("prompt", "needs"), ("mcp", "dry-run")}
CASES = [(door, policy) for door in DOORS for policy in POLICIES if (door, policy) not in NOT]


@pytest.mark.parametrize(("door", "policy"), CASES)
def test_requests_by_interface_and_policy(server, ground, door, policy):
    """All requests are sent if all are allowed, those that a rule denies are not, and otherwise none is sent."""
    if policy == "rule":
        (ground / "config" / "config.toml").write_text(RULES)

    DOORS[door](server, ground, policy)

    targets = {request.target for request in server.requests}
    reached = {way for way, target in WAYS.items() if target in targets}
    expected = {"allow": HAS[door], "rule": HAS[door] - TRANSFERS}.get(policy, set())
    assert expected == reached, targets
    assert bool(expected) == bool(server.requests)


@pytest.mark.parametrize(("flags", "most"), [([], 8), (["--max-calls", "3"], 3), (["--read", "deny"], 0)])
def test_a_tool_fetches_a_few_pictures_within_its_run(server, ground, flags, most):
    """Pictures in a script's result count for the script's budget and policy, and are listed among its calls."""
    server.default = Answer(404, b"{}")
    source = "local urls = {} for i = 1, 3000 do urls[i] = ('%s/%d.png'):format('ORIGIN', i) end return urls"
    arguments = {"source": source.replace("ORIGIN", server.url.removesuffix("/v1"))}

    answer = by_tool("execute_lua", arguments, ["--read", "allow", *flags])

    assert most == len(server.requests)
    outcomes = [(entry["function"], entry.get("outcome")) for entry in answer["structuredContent"]["call_log"]]
    assert 8 == len(outcomes)
    assert {"download"} == {function for function, _ in outcomes}


def test_an_echoed_token_is_always_removed(server, ground, monkeypatch):
    """If a server repeats request headers, no interface, file or log has the token; the notes say why."""
    token = "r8_MarkedTokenOfTheAccount123456789"
    monkeypatch.setenv("REPLICATE_API_KEY", token)
    answer = json.dumps({"id": "p", "status": "succeeded", "logs": f"Authorization: Bearer {token}", "results": []})
    server.default = Answer(200, answer.encode(), {"X-Request-Id": token})
    server.routes = {
        "/v1/hardware": Answer(400, b'{"detail": "bad header: Bearer %s"}' % token.encode()),
        "/stream/p": Answer(200, b"event: output\ndata: %s\nid: %s\n\n" % ((token.encode(),) * 2)),
    }
    source = """
      local origin = "ORIGIN"
      download(origin .. "/x", "out/x")
      local seen = { replicate.get_prediction { prediction_id = "p" }, select(2, pcall(replicate.list_hardware)) }
      for event in stream { id = "p", status = "starting", urls = { stream = origin .. "/stream/p" } } do
        seen[#seen + 1] = event.data
      end
      print(json.encode(seen))
      return seen
    """.replace("ORIGIN", server.url.removesuffix("/v1"))
    (ground / "echo.lua").write_text(source)

    flags = ["--json", "--report", "run.html", "--journal", "run.journal", "--record", "run.cassette"]
    ran = kosmo("lua", *flags, *files(ground), "echo.lua")
    tool = by_tool("execute_lua", {"source": source}, files(ground))
    command = kosmo("integrations:replicate", "get_prediction", "p", "--json")

    for shown in (ran.stdout, ran.stderr, json.dumps(tool).encode(), command.stdout, command.stderr):
        assert token.encode() not in shown
    left = [path for path in ground.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert [] == left
    notes = {entry["function"]: entry.get("note") for entry in json.loads(ran.stdout)["call_log"]}
    assert dict.fromkeys(["download", "get_prediction", "list_hardware", "stream"], NOTE) == notes
    assert b"*" * len(token) in (ground / "out" / "x").read_bytes()
