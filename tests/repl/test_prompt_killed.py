"""If a session is killed or interrupted, the same inputs with the same journal pay for nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tmux import Screen, environment_of
from waiting import let_pass, wait_until

from kosmolua.emulator import Emulator, running

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
QUICK = f"a = replicate.create_prediction{{ version = '{HELLO}', input = {{ text = 'one' }} }}"
HELD = (
    "b = replicate.create_model_prediction{ model_owner = 'minimax', model_name = 'video-01', "
    "input = { prompt = 'two' }, prefer = 'wait' }"
)


class Place:
    """An emulator on a socket, and terminals with a prompt that calls the emulator."""

    def __init__(self, directory, emulator, url):
        self._directory = directory
        self._environment = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_x", "NO_COLOR": "1"}
        self._open = []
        self.emulator = emulator

    def prompt(self, *argv, **how):
        made = Screen(self._directory, "repl", "--write", "allow", *argv, environment=self._environment, **how)
        self._open.append(made)
        return made

    def made(self):
        """The creates that the server received."""
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


@pytest.mark.parametrize(
    ("place", "taken"),
    [((), True), (("slow:create_model_prediction:seconds=5",), False)],
    indirect=["place"],
    ids=["taken and not answered", "on its way"],
)
def test_a_create_in_flight_is_found(place, taken, tmp_path):
    """Whether the server has received the create or receives it later, it is found and not resent."""
    file = tmp_path / "s.journal"
    first = place.prompt()
    first.enter(f":journal {file}", "s.journal: 0 calls; new calls are sent and recorded")
    first.wait_for("journal s.journal\n")
    first.enter(QUICK, "in[2]>")
    first.enter("rolled, at = math.random(1e9), time()", "in[3]>")
    first.enter("('%d %.6f'):format(rolled, at)", "in[4]>")
    (shown,) = [line for line in first.text.splitlines() if line.startswith('"')]
    first.type(HELD)
    first.press("Enter")
    wait_until(lambda: len(place.made()) == 1 + taken and _intents(file) == 2)
    kill(first)

    again = place.prompt("--journal", str(file))
    again.wait_for("s.journal: 2 calls; the next recorded answer is for\n  input 1, request 1: create_prediction {")
    again.enter(QUICK, "in[2]>")
    again.enter("rolled, at = math.random(1e9), time()", "in[3]>")
    again.enter("('%d %.6f'):format(rolled, at)", shown)
    again.type(HELD)
    again.press("Enter")
    again.wait_for("in[5]>")
    again.enter("b.input.prompt, b.id == nil", '"two"\nfalse\n')
    again.enter(QUICK.replace("one", "three"), "in[7]>")
    again.enter(":journal", "s.journal: 4 calls; new calls are sent and recorded")
    assert ["one", "two", "three"] == place.made()
    again.enter(":log", "list_predictions         default  allow by journal")
    assert again.ended("C-d")

    calls = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    assert 1 == sum("done by an interrupted attempt" in call.get("rule", "") for call in calls)


@pytest.mark.parametrize("place", [()], indirect=True)
def test_an_abandoned_create_is_found(place, tmp_path):
    """After Ctrl-C the create is open in the journal, and its result is found at the next prompt."""
    file = tmp_path / "s.journal"
    first = place.prompt("--journal", str(file))
    first.type(HELD)
    first.press("Enter")
    wait_until(lambda: len(place.made()) == 1)
    first.press("C-c")
    first.wait_for("error: in[1]:1: interrupted")
    first.enter(":journal off", "create_model_prediction is still in flight, and its answer belongs in")
    first.enter(
        f":journal {tmp_path}/other.journal",
        "is still in flight",
    )
    assert first.ended("C-d")

    again = place.prompt("--journal", str(file))
    again.enter(HELD, "in[2]>")
    again.enter("b.input.prompt", '"two"\n')
    assert ["two"] == place.made()


@pytest.mark.parametrize("place", [()], indirect=True)
def test_a_prompt_with_an_unusable_journal(place, tmp_path):
    """No session starts, and the hint says what to do."""
    (tmp_path / "s.journal").write_text("some text, and no database\n" * 100)
    words = {
        ("--journal", f"{tmp_path}/s.journal"): "hint: not a journal file; choose another path\nended with 1",
        ("--record", "x.json"): "error: --record and --replay work only for scripts, not at the prompt\nended with 2",
        (
            "--journal",
            "x",
            "--dry-run",
        ): "--dry-run, which has nothing to record\nhint: leave one of them out\nended with 2",
    }
    for flags, expected in words.items():
        screen = place.prompt(*flags, prompt=Screen.ENDED, stay=True)
        assert expected in screen.text
        screen.press("Enter")
        assert screen.ended()


def _intents(file):
    import sqlite3

    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as opened:
        return opened.execute("SELECT count(*) FROM intents").fetchone()[0]


# Without a terminal --------------------------------------------------------------------------------------------------

MADE = f"replicate.create_prediction{{ version = '{HELLO}', input = {{ text = text .. round }} }}"
SESSION = [
    f"function made(text) return {MADE}.input.text end",
    "one = made('one' .. math.random(0, 9))",
    "nothing.there()",
    "all = parallel({ 'same', 'same', 'other' }, function(text, i) sleep(0.01 * i) return made(text .. text) end)",
    "made('lost') error('behind a create')",
    "first = race{ function() sleep(0.02) return 'left' end, function() sleep(0.01) return 'right' end }",
    "made(first .. one)",
    "print('result', one, first, table.concat(all, ' '), time(), math.random(1e9))",
]
CREATES = 6


class Sessions:
    """Start sessions against a slow server that counts creates."""

    def __init__(self, directory, url):
        self._directory = directory
        self._environment = {
            **environment_of(directory), "TERM": "dumb", "REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_x"
        }  # fmt: skip

    def begin(self, journal, inputs):
        argv = [sys.executable, Path(__file__).parent / "prompted.py", journal, json.dumps(inputs)]
        process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            cwd=self._directory,
        )
        while "begun" not in process.stdout.readline():
            assert process.poll() is None
        return process

    def end(self, process):
        """The session's output since its start."""
        shown = process.stdout.read()
        process.stdout.close()
        process.wait(20)
        return shown


@pytest.fixture
def sessions(tmp_path):
    emulator = Emulator(faults=["slow:create_prediction:seconds=0.1:times=*"])
    with running(emulator) as url:
        yield Sessions(tmp_path, url), lambda: len(emulator._world.predictions)


def result_of(shown):
    (line,) = [line for line in shown.splitlines() if line.startswith("result")]
    return line


def test_sessions_killed_at_random(sessions):
    """A session is killed at random times until all inputs were entered: each create is sent once, and the result is
    the same.
    """
    begin, made = sessions
    dice = random.Random(3)
    for number in range(4):
        inputs = [f"round = {number}", *SESSION]
        for _ in range(4):
            process = begin.begin(f"./{number}.journal", inputs)
            let_pass(dice.uniform(0.0, 0.6))
            os.kill(process.pid, signal.SIGKILL)
            begin.end(process)
        shown = begin.end(begin.begin(f"./{number}.journal", inputs))
        assert result_of(shown) == result_of(begin.end(begin.begin(f"./{number}.journal", inputs)))
        assert CREATES * (number + 1) == made(), shown


def test_sessions_interrupted_at_random(sessions):
    """After interrupts at random times the output of `:save` is replayed with the same answers, without requests."""
    begin, made = sessions
    dice = random.Random(5)
    seen = ""
    for number in range(4):
        inputs = [f"round = {number}", *(text.replace("math.random(0, 9)", "7") for text in SESSION[:-1])]
        inputs += [*["sleep(0.4)"] * 4, "print('result', one, first, time())", f":save {number}.lua"]
        process = begin.begin(f"./{number}.journal", inputs)
        for _ in range(3):
            let_pass(dice.uniform(0.05, 0.3))
            process.send_signal(signal.SIGINT)
        shown = begin.end(process)
        count = made()
        again = begin.end(begin.begin(f"./{number}.journal", [f":load {number}.lua", ":journal"]))
        assert result_of(shown) == result_of(again), shown + again
        assert "new calls are sent and recorded" in again
        assert count == made()
        seen += again

    assert "interrupted" in seen
