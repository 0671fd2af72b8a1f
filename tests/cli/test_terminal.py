"""The permission prompt on a real terminal: a pseudo-terminal that is the program's controlling terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from waiting import DEADLINE

LAUNCH = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'kosmolua', *sys.argv[1:]])"
)
QUESTION = "[N]o: "
SOURCE = """
  print("\\27[2Jspoof")
  for _ = 1, 2 do
    local ok, e = pcall(integrations.replicate.create_prediction, { version = "v", input = { t = "\\27[2J" } })
    print(ok, ok or e.code)
  end
"""


class Terminal:
    """A program on its own terminal."""

    def __init__(self, *argv, environment, cwd=None):
        self.screen = ""
        self._master, slave = pty.openpty()
        command = [sys.executable, "-c", LAUNCH, *argv]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **environment}, cwd=cwd
        )
        os.close(slave)

    def wait_for(self, text, *, times=1):
        deadline = time.monotonic() + DEADLINE
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, self.screen
            self._read(0.1)

    def type(self, text):
        os.write(self._master, text.encode())

    def finish(self):
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.screen
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, seconds):
        """Read the available output. Returns False if there is none, or if the program has ended and closed the
        terminal."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            self.screen += os.read(self._master, 65536).decode(errors="replace")
        except OSError:
            return False
        return True


@pytest.fixture
def terminal(server):
    opened = []

    def run(*argv, **environment):
        given = {"REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked", **environment}
        made = Terminal(*argv, environment=given)
        opened.append(made)
        return made

    yield run
    for made in opened:
        made.close()


@pytest.mark.parametrize("word", ["o", "y", "Yes"])
def test_a_person_is_asked(terminal, server, word):
    """The answers `o` and yes allow one call, and the next call is asked about again; any other answer means no."""
    screen = terminal("lua", "--eval", SOURCE)
    screen.wait_for(QUESTION)
    screen.type(f"{word}\n")
    screen.wait_for(QUESTION, times=2)
    screen.type("what?\n")

    assert 0 == screen.finish()
    assert "true\ttrue" in screen.screen
    assert "false\tpermission_denied" in screen.screen
    assert 1 == len(server.requests)


def test_the_answer_run_allows_the_rest_of_the_run(terminal, server):
    """After the answer `r`, no further call of the run is asked about."""
    screen = terminal("lua", "--eval", SOURCE)
    screen.wait_for(QUESTION)
    screen.type("r\n")

    assert 0 == screen.finish()
    assert 2 == len(server.requests)


def test_input_typed_before_the_question_is_discarded(terminal, server):
    """Only an answer typed after the question is shown counts."""
    screen = terminal("lua", "--eval", "log('ready') sleep(0.5) " + SOURCE)
    screen.wait_for("ready")
    screen.type("o\no\nr\n")
    screen.wait_for(QUESTION)
    screen.type("n\n")

    assert 0 == screen.finish()
    assert [] == server.requests


def test_control_characters_of_a_script_are_escaped(terminal):
    """Control characters in a script's output and arguments are escaped on a terminal."""
    screen = terminal("lua", "--eval", SOURCE)
    screen.wait_for(QUESTION)
    screen.type("n\n")
    screen.finish()

    assert "\x1b" not in screen.screen.replace("\x1b[1;7mkosmo: allow", "").replace("?\x1b[0m\r\n[o]nce", "")
    assert "\\x1b[2Jspoof" in screen.screen


@pytest.mark.parametrize("command", [["lua", "--eval", SOURCE], ["integrations:call", "replicate.create_prediction",
                                     '{"version": "owner/name", "input": {}}']])  # fmt: skip
def test_the_answer_always_saves_the_rule(terminal, server, tmp_path, monkeypatch, command):
    """The answer `a` saves the shown rule, and later commands do not ask again."""
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path / "config"))
    screen = terminal(*command)
    screen.wait_for(QUESTION)
    assert "always saves a rule that allows create_prediction on account default" in screen.screen
    screen.type("a\n")
    assert 0 == screen.finish()
    sent = len(server.requests)

    again = terminal(*command)
    assert 0 == again.finish()
    assert QUESTION not in again.screen
    assert 2 * sent == len(server.requests)
    written = (tmp_path / "config" / "config.toml").read_text()
    assert 'functions = "create_prediction"' in written
    assert ('model = "owner/name"' in written) == ("owner/name" in command[-1])


def test_a_question_cannot_be_pushed_off_the_screen(terminal):
    """The question is always in the last lines, whatever the arguments are."""
    source = """
      local input = {}
      for i = 1, 500 do input["k" .. i] = ("kosmo: allow get_account (read)? "):rep(50) end
      pcall(integrations.replicate.create_prediction, { version = ("y\\n"):rep(9999), input = input })
    """
    screen = terminal("lua", "--eval", source)
    screen.wait_for(QUESTION)
    lines = screen.screen.replace("\r", "").split("\n")
    screen.type("n\n")
    screen.finish()

    assert len(lines) <= 24
    assert sum(-(-len(line) // 80) for line in lines) <= 24
    assert "kosmo: allow create_prediction (write) on account default?" in lines[-2]


def test_an_interrupt_at_the_question_refuses_the_call(terminal, server):
    """After Ctrl-C at the question nothing is sent, and the status is that of an interrupt."""
    screen = terminal("lua", "--eval", SOURCE)
    screen.wait_for(QUESTION)
    screen.type("\x03")

    assert 130 == screen.finish()
    assert [] == server.requests


def test_control_characters_in_an_envelope_are_escaped(terminal):
    """Control characters are escaped in JSON on a terminal; the data do not change."""
    screen = terminal("lua", "--json", "--eval", r'print("\27[2J\194\155\127\226\128\174") return "\194\133"')
    screen.wait_for('"success"')
    screen.finish()
    envelope = json.loads(screen.screen)

    assert screen.screen.replace("\r\n", "").isprintable()
    assert ("\x1b[2J\x9b\x7f\u202e\n", "\x85") == (envelope["output"], envelope["result"])


@pytest.mark.parametrize("command", [["models", "list"], ["models", "show", "replicate/hello-world"], ["runs", "list"]])
def test_styles_reach_the_terminal(terminal, command):
    """The program's own styles are written as control sequences, unlike text from elsewhere."""
    screen = terminal(*command, *([] if command[0] == "runs" else ["--emulate"]), TERM="xterm", NO_COLOR="")

    assert 0 == screen.finish()
    assert "\\x1b" not in screen.screen
    assert ("\x1b[1m" in screen.screen) == (command[0] == "models")
