"""The prompt asks a pseudo-terminal, which answers like real terminals, whether it supports sixel."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest
from sixel import decoded
from tmux import environment_of
from waiting import DEADLINE

from kosmolua.terminal.png import Picture, write_png

LAUNCH = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
ASK = "import os; from kosmolua.terminal.query import ask; print('asked', ask(os.environ, 0.3), 'over')"
CURSOR, ATTRIBUTES, REGISTERS = "\x1b[6n", "\x1b[c", "\x1b[?1;1;0S"
SEVERAL = re.compile("|".join(map(re.escape, (CURSOR, ATTRIBUTES, REGISTERS))))
XTERM = {ATTRIBUTES: "\x1b[?62;4;22c", REGISTERS: "\x1b[?1;0;1024S"}


class Terminal:
    """A terminal of 100 by 40 cells of 8 by 16 pixels with these answers."""

    def __init__(self, directory, *argv, answers, pixels=(800, 640), environment=None):
        self.screen = ""
        self.answers = {CURSOR: "\x1b[1;1R", **answers}
        self._asked = 0  # until the questions were answered
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, *pixels))
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *argv], stdin=slave, stdout=slave, stderr=slave,
            env={**environment_of(directory), **(environment or {})},
        )  # fmt: skip
        os.close(slave)

    def type(self, text):
        os.write(self._master, text.encode())

    def wait_for(self, text, *, after=0):
        deadline = time.monotonic() + DEADLINE
        while text not in self.screen[after:]:
            assert time.monotonic() < deadline, self.screen
            if select.select([self._master], [], [], 0.1)[0]:
                self.screen += os.read(self._master, 65536).decode(errors="replace")
                for question in SEVERAL.finditer(self.screen, self._asked):
                    self.type(self.answers.get(question[0], ""))
                    self._asked = question.end()
        return self.screen

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*argv, **options):
        opened.append(Terminal(tmp_path, *argv, **options))
        return opened[-1]

    yield start
    for made in opened:
        made.close()


NONE, OF_256 = "sixel=None", "sixel=Sixel(colours=256, cell=(8, 16))"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(XTERM, "sixel=Sixel(colours=1024, cell=(8, 16))", id="xterm -ti vt340"),
        pytest.param({ATTRIBUTES: "\x1b[?64;1;2;6;9;15;18;21;22c"}, NONE, id="xterm"),
        pytest.param({ATTRIBUTES: "\x1b[?62;4;22c", REGISTERS: "\x1b[?1;0;256S"}, OF_256, id="foot"),
        pytest.param({ATTRIBUTES: "\x1b[?61;4;6;7;14;21;22;23;24;28;32;42c"}, OF_256, id="Windows Terminal 1.22"),
        pytest.param({ATTRIBUTES: "\x1b[?61;6;7;14;21;22;23;24;28;32;42c"}, NONE, id="Windows Terminal 1.21"),
        pytest.param({**XTERM, REGISTERS: "\x1b[?1;0;16S"}, "sixel=Sixel(colours=16, cell=(8, 16))", id="a VT340"),
        pytest.param({ATTRIBUTES: "\x1b[?62;4c", REGISTERS: "\x1b[?1;3;0S"}, OF_256, id="registers refused"),
        pytest.param({ATTRIBUTES: "\x1b[?62;4c", REGISTERS: "\x1b[?1;0;0S"}, OF_256, id="no colours"),
        pytest.param({ATTRIBUTES: "\x1b[?62;4c", REGISTERS: f"\x1b[?1;0;{'9' * 5000}S"}, OF_256, id="any number"),
        pytest.param({ATTRIBUTES: "\x1b[?6c"}, NONE, id="Linux console"),
        pytest.param({ATTRIBUTES: "\x1b[?14;40c"}, NONE, id="attributes with a 4 in them"),
        pytest.param({}, NONE, id="says nothing"),
    ],
)
def test_sixel_support_of_a_terminal(terminal, answers, expected):
    """Support depends on the terminal's attributes and color registers; a silent terminal is not waited for long."""
    screen = terminal("-c", ASK, answers=answers)
    screen.type("typed é\n")

    assert f"asked Reply({expected}, typed=b'typed \\xc3\\xa9\\n') over" in screen.wait_for("over")


def test_a_terminal_without_a_pixel_size(terminal):
    """Without a cell size, the size of a VT340 is used."""
    screen = terminal("-c", ASK, answers=XTERM, pixels=(0, 0))

    assert "cell=(10, 20)" in screen.wait_for("over")


@pytest.mark.parametrize(
    ("features", "expected"),
    [("256,RGB,sixel,title", "sixel=Sixel("), ("256,RGB,title", NONE), ("", NONE), (None, NONE)],
)
def test_within_tmux(terminal, tmp_path, features, expected):
    """tmux reports sixel if it was built with sixel support; the outer terminal decides."""
    if features is not None:  # the output of tmux 3.4
        (tmp_path / "tmux").write_text(
            f"#!/bin/sh\ntest \"$*\" = 'display-message -p #{{client_termfeatures}}' && echo {features}\n"
        )
        (tmp_path / "tmux").chmod(0o755)
    environment = {"TMUX": "/tmp/tmux-0/default,1,0", "PATH": str(tmp_path)}
    screen = terminal("-c", ASK, answers={**XTERM, ATTRIBUTES: "\x1b[?1;2;4c"}, environment=environment)

    assert f"Reply({expected}" in screen.wait_for("over")


PICTURE = write_png(Picture(300, 200, 3, [b"\xff\0\0" * 300] * 200))
FLUX = 'run("black-forest-labs/flux-schnell", { prompt = "a fox", width = 64, height = 64 })'


def test_at_the_prompt(terminal, tmp_path):
    """Images are shown; the terminal is asked once, and keys typed in the meantime become the next input."""
    (tmp_path / "red.png").write_bytes(PICTURE)
    screen = terminal("-m", "kosmolua", "repl", "--emulate", "--write", "allow", answers=XTERM)
    screen.answers[REGISTERS] = f"40 {XTERM[REGISTERS]}+ 2\r"  # the typed keys arrive between the answers
    screen.wait_for("in[1]>")
    screen.type(f":show {tmp_path}/red.png\r")
    screen.wait_for("\x1b\\")
    assert [[(255, 0, 0)] * 300] * 200 == decoded(_image(screen.screen))
    screen.wait_for("42")
    screen.wait_for("in[2]>")

    at = len(screen.screen)
    screen.type(f"{FLUX}\r")
    screen.wait_for("\x1b\\", after=at)
    painted = decoded(_image(screen.screen[at:]))
    assert (64, 64) == (len(painted), len(painted[0]))
    assert 1 == screen.screen.count(REGISTERS)


def _image(text):
    return text[text.index("\x1bP") : text.index("\x1b\\") + 2]
