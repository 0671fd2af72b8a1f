"""A real terminal: tmux draws it, keys go in, and what is on the screen can be read."""

import os
import subprocess
import sys

from waiting import DEADLINE, wait_until


class Screen:
    """A terminal of 110 by 44 with the program in it. Its server ends with it.

    ``prompt`` is waited for. Where it is to ``stay``, the screen can be read when the program has ended; it then shows
    ENDED and the status.
    """

    ENDED = "ended with "

    def __init__(self, directory, *argv, environment=None, prompt="in[1]>", stay=False, program=("-m", "kosmolua")):
        self._socket = str(directory / "tmux")
        given = {**environment_of(directory), **(environment or {})}
        words = ["env", "-i", *(f"{name}={value}" for name, value in given.items())]
        command = [*words, sys.executable, *program, *argv]
        if stay:
            command = ["sh", "-c", f'"$@"; echo "{self.ENDED}$?"; read _', "sh", *command]
        self._tmux("new-session", "-d", "-x", "110", "-y", "44", *command)
        try:
            self.wait_for(prompt)
        except BaseException:
            self.close()
            raise

    def type(self, text):
        self._tmux("send-keys", "-l", text)

    def press(self, *keys):
        self._tmux("send-keys", *keys)

    def enter(self, text, expected):
        """Type an input and wait for what it is to show."""
        self.type(text)
        self.press("Enter")
        self.wait_for(expected)

    def paste(self, text):
        self._tmux("set-buffer", text)
        self._tmux("paste-buffer", "-p")

    @property
    def text(self):
        return self._tmux("capture-pane", "-p", "-J")

    @property
    def pid(self):
        """The process in it, unless it is to ``stay``."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    @property
    def cursor(self):
        """The column where it is."""
        return int(self._tmux("display-message", "-p", "#{cursor_x}"))

    def wait_for(self, text, *, times=1, without=None):
        """What is on the screen, once the text is on it that many times, and nothing of what it is to be without."""

        def seen():
            shown = self.text
            return shown if shown.count(text) >= times and not (without and without in shown) else None

        try:
            return wait_until(seen, interval=0.03)
        except AssertionError:
            raise AssertionError(f"{text!r} is not in\n{self.text}") from None

    @property
    def alive(self):
        return (
            subprocess.run(["tmux", "-S", self._socket, "has-session"], check=False, capture_output=True).returncode
            == 0
        )

    def ended(self, *keys, seconds=DEADLINE):
        """Wait until it ends, when those keys are pressed; at a prompt that is not drawn yet they say nothing."""

        def gone():
            if keys and self.alive:
                subprocess.run(["tmux", "-S", self._socket, "send-keys", *keys], check=False, capture_output=True)
            return not self.alive

        return wait_until(gone, seconds, interval=0.2)

    def close(self):
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True)

    def _tmux(self, *words):
        command = ["tmux", "-S", self._socket, "-f", os.devnull, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def environment_of(directory):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "KOSMO_STATE_DIR": str(directory / "state"),
        "KOSMO_CONFIG_DIR": str(directory / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
