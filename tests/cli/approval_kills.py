"""Kills `kosmo lua --wait-for-approval` at random moments, and counts the predictions that were created.

    python tests/cli/approval_kills.py [--rounds N] [--seed N]

A round is a run with three calls that need approval, two of them concurrent. Its process is killed at random moments
and restarted until the run has ended; questions are approved or denied at random. The script then checks that each
approved call was sent once, that no other call was sent, and that none was sent before its approval.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "worker")]
from approvals_chaos import SCRIPT, Checking  # noqa: E402 - after the change of sys.path
from flows import HurryingClock  # noqa: E402
from surroundings import clean_environment  # noqa: E402

from kosmolua.emulator import Emulator, running  # noqa: E402
from kosmolua.journal.local_approvals import ApprovalFile  # noqa: E402

MAX_STARTS = 60
LONGEST = 0.6  # seconds until a kill; a process takes 0.2 to 0.6 to start


class Round:
    def __init__(self, directory, url, server, dice, events):
        self.server = server
        self.dice = dice
        self.events = events
        self.verdicts = {}
        own = {"KOSMO_STATE_DIR": str(directory / "state"), "REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_kills"}
        self.environment = {**clean_environment(directory), **own}
        self.file = ApprovalFile(self.environment)
        flags = ["--journal", "J", "--wait-for-approval", "--settling-time", "1", "--json", "--no-check"]
        name = f"{dice.getrandbits(32):x}"
        self.command = [sys.executable, "-m", "kosmolua", "lua", *flags, "--eval", SCRIPT, "--", name]

    def go(self):
        for _ in range(MAX_STARTS):
            status, out = self._start()
            self.events[f"status {status}"] += 1
            if status == 0:
                return self._check(json.loads(out)["results"], self.command[-1])
            assert status in (6, -9), out
            self._decide()
        raise AssertionError(f"the run did not end after {MAX_STARTS} starts")

    def _start(self):
        with subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as started:
            if self.dice.random() < 0.6:
                try:
                    out, _ = started.communicate(timeout=self.dice.uniform(0.05, LONGEST))
                except subprocess.TimeoutExpired:
                    started.kill()
                    out, _ = started.communicate()
            else:
                out, _ = started.communicate()
        return started.returncode, out

    def _decide(self):
        for one in self.file.listed():
            if self.dice.random() < 0.3:
                continue
            text = json.loads(one.arguments)["input"]["text"]
            assert text not in self.verdicts, f"{text} was asked again, though decided"
            verdict = self.verdicts[text] = self.dice.choice(["approved", "approved", "denied"])
            if verdict == "approved":
                self.server.approved.add(text)
            self.file.decide([one.id], verdict, "bob")

    def _check(self, results, name):
        told = {f"{name}-{n}": result for n, result in enumerate(results, 1)}
        assert {text: "sent" if each == "approved" else "denied" for text, each in self.verdicts.items()} == told
        sent = {text: 1 for text, each in self.verdicts.items() if each == "approved"}
        assert sent == {text: count for text, count in self.server.sent.items() if text.startswith(name)}
        assert [] == self.server.early


def go(directory, rounds, seed, tell=lambda _: None):
    """Run that many rounds. Returns how often a process ended with each status; -9 means that it was killed."""
    dice, events = random.Random(seed), Counter()
    server = Checking(Emulator(clock=HurryingClock(5), faults=["slow:create_prediction:seconds=0.3:times=*"]))
    with running(server) as url:
        for number in range(rounds):
            place = Path(directory) / str(number)
            place.mkdir()
            Round(place, url, server, dice, events).go()
            tell(f"{number + 1} rounds, {dict(events)}")
    return events


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    os.environ.pop("KOSMO_STATE_DIR", None)
    with tempfile.TemporaryDirectory() as directory:
        go(directory, chosen.rounds, chosen.seed, lambda text: print(text, flush=True))
    print(f"{chosen.rounds} rounds: sent once if approved, never otherwise")


if __name__ == "__main__":
    main()
