"""Measures what docs/mcp.md states about tools: how much of a model's context their definitions take, for this server
and for Replicate's own server (the npm package replicate-mcp).

    python tests/bench/mcp_tools.py [--modules DIR]

DIR contains node_modules with both packages; without it npm installs them into a temporary folder. Nothing is sent to
Replicate. Tokens are counted with o200k_base in the compact JSON of the tools, as it is sent.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

PACKAGES = ("replicate-mcp@0.9.0", "gpt-tokenizer@4.0.0")
COUNT = """
const { encode } = require("gpt-tokenizer/encoding/o200k_base");
process.stdout.write(String(encode(require("fs").readFileSync(0, "utf8")).length));
"""
CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def listed(command, environment):
    """The tools of a server, as JSON text."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as server:

        def send(message):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        send({"id": 1, "method": "initialize", "params": CLIENT})
        server.stdout.readline()
        send({"method": "notifications/initialized"})
        send({"id": 2, "method": "tools/list"})
        tools = json.loads(server.stdout.readline())["result"]["tools"]
        server.kill()
    return len(tools), json.dumps(tools, ensure_ascii=False, separators=(",", ":"))


def tokens(text, modules):
    counted = subprocess.run(["node", "-e", COUNT], cwd=modules, input=text, capture_output=True, text=True, check=True)
    return int(counted.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", metavar="DIR", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        modules = given.modules or home
        if not given.modules:
            subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", home, *PACKAGES], check=True
            )
        environment = {
            **os.environ, "REPLICATE_API_TOKEN": "r8_none", "KOSMO_CONFIG_DIR": str(home), "KOSMO_STATE_DIR": str(home),
        }  # fmt: skip
        theirs = ["node", str(modules / "node_modules" / "replicate-mcp" / "index.js")]
        ours = [sys.executable, "-m", "kosmolua", "mcp:serve"]
        servers = {
            "replicate-mcp": theirs,
            "replicate-mcp --tools=dynamic": [*theirs, "--tools=dynamic"],
            "kosmo mcp:serve --write allow": [*ours, "--write", "allow"],
            "kosmo mcp:serve": ours,
            "kosmo mcp:serve --code": [*ours, "--code"],
        }
        print(f"{'server':32}{'tools':>7}{'bytes':>9}{'tokens':>9}")
        for name, command in servers.items():
            count, text = listed(command, environment)
            print(f"{name:32}{count:7}{len(text.encode()):9,}{tokens(text, modules):9,}")


if __name__ == "__main__":
    main()
