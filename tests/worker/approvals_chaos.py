"""Kill workers before and after questions, decisions, requests and answers, and count the predictions created.

    python tests/worker/approvals_chaos.py [--rounds N] [--seed N]

A round is a run with three calls that need approval, two of them at once, each approved or denied at random. Ten rounds
run at the same time, while each of their workers is killed at a step or during a decision. At the end each approved
call was sent once and after its approval, and no other call was sent.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from fleet import Fleet, Timed  # noqa: E402 - found by the line above
from postgres import serving  # noqa: E402
from waiting import let_pass  # noqa: E402

from kosmolua.errors import KosmoError  # noqa: E402
from kosmolua.worker import approvals, runs  # noqa: E402

STEPS = [
    *("before_question", "asked", "before_park", "parked", "claimed", "before_intent", "after_intent", "answered"),
    "recorded",
]
AT_ONCE, WORKERS = 10, 4
HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SCRIPT = f"""
local function call(text)
  local given = {{ version = "{HELLO}", input = {{ text = text }} }}
  local ok, found = pcall(integrations.replicate.create_prediction, given)
  if not ok and found.code ~= "permission_denied" then error(found) end
  return ok and "sent" or "denied"
end
local both = parallel({{ "1", "2" }}, function(n) return call(args[1] .. "-" .. n) end)
return both[1], both[2], call(args[1] .. "-3")
"""


class Checking(Timed):
    """A server that records the text of each create, and lists creates that came before their approval."""

    def __init__(self, application):
        super().__init__(application)
        self.sent = Counter()
        self.approved = set()
        self.early = []

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith("/predictions"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = _Again(body)
            text = json.loads(body)["input"]["text"]
            self.sent[text] += 1
            if text not in self.approved:
                self.early.append(text)
        return super().__call__(environ, start_response)


class _Again:
    """A body that was read and can be read again."""

    def __init__(self, body):
        self._left = body

    def read(self, size=-1):
        found, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return found


class Chaos:
    def __init__(self, fleet, dice):
        self.fleet = fleet
        self.dice = dice
        self.events = Counter()

    def batch(self, count):
        """Run this many rounds at the same time."""
        fleet = self.fleet
        fleet.fresh("slow:create_prediction:seconds=0.1:times=*")
        fleet.server.sent, fleet.server.approved, fleet.server.early = Counter(), set(), []
        for worker in fleet.workers:
            worker.kill()
            worker.wait()
        self._replace(faulty=True)
        named = f"{self.dice.getrandbits(32):x}-"
        fleet.submit(count, SCRIPT, name=named, by="ana")
        verdicts = {}
        until = time.monotonic() + 180
        while set(fleet.states()) != {"done"}:
            assert time.monotonic() < until, f"{fleet.states()}\n{fleet.log()}"
            self._decide(verdicts)
            self._resume()
            self._replace(faulty=self.dice.random() < 0.7)
            let_pass(0.05)
        self._check(count, verdicts)

    def _decide(self, verdicts):
        """Decide one of the questions, and possibly kill a worker just before or after."""
        try:
            waiting = approvals.listed(self.fleet.database)
        except KosmoError:
            return
        if not waiting or self.dice.random() < 0.3:
            return
        one = self.dice.choice(waiting)
        text = json.loads(one.arguments)["input"]["text"]
        verdict = self.dice.choice(["approved", "approved", "denied"])
        when = self.dice.choice(["before", "after", "never", "never", "never"])
        if when == "before":
            self._kill("before the decision")
        if verdict == "approved":
            self.fleet.server.approved.add(text)
        approvals.decide(self.fleet.database, [one.id], verdict, "bob")
        assert text not in verdicts, f"{text} was asked again, though decided"
        verdicts[text] = verdict
        if when == "after":
            self._kill("after the decision")

    def _resume(self):
        """Resume runs that failed because too many of their workers died."""
        for one in runs.listed(self.fleet.database):
            if one.state == "failed":
                assert (one.error or "").startswith("script_crashed: its worker died"), f"{one.id}: {one.error}"
                self.events["resumed"] += runs.resume(self.fleet.database, one.id)

    def _kill(self, name):
        self.dice.choice(self.fleet.workers).kill()
        self.events[name] += 1

    def _replace(self, *, faulty):
        """Start a worker for each one that has died; a worker with a fault dies at a step."""
        fleet = self.fleet
        for worker in [each for each in fleet.workers if each.poll() is not None]:
            fleet.workers.remove(worker)
        while len(fleet.workers) < WORKERS:
            step = self.dice.choice(STEPS) if faulty else ""
            self.events[step or "no fault"] += 1
            fleet.start(f"{step}:SIGKILL" if step else "", write="ask", lease=2.0, settling=1.0)

    def _check(self, count, verdicts):
        found = runs.listed(self.fleet.database)
        assert {"done": count} == Counter(one.state for one in found), [(one.state, one.error) for one in found]
        assert 3 * count == len(verdicts)
        told = {}
        for one in found:
            told |= {f"{one.args[0]}-{n}": result for n, result in enumerate(one.results, 1)}
        assert {text: "sent" if verdict == "approved" else "denied" for text, verdict in verdicts.items()} == told
        sent = {text: 1 for text, verdict in verdicts.items() if verdict == "approved"}
        assert sent == dict(self.fleet.server.sent), self.fleet.server.sent
        assert len(sent) == len(self.fleet.emulator._world.predictions)
        assert [] == self.fleet.server.early


def go(url, directory, rounds, seed, tell=lambda _: None):
    """Run this many rounds. Return how often workers were started with each fault or killed around a decision."""
    fleet = Fleet(url, directory, speed=20)  # after an hour by its clock the emulator deletes inputs, as the API does
    fleet.server = Checking(fleet.emulator)
    chaos = Chaos(fleet, random.Random(seed))
    with fleet.serving():
        for begun in range(0, rounds, AT_ONCE):
            chaos.batch(min(AT_ONCE, rounds - begun))
            tell(f"{min(rounds, begun + AT_ONCE)} rounds, {dict(chaos.events)}")
    return chaos.events


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and the processes that were started have ended
    began = time.monotonic()
    with serving() as server, tempfile.TemporaryDirectory() as directory:
        go(server.url, directory, chosen.rounds, chosen.seed, lambda text: print(text, flush=True))
    print(f"{chosen.rounds} rounds in {time.monotonic() - began:.0f} s: sent once if approved, never otherwise")


if __name__ == "__main__":
    main()
