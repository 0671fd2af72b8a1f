"""A real terminal: keys are sent to tmux, and the screen can be read."""

import os
import subprocess
import sys

from waiting import DEADLINE, wait_until


class Screen:
    """A terminal of 110 columns and 44 rows that runs the program; its tmux server ends with the program. The
    constructor waits for ``prompt``. With ``stay``, the screen remains after the program has ended, and shows ENDED and
    the exit status."""

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
        """Type an input and wait for its output."""
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
        """The process id of the program; with ``stay``, that of the shell around it."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    @property
    def cursor(self):
        """The column of the cursor."""
        return int(self._tmux("display-message", "-p", "#{cursor_x}"))

    def wait_for(self, text, *, times=1, without=None):
        """Wait until the screen contains the text that many times, and does not contain ``without``; return the
        screen."""

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
        """Press the keys repeatedly until the program ends, since a prompt that is not drawn yet ignores them."""

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
