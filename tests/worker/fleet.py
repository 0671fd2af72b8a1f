"""Workers in their own processes, an emulator, and a PostgreSQL server, for tests that break some of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from flows import HurryingClock, Recording
from waiting import let_pass, scaled, wait_until

from kosmolua.emulator import Emulator, running
from kosmolua.errors import KosmoError
from kosmolua.journal.records import Head
from kosmolua.worker import runs
from kosmolua.worker.database import Database

# Three predictions: one only for this run, one that all runs request, and one to wait for without a process.
SCRIPT = """
local r = integrations.replicate
local hello = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
print("begun " .. args[1])
local own = r.create_prediction{ version = hello, input = { text = args[1] } }
local same = r.create_prediction{ version = hello, input = { text = "same" } }
local video = r.wait(r.create("minimax/video-01", { prompt = args[1] }))
print("waited")
return own.id, same.id, video.id, video.status
"""
PLACES = 3


class Timed(Recording):
    """A server that also records when each create arrived, and the text of each prediction, because the API deletes the
    text after an hour, which a fast clock reaches soon.
    """

    def __init__(self, application):
        super().__init__(application)
        self.creates = []
        self.texts = {}  # by prediction id

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] != "POST":
            return super().__call__(environ, start_response)
        self.creates.append(time.monotonic())
        try:
            return super().__call__(environ, start_response)
        finally:
            self._note_texts()

    def _note_texts(self):
        for job in reversed(list(self._application._world.predictions.values())):
            if job.id in self.texts:
                break
            self.texts[job.id] = job.given.get("text") or job.given.get("prompt")


class Fleet:
    def __init__(self, url, directory, *faults, speed=150, clock=None):
        self.url = url
        self.directory = Path(directory)
        self.emulator = Emulator(clock=clock or HurryingClock(speed), faults=faults)
        self.server = Timed(self.emulator)
        self.workers = []
        self._started = 0
        self._speed = speed
        self.api = None
        self.database = None

    @contextmanager
    def serving(self):
        with running(self.server) as self.api:
            self.database = Database(self.url, prepare=True)
            try:
                yield self
            finally:
                for worker in self.workers:
                    if worker.poll() is None:
                        worker.send_signal(signal.SIGCONT)
                        worker.kill()
                    worker.wait()
                self.database.close()

    def fresh(self, *faults):
        """Start with a new emulator and no runs."""
        self.emulator = Emulator(clock=HurryingClock(self._speed), faults=faults)
        self.server._application = self.emulator
        self.database.rows("DELETE FROM runs")

    def start(self, fault="", url="", api="", before=(), **options):
        """Start another worker, optionally with a fault or with other addresses, or through a command ``before`` it."""
        own = {"KOSMO_STATE_DIR": str(self.directory / "state"), "KOSMO_CONFIG_DIR": str(self.directory / "config")}
        environment = {**os.environ, **own}
        program, self._started = str(Path(__file__).with_name("serve.py")), self._started + 1
        command = [*before, sys.executable, program, url or self.url, api or self.api, json.dumps(options)]
        command += [fault, str(self.directory / f"fault{self._started - 1}")] if fault else []
        with (self.directory / "log").open("ab") as log:
            worker = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        self.workers.append(worker)
        return worker

    def replace(self, **options):
        """Start a worker for each one that has died, as a supervisor does."""
        for worker in list(self.workers):
            if worker.poll() is not None:
                self.workers.remove(worker)
                self.start(**options)

    def submit(self, count, script=SCRIPT, *, name="run", **more):
        return [
            runs.submit(self.database, Head(script="fleet.lua", source=script.encode(), args=[f"{name}{n}"]), **more)[0]
            for n in range(count)
        ]

    def states(self):
        try:
            return Counter(one.state for one in runs.listed(self.database))
        except KosmoError:  # the database is being restarted
            return Counter({"unknown": 1})

    def finish(self, seconds=60.0, **options):
        """Wait until all runs have ended, and replace workers that die in the meantime."""

        def ended():
            self.replace(**options)
            return set(self.states()) <= set(runs.ENDED)

        try:
            wait_until(ended, scaled(seconds), 0.1)
        except AssertionError:
            raise AssertionError(f"{self.states()}\n{self.log()}") from None

    def check(self, count):
        """Check that there is one prediction for each place in each run, and that each run got its own."""
        found = runs.listed(self.database)
        assert {"done": count} == Counter(one.state for one in found), [(one.state, one.error) for one in found]
        made = [job.id for job in self.emulator._world.predictions.values()]
        given = Counter(self.server.texts[identifier] for identifier in made)
        own = [one.args[0] for one in found]
        assert {**dict.fromkeys(own, 2), "same": count} == dict(given), given
        ids = [identifier for one in found for identifier in one.results[:PLACES]]
        assert sorted(ids) == sorted(made)
        for one in found:
            prints = b"".join(text for _, _, text in runs.prints(self.database, one.id))
            assert f"begun {one.args[0]}\nwaited\n".encode() == prints

    def log(self):
        return (self.directory / "log").read_text()[-3000:]


def stopped_for(worker, seconds):
    """Suspend a process for this many seconds."""
    worker.send_signal(signal.SIGSTOP)
    let_pass(seconds)
    if worker.poll() is None:
        worker.send_signal(signal.SIGCONT)
