"""Kills `kosmo mcp:serve` around questions, decisions, requests and answers, and counts the predictions that were
created.

    python tests/mcp/kills.py [--rounds N] [--seed N]

A round is one `execute_lua` with three calls that need approval, two of them concurrent, over standard input and output
or over HTTP. The server is killed at any moment: while a script runs, after the client received a question, while
`kosmo approvals` decides, when a request arrives at the API, or before an answer is read. A new server continues the
run by its id until the run has ended. The program then checks that each approved call was sent once, that no other call
was sent, and that none was sent before its approval.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "worker")]
from approvals_chaos import SCRIPT, Checking  # noqa: E402 - after the change of sys.path
from flows import HurryingClock  # noqa: E402
from surroundings import clean_environment  # noqa: E402

from kosmolua.emulator import Emulator, running  # noqa: E402
from kosmolua.journal.local_approvals import ApprovalFile  # noqa: E402

MAX_STARTS = 60
FRESH = 20  # rounds with one emulator, which removes inputs after an hour of its clock, as the API does
LONGEST = 0.7  # seconds until a kill; a server takes 0.2 to 0.6 to start
LOOK = "0.3"  # seconds after which a call returns while its script continues
VERSION = "2025-06-18"
HELLO = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "kills", "version": "1"}}
KOSMO = [sys.executable, "-m", "kosmolua"]


class Dead(Exception):  # noqa: N818 - an expected end, not an error
    """The server was killed before it answered."""


class Doors(Checking):
    """An emulator that kills the server ``victim`` when a create arrives."""

    victim = None

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith("/predictions"):
            victim, self.victim = self.victim, None
            if victim:
                victim.kill()
        return super().__call__(environ, start_response)


class Streams:
    """A client's connection to a server over standard input and output."""

    flags = ()

    def __init__(self, process):
        self._process = process

    def ask(self, method, params):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), json.dumps(message).encode() + b"\n")
        for line in self._process.stdout:
            found = json.loads(line)
            if found.get("id") == 1:
                return found["result"]
        raise Dead


class Http:
    """A client's connection to a server over HTTP."""

    flags = ("--http", "127.0.0.1:0", "--no-token")

    def __init__(self, process):
        words = process.stderr.readline().split()
        if not words:
            raise Dead
        self._url = words[2].decode().rstrip(";")
        self._headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}

    def ask(self, method, params):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            answer = httpx.post(self._url, json=message, headers=self._headers, timeout=120, trust_env=False)
        except httpx.TransportError:
            raise Dead from None
        if "mcp-session-id" in answer.headers:
            self._headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        for line in answer.text.splitlines():
            if line.startswith("data: {"):
                return json.loads(line.removeprefix("data: "))["result"]
        raise Dead


class Round:
    def __init__(self, directory, url, server, dice, events, kind):
        self.server = server
        self.dice = dice
        self.events = events
        self.kind = kind
        self.verdicts = {}
        self.name = f"{dice.getrandbits(32):x}"
        self.run = None
        self.state = directory / "state"
        own = {"KOSMO_STATE_DIR": str(self.state), "REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_kills"}
        self.environment = {**clean_environment(directory), **own}
        self.file = ApprovalFile(self.environment)
        self.command = [*KOSMO, "mcp:serve", "--code", "--write", "ask", "--return-after", LOOK, *kind.flags]

    def go(self):
        for _ in range(MAX_STARTS):
            with self._started() as process:
                try:
                    found = self._served(process)
                except Dead:
                    self.events["killed"] += 1
                    found = None
                finally:
                    process.kill()
            if found:
                return self._check(found)
            self.run = self.run or self._recorded()
        raise AssertionError(f"the run did not end after {MAX_STARTS} starts")

    def _started(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if "--http" in self.command:
            pipes["stdin"] = subprocess.DEVNULL
        return subprocess.Popen(self.command, env=self.environment, cwd=self.state.parent, **pipes)

    def _served(self, process):
        """Use one server until its run has ended or the server is killed. Returns the result of the run."""
        when = self.dice.choice(["any", "any", "sent", "asked", "deciding", "decided", "never"])
        if when == "any":
            timer = threading.Timer(self.dice.uniform(0.05, LONGEST), process.kill)
            timer.start()
        self.server.victim = process if when == "sent" else None
        client = self.kind(process)
        client.ask("initialize", HELLO)
        found = self._call(client, {"id": self.run} if self.run else {"source": SCRIPT, "args": [self.name]})
        while not found.get("result"):
            assert found.get("status") in ("waiting", "running"), found
            self.run = found["id"]
            if found["status"] == "waiting":
                self.events["asked"] += 1
                if when == "asked":
                    raise Dead
                self._decide(process if when == "deciding" else None)
                if when == "decided":
                    raise Dead
            found = self._call(client, {"id": self.run})
        return found

    def _call(self, client, arguments):
        return client.ask("tools/call", {"name": "execute_lua", "arguments": arguments})["structuredContent"]

    def _decide(self, victim):
        """Decide some questions, partly with the command that a person uses; the server ``victim`` is killed
        meanwhile."""
        for one in self.file.listed():
            if self.dice.random() < 0.3:
                continue
            text = json.loads(one.arguments)["input"]["text"]
            assert text not in self.verdicts, f"{text} was asked again, though decided"
            verdict, word = self.dice.choice([("approved", "approve"), ("approved", "approve"), ("denied", "deny")])
            self.verdicts[text] = verdict
            if verdict == "approved":
                self.server.approved.add(text)
            if victim:
                threading.Timer(self.dice.uniform(0, 0.4), victim.kill).start()
            if victim or self.dice.random() < 0.3:
                command = [*KOSMO, "approvals", word, one.id]
                subprocess.run(command, env=self.environment, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            else:
                self.file.decide([one.id], verdict, "bob")
            self.events[verdict] += 1

    def _recorded(self):
        """The id of a run whose id the client never received, and which a person would find with `kosmo runs`."""
        found = [*(self.state / "runs").glob("mcp-*.journal")] if self.state.exists() else []
        assert len(found) <= 1, found
        return found[0].name.removesuffix(".journal") if found and found[0].stat().st_size else None

    def _check(self, found):
        told = {f"{self.name}-{n}": result for n, result in enumerate(found["results"], 1)}
        assert {text: "sent" if each == "approved" else "denied" for text, each in self.verdicts.items()} == told
        sent = {text: 1 for text, each in self.verdicts.items() if each == "approved"}
        assert sent == {text: count for text, count in self.server.sent.items() if text.startswith(self.name)}
        assert [] == self.server.early
        self.events["rounds"] += 1
        self.events["sent"] += len(sent)


def go(directory, rounds, seed, kinds=(Streams, Streams, Streams, Http), tell=lambda _: None):
    """Run that many rounds. Returns how often servers were killed, and calls asked about, approved, denied and sent."""
    dice, events = random.Random(seed), Counter()
    for begun in range(0, rounds, FRESH):
        server = Doors(Emulator(clock=HurryingClock(5), faults=["slow:create_prediction:seconds=0.3:times=*"]))
        with running(server) as url:
            for number in range(begun, min(rounds, begun + FRESH)):
                place = Path(directory) / str(number)
                place.mkdir()
                Round(place, url, server, dice, events, kinds[number % len(kinds)]).go()
                tell(f"{number + 1} rounds, {dict(events)}")
    return events


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that started processes are ended
    os.environ.pop("KOSMO_STATE_DIR", None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        go(directory, chosen.rounds, chosen.seed, tell=lambda text: print(text, flush=True))
    took = time.monotonic() - began
    print(f"{chosen.rounds} rounds in {took:.0f} s: sent once if approved, never otherwise")


if __name__ == "__main__":
    main()
