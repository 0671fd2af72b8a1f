"""The permission matrix of verdict, access, interface and flag, checked by counting requests at a server."""

import json
import os
import subprocess
import sys

import pytest

READ = ("get_prediction", {"prediction_id": "p"})
WRITE = ("create_prediction", {"version": "v", "input": {"text": "a"}})
SENT = {"allow": True, "ask": False, "deny": False}


def lua(function, arguments, *, protected):
    call = f"integrations.replicate.{function}(json.decode(args[1]))"
    source = f"local ok = pcall(function() {call} end)" if protected else call
    return ["lua", "--eval", source], ["--", json.dumps(arguments)]


DOORS = {
    "call": lambda function, arguments: (
        ["integrations:call", f"replicate.replicate_{function}", json.dumps(arguments)], [],
    ),
    "shortcut": lambda function, arguments: (["integrations:replicate", function, json.dumps(arguments)], []),
    "lua": lambda function, arguments: lua(function, arguments, protected=False),
    "lua-pcall": lambda function, arguments: lua(function, arguments, protected=True),
}  # fmt: skip


@pytest.mark.parametrize("flag", ["", "--force", "--dry-run"], ids=["none", "force", "dry-run"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("verdict", SENT)
@pytest.mark.parametrize(("access", "target"), [("read", READ), ("write", WRITE)], ids=["read", "write"])
def test_requests_by_verdict_and_flag(server, tmp_path, access, target, verdict, door, flag):
    """Allowed calls are sent; calls that need approval or are denied are not. --force sends all calls, and a dry run
    none.
    """
    head, tail = DOORS[door](*target)
    command = [sys.executable, "-m", "kosmolua", *head, f"--{access}", verdict, *([flag] if flag else []), *tail]
    environment = {**os.environ, "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked"}

    ran = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, check=False
    )

    sent = flag == "--force" or (flag == "" and SENT[verdict])
    assert int(sent) == len(server.requests)
    refused = not sent and not (flag == "--dry-run" and verdict != "deny")
    assert ran.returncode == (3 if refused and door != "lua-pcall" else 0), ran.stderr
