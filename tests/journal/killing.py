"""Kills the host, the child or both of a journalled run at random moments, and resumes the run until it ends; counts
the creates that the server received.

    python tests/journal/killing.py [--rounds N] [--seed N]
"""

# ruff: noqa: T201 - figures are printed
import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

from kosmolua.emulator import Emulator, running

sys.path[:0] = [str(Path(__file__).parent.parent)]
from flows import HurryingClock  # noqa: E402 - after the change of sys.path
from waiting import let_pass  # noqa: E402
from warm import Warm  # noqa: E402

HERE = Path(__file__).parent
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
CREATES = 12
FINISH = """
local function finish(p)
  while p.status ~= "succeeded" do
    sleep(0.002)
    p = integrations.replicate.get_prediction{ prediction_id = p.id }
  end
  return p.output
end
local function hello(text, prefer)
  return finish(integrations.replicate.create_prediction{ version = args[1], input = { text = text }, prefer = prefer })
end
"""
# Every second create is answered after its prediction has ended, so that the prediction often exists long before.
CHAIN = f"""{FINISH}
local text = "start"
for i = 1, 12 do
  text = hello(text .. math.random(0, 9), i % 2 == 0 and "wait=60" or nil)
end
return text
"""
# Also twelve creates: three chains of four. Two chains make equal requests, and the first answer decides what follows.
BRAID = f"""{FINISH}
local texts = parallel({{ "same", "same", "other" }}, function(text, i)
  for step = 1, 3 do
    text = hello(text, step == i and "wait=60" or nil)
  end
  return text
end)
local first = race{{
  function() sleep(0.002 * math.random(3)) return "left" end,
  function() sleep(0.002 * math.random(3)) return "right" end,
}}
for i = 1, 3 do
  texts[i] = hello(first .. i .. texts[i])
end
for key, value in pairs{{ a = 1, b = 2, c = 3 }} do
  texts[#texts + 1] = key .. value
end
return table.concat(texts, ";")
"""
# The same chain with the helpers of lua/workflow, which poll at random intervals and search for their own creates.
WORKFLOW = """
local run, text = integrations.replicate.run, "start"
for i = 1, 12 do
  local options = { interval = 0.002, wait = i % 2 == 0 }
  text = run("replicate/hello-world:" .. args[1], { text = text .. math.random(0, 9) }, options)
end
return text
"""
SCRIPTS = {"chain": CHAIN, "braid": BRAID, "workflow": WORKFLOW}


class Server:
    """An emulator with an accelerated clock, which can be replaced by a new one."""

    def __init__(self):
        self.fresh()

    def fresh(self, faults=()):
        self.emulator = Emulator(clock=HurryingClock(40), faults=faults)

    def __call__(self, environ, start_response):
        return self.emulator(environ, start_response)

    def close(self):
        self.emulator.close()

    def created(self):
        return list(self.emulator._world.predictions.values())


@contextmanager
def set_up():
    server = Server()
    with tempfile.TemporaryDirectory() as directory, running(server) as url:
        environment = {**os.environ, "REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_x", "KOSMO_STATE_DIR": directory}
        host = Warm(environment, directory)
        try:
            yield Path(directory), host, server
        finally:
            host.close()


def children(pid):
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill(pid, who):
    """End the host process, the script process or both, if they are running."""
    victims = children(pid) if who != "host" else []
    for victim in [*victims, *([pid] if who != "child" else [])]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def one_round(directory, host, server, dice, name):
    """Run a script until it ends, and kill it several times. Returns the number of kills and the result."""
    server.fresh([f"slow:create_prediction:seconds={dice.choice([0, 0.2, 0.8])}:times=*"])
    path, file = directory / f"{time.monotonic_ns()}.journal", directory / "written"
    argv = ["lua", "--eval", SCRIPTS[name], "--journal", str(path), "--write", "allow", "--settling-time", "0.25",
            "--json", "--", VERSION]  # fmt: skip
    kills, most = 0, dice.randrange(1, 6)
    while True:
        pid = host.start(argv, file)
        killed = kills < most
        if killed:
            let_pass(dice.uniform(0.02, 0.3))
            kill(pid, dice.choice(["host", "child", "both"]))
            kills += 1
        if host.wait() == 0:
            return kills, json.loads(file.read_text().strip().splitlines()[-1])
        text = file.read_text()
        assert killed, text
        assert '"success":false' not in text or "script_crashed" in text, text


def check(server, envelope, name):
    """Check that the server received exactly the script's creates, each with the input that follows from the one
    before."""
    made = server.created()
    assert CREATES == len(made), [job.given for job in made]
    clock = server.emulator.clock
    inputs = Counter(job.given["text"] for job in made)
    outputs = Counter(job.output(job.at(clock.time())) for job in made)
    if name != "braid":
        texts = [job.given["text"] for job in made]
        results = [job.output(job.at(clock.time())) for job in made]
        assert all(texts[i + 1].startswith(results[i]) for i in range(CREATES - 1)), texts
        assert envelope["result"] == results[-1]
    else:
        assert inputs["same"] == 2, inputs
        assert all(outputs[text] for text in envelope["result"].split(";")[:3]), envelope["result"]
        assert envelope["result"].endswith("a1;b2;c3")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    dice, kills, began = random.Random(chosen.seed), 0, time.monotonic()
    print(f"seed {chosen.seed}")
    with set_up() as (directory, host, server):
        for number in range(chosen.rounds):
            name = dice.choice(sorted(SCRIPTS))
            killed, envelope = one_round(directory, host, server, dice, name)
            check(server, envelope, name)
            kills += killed
            if number % 50 == 49:
                print(f"{number + 1} rounds, {kills} kills, {time.monotonic() - began:.0f} s", flush=True)
        calls = [json.loads(line) for line in (directory / "audit.jsonl").read_text().splitlines()]
        adopted = sum("was done before" in call["rule"] for call in calls)
        looked = sum(call["by"] == "journal" and call["function"] == "get_account" for call in calls)
    print(f"{chosen.rounds} rounds, {kills} kills: {CREATES} creates in each, and the right result")
    print(f"{looked} creates looked for, {adopted} of them found, the others sent again")


if __name__ == "__main__":
    main()
