"""Runs the command line in processes that are forked from this one, which has imported what they need: a run begins in
milliseconds, and may be killed like any other.

Each line of standard input is ``[argv, file for what it writes]`` as JSON. It prints the process's id, and once it has
ended its status as the system gives it.
"""

import json
import os
import sys

import httpx  # noqa: F401 - as above
import keyring  # noqa: F401 - as above

from kosmolua import cli
from kosmolua.cli import lua  # noqa: F401 - as above
from kosmolua.host import sessions  # noqa: F401 - as above
from kosmolua.replicate import client  # noqa: F401 - as above
from kosmolua.runtime import run, tape  # noqa: F401 - as above


def main():
    for line in sys.stdin:
        argv, file = json.loads(line)
        pid = os.fork()
        if pid == 0:
            written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (written, 1), (written, 2)):
                os.dup2(descriptor, target)
            os._exit(cli.main(argv))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
