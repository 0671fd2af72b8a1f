"""Break workers, their connections and their database at random times, and count the predictions created.

    python tests/worker/chaos.py [--rounds N] [--seed N] [--lease SECONDS] [--speed N] [--hours N]

Each round has three workers, three runs of three predictions, and up to three events. At the end there is exactly one
prediction for each place in each run. A busy machine needs a longer lease; otherwise workers die because they get no
CPU time. A run that has lost too many workers is resumed, as an operator would do. An hour of the emulator takes
3600 / SPEED seconds; after that it has deleted the data with which interrupted creates are found.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from fleet import Fleet  # noqa: E402 - found by the line above
from postgres import serving  # noqa: E402
from waiting import let_pass, scaled  # noqa: E402

from kosmolua.errors import KosmoError  # noqa: E402
from kosmolua.worker import runs  # noqa: E402

STEPS = [
    "claimed",
    "before_intent",
    "reserved",
    "after_intent",
    "answered",
    "settled",
    "recorded",
    "before_park",
    "parked",
]
WORKERS, RUNS = 3, 3
LONGEST = 180  # seconds per round, scaled by the load of the machine
LATE = [0.0, 0.1, 0.4]  # seconds by which the API delays answers to creates


class Proxy:
    """A proxy that forwards connections to an address until it is cut: then bytes neither arrive nor are refused."""

    def __init__(self, family, address):
        self._target = family, address
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds):
        self.open.clear()
        let_pass(seconds)
        self.open.set()

    def _accept(self):
        with self._listening, suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        far = socket.socket(self._target[0])
        with near, far, suppress(OSError):
            self.open.wait()
            far.connect(self._target[1])
            with DefaultSelector() as selector:
                selector.register(near, EVENT_READ, far)
                selector.register(far, EVENT_READ, near)
                while self._pass_on(selector):
                    pass

    def _pass_on(self, selector):
        """Whether both ends are open."""
        ready = selector.select()
        self.open.wait()
        for one, _ in ready:
            data = one.fileobj.recv(65536)
            if not data:
                return False
            one.data.sendall(data)
        return True

    def close(self):
        """Accept no further connections; open ones end with their worker."""
        self._listening.shutdown(socket.SHUT_RDWR)


class Chaos:
    def __init__(self, fleet, server, dice, lease):
        self.fleet = fleet
        self.lease = lease
        self.server = server
        self.dice = dice
        self.events = Counter()
        self.places = {}  # worker -> its proxies

    def replace(self):
        """Start workers until there are enough; some have a fault, and some a wrong clock."""
        fleet = self.fleet
        for worker in [each for each in fleet.workers if each.poll() is not None]:
            fleet.workers.remove(worker)
            for each in self.places.pop(worker, ()):
                each.close()
        while len(fleet.workers) < WORKERS:
            fault = ""
            if self.dice.random() < 0.4:
                fault = f"{self.dice.choice(STEPS)}:{self.dice.choice(['SIGKILL', 'SIGSTOP'])}"
            self._start(fault, self.dice.choice([0.0, 0.0, 3600.0, -3600.0]))

    def _start(self, fault, ahead):
        unix = os.path.join(self.server._where, ".s.PGSQL.5432")
        database, api = Proxy(socket.AF_UNIX, unix), Proxy(socket.AF_INET, ("127.0.0.1", urlsplit(self.fleet.api).port))
        url = self.fleet.url.partition("?")[0].replace("@/", f"@127.0.0.1:{database.port}/")
        worker = self.fleet.start(fault, url, f"http://127.0.0.1:{api.port}/v1", ahead=ahead, lease=self.lease)
        self.places[worker] = database, api
        self.events.update([fault.partition(":")[2] or "no fault", f"clock {ahead:+g}"])

    def event(self):
        kind = self.dice.choice(["kill", "stop", "restart", "cut database", "cut API", "terminate"])
        worker = self.dice.choice(self.fleet.workers)
        self.events[kind] += 1
        match kind:
            case "kill":
                worker.kill()
            case "terminate":
                worker.terminate()
            case "stop":
                worker.send_signal(signal.SIGSTOP)
                let_pass(self.dice.uniform(0.5, 6))
                with suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGCONT)
            case "restart":
                self.server.stop("immediate")
                let_pass(self.dice.uniform(0, 2))
                self._start_server()
            case "cut database":
                self.places[worker][0].cut(self.dice.uniform(0.5, 6))
            case "cut API":
                self.places[worker][1].cut(self.dice.uniform(0.5, 4))

    def _start_server(self):
        """Start PostgreSQL, which first recovers; that may take long on a busy machine."""
        until = time.monotonic() + scaled(LONGEST)
        while True:
            try:
                return self.server.start()
            except KosmoError:
                if time.monotonic() > until:
                    raise

    def round(self, number):
        fleet = self.fleet
        fleet.fresh(f"slow:create_prediction:seconds={self.dice.choice(LATE)}:times=*")
        self.replace()
        fleet.submit(RUNS, name=f"round {number} run ")
        for _ in range(self.dice.randrange(4)):
            let_pass(self.dice.uniform(0, 1.5))
            self.event()
            self.replace()
        self._finish()
        fleet.check(RUNS)

    def _finish(self):
        began = time.monotonic()
        while not set(self.fleet.states()) <= {"done", "failed"} or self._resumed():
            if time.monotonic() > began + scaled(LONGEST):
                raise AssertionError(self._report())
            self.replace()
            self._continue()
            let_pass(0.1)

    def _resumed(self):
        """Resume the runs that were given up because too many of their workers died. Returns whether there were any."""
        given_up = [one.id for one in runs.listed(self.fleet.database) if "its worker died" in (one.error or "")]
        self.events["resumed"] += len(given_up)
        for run in given_up:
            runs.resume(self.fleet.database, run)
        return bool(given_up)

    def _report(self):
        """The state of a round that does not end, as text."""
        tables = {
            "runs": "SELECT id, state, worker, epoch, takeovers FROM runs",
            "workers": "SELECT id, pid, lease_until - clock_timestamp() FROM workers",
            "jobs": "SELECT id, status, lock, worker_id FROM procrastinate_jobs",
            "queue": "SELECT id, last_heartbeat - now() FROM procrastinate_workers",
        }
        lines = [f"{name}: {self.fleet.database.rows(text)}" for name, text in tables.items()]
        lines += [f"{each.pid} {each.poll()} {each.args[5:]}" for each in self.fleet.workers]
        for worker in self.fleet.workers:
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGUSR1)
                worker.send_signal(signal.SIGCONT)
        let_pass(2)
        return "\n".join([*lines, (self.fleet.directory / "log").read_text()[-20000:]])

    def _continue(self):
        """Continue suspended workers after others had time to take over their runs."""
        for worker in self.fleet.workers:
            with suppress(OSError, ValueError, IndexError):
                state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state == "T" and self.dice.random() < 0.02:
                    worker.send_signal(signal.SIGCONT)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--speed", type=float, default=150.0)
    parser.add_argument("--hours", type=float, default=24.0, help="begin no round after that time")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and the processes that were started have ended
    began, number = time.monotonic(), 0
    with serving() as server, tempfile.TemporaryDirectory() as directory:
        with Fleet(server.url, directory, speed=chosen.speed).serving() as fleet:
            chaos = Chaos(fleet, server, random.Random(chosen.seed), chosen.lease)
            while number < chosen.rounds and time.monotonic() - began < chosen.hours * 3600:
                chaos.round(number)
                number += 1
                if chosen.rounds < 50 or number % 50 == 0:
                    told = f"{number} rounds, {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.0f}"
                    print(told, dict(chaos.events), flush=True)
    print(f"{number} rounds: one prediction for each place of each run", dict(chaos.events))


if __name__ == "__main__":
    main()
