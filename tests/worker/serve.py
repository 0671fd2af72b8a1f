"""Run a worker as a process that can be killed or suspended at a step:

    python tests/worker/serve.py URL API OPTIONS [STEP:SIGNAL FILE]

The first process that reaches the step creates the file and gets the signal.
"""

import faulthandler
import gc
import json
import os
import signal
import sys
import time

import psycopg

from kosmolua.host.options import HostOptions
from kosmolua.worker.rates import Rate
from kosmolua.worker.work import Options, Worker


def pointing(fault, file, url):
    """The function that a worker calls at each step. For "TAKE" it sends no signal, but gives the run to another
    worker.
    """
    step, _, name = fault.partition(":")

    def point(reached):
        if reached != step:
            return
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        if name == "TAKE":
            with psycopg.connect(url, options="-c search_path=kosmo") as connection:
                connection.execute("UPDATE runs SET epoch = epoch + 1, worker = NULL, state = 'failed'")
            return
        os.kill(os.getpid(), getattr(signal, name))

    return point


def set_clock(ahead):
    """Set the clock ahead, as seen by this process."""
    now = time.time
    time.time = lambda: now() + ahead


def main(url, api, given, fault="", file=""):
    faulthandler.register(signal.SIGUSR1)  # prints the stacks of all threads
    gc.set_threshold(50_000, 20, 20)  # as in the command line
    chosen = json.loads(given)
    set_clock(chosen.pop("ahead", 0.0))
    rate, write = chosen.pop("rate", None), chosen.pop("write", "allow")
    rates = {"creates": Rate(*rate)} if rate else {"creates": Rate(1000.0, 100.0), "others": Rate(1000.0, 100.0)}
    options = Options(**{"lease": 3.0, "settling": 2.0, "park_after": 0.5, "slots": 4, **rates, **chosen})
    host = HostOptions(url=api, token="r8_fleet", read="allow", write=write)
    Worker(url, options, host, lambda text: sys.stderr.write(f"{text}\n"), pointing(fault, file, url)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
