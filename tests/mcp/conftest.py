import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

import pytest
from mcp import Client, StdioServerParameters

FUNCTION = "replicate_"


@pytest.fixture
def environment(tmp_path, server):
    """The environment of a server: a token for the recording server, and separate directories."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return {
        **found,
        "HOME": str(tmp_path),
        "KOSMO_CONFIG_DIR": str(tmp_path / "config"),
        "REPLICATE_URL": server.url,
        "REPLICATE_API_KEY": "r8_marked_token",
    }


@pytest.fixture
def configured(tmp_path):
    def write(text):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "config.toml").write_text(text)

    return write


@pytest.fixture
def connected(environment, tmp_path):
    """The official client, connected to a server in a separate process."""

    @asynccontextmanager
    async def connect(*flags, **options):
        command = ["-m", "kosmolua", "mcp:serve", *flags]
        parameters = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=tmp_path)
        async with Client(parameters, **options) as client:
            yield client

    return connect


class Wire:
    """A server to which a test sends single lines."""

    def __init__(self, process):
        self.process = process

    def send(self, message):
        line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def receive(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, message):
        self.send(message)
        return self.receive()

    def call(self, number, name, arguments, **more):
        self.send({"id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments, **more}})

    def shake_hands(self):
        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self.ask({"id": "hello", "method": "initialize", "params": client})
        self.send({"method": "notifications/initialized"})


@pytest.fixture
def wire(environment, tmp_path):
    @contextmanager
    def start(*flags):
        command = [sys.executable, "-m", "kosmolua", "mcp:serve", *flags]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes) as process:
            try:
                made = Wire(process)
                made.shake_hands()
                yield made
            finally:
                process.kill()

    return start
