"""A session at the prompt without a terminal, against a recording server."""

import threading

import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua.cli import lua
from kosmolua.cli import options as options_
from kosmolua.cli import repl as repl_
from kosmolua.runtime.launch import LIMITS, launch


class Prompt:
    """A session that takes inputs and returns their output."""

    def __init__(self, capsys, *argv):
        parsed = lua._parser("repl").parse_args(["--repl", "--write", "allow", "--settling-time", "0.1", *argv])
        self._capsys = capsys
        self.shell = repl_._shell(parsed, options_.shared(parsed), [], LIMITS, launch(LIMITS))

    def __call__(self, *inputs):
        self._capsys.readouterr()
        for text in inputs:
            self.shell.enter(text)
        return self._capsys.readouterr().out

    def interrupted(self, text, when, by=None):
        """Enter an input, and interrupt it when the condition holds, through the interpreter or another function."""

        def wait():
            try:
                wait_until(when)
            finally:
                (by or self.shell.interpreter.interrupt)()

        waiting = threading.Thread(target=wait)
        waiting.start()
        shown = self(text)
        waiting.join()
        return shown

    def close(self):
        self.shell.close(cancel=False)


@pytest.fixture
def prompt(server, monkeypatch, capsys, tmp_path):
    """Start a session against the recording server in an empty directory, and close the previous session."""
    server.default = Answer(201, b'{"id": "p", "status": "starting"}')
    for name, value in (
        ("REPLICATE_URL", server.url), ("REPLICATE_API_KEY", "r8_marked"), ("NO_COLOR", "1"),
        ("KOSMO_CONFIG_DIR", str(tmp_path / "config")), ("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    opened = []

    def start(*argv):
        for each in opened:
            each.close()
        opened[:] = [Prompt(capsys, *argv)]
        return opened[0]

    yield start
    for each in opened:
        each.close()
