"""The prompt in a real terminal, killed while a create is under way: the same inputs with the same journal pay nothing
twice.
"""

import json
import os
import signal
import time

import pytest
from tmux import Screen

from kosmolua.emulator import Emulator, running

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
QUICK = f"a = replicate.create_prediction{{ version = '{HELLO}', input = {{ text = 'one' }} }}"
HELD = "b = replicate.create_model_prediction{ model_owner = 'minimax', model_name = 'video-01', input = { prompt = 'two' }, "


class Place:
    """An emulator over a real socket, and terminals with a prompt that calls it."""

    def __init__(self, directory, emulator, url):
        self._directory = directory
        self._environment = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_x", "NO_COLOR": "1"}
        self._open = []
        self.emulator = emulator

    def prompt(self, *argv):
        made = Screen(self._directory, "repl", "--write", "allow", *argv, environment=self._environment)
        self._open.append(made)
        return made

    def made(self):
        """What the server was asked to create."""
        return [next(iter(job.given.values())) for job in self.emulator._world.predictions.values()]

    def close(self):
        for each in self._open:
            each.close()


@pytest.fixture
def place(tmp_path, request):
    emulator = Emulator(faults=request.param)
    with running(emulator) as url:
        made = Place(tmp_path, emulator, url)
        yield made
        made.close()


def kill(screen):
    os.kill(int(screen._tmux("list-panes", "-F", "#{pane_pid}")), signal.SIGKILL)
    assert screen.ended()


def wait_until(holds):
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("place", "taken"),
    [((), True), (("slow:create_model_prediction:seconds=5",), False)],
    indirect=["place"],
    ids=["taken and not answered", "on its way"],
)
def test_a_create_under_way(place, taken, tmp_path):
    """Whether the server has it already or takes it later, it is found and not sent again."""
    file = tmp_path / "s.journal"
    held = f"{HELD}prefer = 'wait' }}"
    first = place.prompt()
    first.enter(f":journal {file}", "s.journal: 0 calls; what is asked from here on is asked live, and kept")
    first.wait_for("journal s.journal\n")
    first.enter(QUICK, "in[2]>")
    first.enter("rolled, at = math.random(1e9), time()", "in[3]>")
    first.enter("('%d %.6f'):format(rolled, at)", "in[4]>")
    (shown,) = [line for line in first.text.splitlines() if line.startswith('"')]
    first.type(held)
    first.press("Enter")
    wait_until(lambda: len(place.made()) == 1 + taken and _intents(file) == 2)
    kill(first)

    again = place.prompt("--journal", str(file))
    again.wait_for("s.journal: 2 calls; the next answer is that to\n  input 1, request 1: create_prediction {")
    again.enter(QUICK, "in[2]>")
    again.enter("rolled, at = math.random(1e9), time()", "in[3]>")
    again.enter("('%d %.6f'):format(rolled, at)", shown)
    again.type(held)
    again.press("Enter")
    again.wait_for("in[5]>", seconds=40)
    again.enter("b.input.prompt, b.id == nil", '"two"\nfalse\n')
    again.enter(QUICK.replace("one", "three"), "in[7]>")
    again.enter(":journal", "s.journal: 4 calls; what is asked from here on is asked live, and kept")
    assert ["one", "two", "three"] == place.made()
    again.enter(":log", "list_predictions         default  allow by journal")
    assert again.ended("C-d")

    calls = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    assert 1 == sum("it was done before the run ended" in call.get("rule", "") for call in calls)


def _intents(file):
    import sqlite3

    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as opened:
        return opened.execute("SELECT count(*) FROM intents").fetchone()[0]
