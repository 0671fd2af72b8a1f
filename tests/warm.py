"""The command line in processes that are forked from a process that has already imported the needed modules. A run
starts in milliseconds, and may be killed like any other.

As a program, this module reads lines ``[argv, directory, environment, file for standard output, file for standard
error]`` as JSON. It prints the id of the started process, and after that has ended its status as the system returns it.
"""

import json
import os
import select
import signal
import subprocess
import sys

from kosmolua import cli


class Warm:
    """A process that starts runs, one after another. ``environment`` is used for the process and for each run."""

    def __init__(self, environment, directory=None):
        self._environment = environment
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment, cwd=directory,
        )  # fmt: skip

    def start(self, argv, out, err=None, *, directory=".", environment=None):
        """Start a run; its standard error is written to its output unless a file is given. Returns the process id."""
        whole = {**self._environment, **(environment or {})}
        line = json.dumps([argv, str(directory), whole, str(out), str(err or out)])
        self._process.stdin.write(line.encode() + b"\n")
        self._pid = int(self._process.stdout.readline())
        return self._pid

    def wait(self, seconds=None):
        """The exit status of the run; negative if a signal ended the run. A run that takes too long is killed."""
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            os.kill(self._pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(int(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


def serve():
    for line in sys.stdin:
        argv, directory, environment, out, err = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(argv, directory, environment, out, err)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def become(argv, directory, environment, out, err):
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    shown = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    told = shown if err == out else os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), shown, told)):
        os.dup2(descriptor, target)
    os.closerange(3, max(shown, told) + 1)
    sys.argv[1:] = argv
    cli.program()


if __name__ == "__main__":
    import httpx  # noqa: F401 - used by the forked runs
    import keyring  # noqa: F401 - used by the forked runs

    from kosmolua.cli import lua  # noqa: F401 - used by the forked runs
    from kosmolua.host import sessions  # noqa: F401 - used by the forked runs
    from kosmolua.replicate import client  # noqa: F401 - used by the forked runs
    from kosmolua.runtime import run, tape  # noqa: F401 - used by the forked runs

    serve()
