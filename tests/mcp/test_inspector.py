"""The command line of the official inspector, of which KOSMOLUA_OFFICIAL_INSPECTOR names a folder that holds
node_modules, meets the server as any client does.
"""

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


def test_it_lists_the_tools(inspect):
    """Code mode has its tools; otherwise there is one for each reading function, and none that writes."""
    code = json.loads(inspect(["--code"], "tools/list").stdout)["tools"]
    tools = {tool["name"]: tool for tool in json.loads(inspect([], "tools/list").stdout)["tools"]}

    assert ["execute_lua", "read_docs", "runs", "search_docs"] == sorted(tool["name"] for tool in code)
    assert 22 == len(tools)
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools.values())


def test_it_calls_a_tool(inspect):
    """A function returns its data; a script its results and calls."""
    called = inspect(["--emulate"], "tools/call", "--tool-name", f"{FUNCTION}get_account")
    source = "source=return integrations.replicate.get_account().username"
    ran = inspect(["--code", "--emulate"], "tools/call", "--tool-name", "execute_lua", "--tool-arg", source)

    assert "emulator" == json.loads(called.stdout)["structuredContent"]["data"]["username"]
    answer = json.loads(ran.stdout)["structuredContent"]
    assert ("emulator", ["get_account"]) == (answer["result"], [call["function"] for call in answer["call_log"]])


def test_it_cannot_call_a_denied_write(inspect):
    """The tool does not exist, and the protocol's error says so."""
    arguments = ["--tool-name", f"{FUNCTION}cancel_prediction", "--tool-arg", "prediction_id=p"]
    refused = inspect(["--emulate"], "tools/call", *arguments)

    assert 1 == refused.returncode
    assert "cancel_prediction is not available: the policy denies this write" in refused.stderr
