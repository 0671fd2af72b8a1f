"""The command line of the official inspector can use the server like any client. The variable
KOSMOLUA_OFFICIAL_INSPECTOR names a folder that contains node_modules with the inspector."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from official import from_npm

INSPECTOR = "@modelcontextprotocol/inspector-cli@0.15.0"
FUNCTION = "replicate_"


@pytest.fixture
def inspect(environment):
    home = from_npm(INSPECTOR, variable="KOSMOLUA_OFFICIAL_INSPECTOR")
    program = Path(sys.executable).with_name("kosmo")

    def run(flags, method, *more):
        command = [
            home / "node_modules" / ".bin" / "mcp-inspector-cli",
            "--cli",
            program,
            "mcp:serve",
            *flags,
            "--method",
            method,
        ]
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, check=False, timeout=60, env=environment
        )

    return run


def test_the_inspector_lists_the_tools(inspect):
    """With --code the tools for scripts are listed; otherwise there is one tool for each function that reads, and none
    for a function that writes."""
    code = json.loads(inspect(["--code"], "tools/list").stdout)["tools"]
    tools = {tool["name"]: tool for tool in json.loads(inspect([], "tools/list").stdout)["tools"]}

    assert ["execute_lua", "read_docs", "runs", "search_docs"] == sorted(tool["name"] for tool in code)
    assert 22 == len(tools)
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools.values())


def test_the_inspector_calls_a_tool(inspect):
    """A function's tool returns the function's data; a script's tool returns the results and calls of the script."""
    called = inspect(["--emulate"], "tools/call", "--tool-name", f"{FUNCTION}get_account")
    source = "source=return integrations.replicate.get_account().username"
    ran = inspect(["--code", "--emulate"], "tools/call", "--tool-name", "execute_lua", "--tool-arg", source)

    assert "emulator" == json.loads(called.stdout)["structuredContent"]["data"]["username"]
    answer = json.loads(ran.stdout)["structuredContent"]
    assert ("emulator", ["get_account"]) == (answer["result"], [call["function"] for call in answer["call_log"]])


def test_the_inspector_cannot_call_a_denied_write(inspect):
    """There is no tool for a denied write, and the protocol's error says so."""
    arguments = ["--tool-name", f"{FUNCTION}cancel_prediction", "--tool-arg", "prediction_id=p"]
    refused = inspect(["--emulate"], "tools/call", *arguments)

    assert 1 == refused.returncode
    assert "cancel_prediction is not available: the policy denies this write" in refused.stderr
