"""Measures the start-up that docs/mcp.md states: CPU and wall time until `initialize` and `tools/list` are answered, of
this server and of Replicate's own server (the npm package replicate-mcp).

    python tests/bench/mcp_start.py --modules DIR [--rounds 9]

DIR contains node_modules with replicate-mcp. CPU time is that of the server's threads, without its children.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def started(command, environment):
    """CPU and wall time of one start, in milliseconds."""
    began = time.perf_counter()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as server:

        def send(message):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        send({"id": 1, "method": "initialize", "params": CLIENT})
        server.stdout.readline()
        send({"method": "notifications/initialized"})
        send({"id": 2, "method": "tools/list"})
        assert "tools" in server.stdout.readline()
        wall = time.perf_counter() - began
        tasks = Path(f"/proc/{server.pid}/task").iterdir()
        cpu = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
        server.kill()
    return cpu / 1e6, wall * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", metavar="DIR", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    ours = [sys.executable, "-m", "kosmolua", "mcp:serve"]
    servers = {
        "replicate-mcp": ["node", str(given.modules / "node_modules" / "replicate-mcp" / "index.js")],
        "kosmo mcp:serve --write allow": [*ours, "--write", "allow"],
        "kosmo mcp:serve --code": [*ours, "--code"],
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ, "REPLICATE_API_TOKEN": "r8_none", "KOSMO_CONFIG_DIR": home, "KOSMO_STATE_DIR": home,
        }  # fmt: skip
        measured = {name: [] for name in servers}
        for _ in range(given.rounds):
            for name, command in servers.items():
                measured[name].append(started(command, environment))
    for name, rounds in measured.items():
        cpu, wall = (statistics.median(found) for found in zip(*rounds, strict=True))
        print(f"{name:32}{cpu:7.0f} ms of CPU{wall:8.0f} ms")


if __name__ == "__main__":
    main()
