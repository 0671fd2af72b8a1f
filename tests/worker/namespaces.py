"""Two workers, each in its own network namespace, with cuts between one of them and the database.

    sudo python tests/worker/namespaces.py [--rounds N] [--seed N]

Each worker has one link to the database and one to the API. Only the link to the database is cut, so a worker that has
lost its lease could still send. Either the link is taken down, or only the database's answers are lost. At the end
there is exactly one prediction for each place in each run.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from chaos import Proxy  # noqa: E402 - found by the line above
from fleet import Fleet  # noqa: E402
from postgres import serving  # noqa: E402
from waiting import let_pass, wait_until  # noqa: E402

from kosmolua.emulator import running  # noqa: E402
from kosmolua.worker import runs  # noqa: E402

DATABASE, API = "10.199.0.2", "10.199.0.1"
RUNS = 4
LATE = [0.0, 0.1, 0.4]  # seconds by which the API delays answers to creates


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Namespace:
    """A network namespace with one link to the database and one to the API. ``number`` is part of the addresses."""

    def __init__(self, number):
        self.name = f"kosmo{number}"
        self._links = {DATABASE: (f"kdb{number}", f"10.199.{number}1"), API: (f"kapi{number}", f"10.199.{number}2")}

    def make(self):
        ip("netns", "add", self.name)
        inside = ["-n", self.name]
        ip(*inside, "link", "set", "lo", "up")
        for target, (link, network) in self._links.items():
            ip("link", "add", link, "type", "veth", "peer", "name", "eth" + link[1:], "netns", self.name)
            ip("address", "add", f"{network}.1/24", "dev", link)
            ip("link", "set", link, "up")
            ip(*inside, "address", "add", f"{network}.2/24", "dev", "eth" + link[1:])
            ip(*inside, "link", "set", "eth" + link[1:], "up")
            ip(*inside, "route", "add", target, "via", f"{network}.1")

    def remove(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def run(self, *command):
        """Start a process in the namespace."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command])

    @contextmanager
    def cut(self, kind):
        """Inside this context nothing reaches the database (``down``), or no answer from the database returns
        (``answers``).
        """
        link, network = self._links[DATABASE]
        down = ["link", "set", link, "down"], ["link", "set", link, "up"]
        lost = ["route", "add", "blackhole", f"{network}.2/32"], ["route", "delete", "blackhole", f"{network}.2/32"]
        cut, heal = down if kind == "down" else lost
        ip(*cut)
        try:
            yield
        finally:
            ip(*heal)


class Cuts:
    def __init__(self, fleet, namespaces, url, apis, dice):
        self.fleet = fleet
        self.namespaces = namespaces
        self.url = url
        self.apis = apis
        self.dice = dice
        self.events = Counter()
        self._inside = {}

    def replace(self):
        """Start a worker in each namespace that has none."""
        for worker in [each for each in self.fleet.workers if each.poll() is not None]:
            self.events[f"worker ended with {worker.poll()}"] += 1
            self.fleet.workers.remove(worker)
            self._inside = {name: each for name, each in self._inside.items() if each is not worker}
        for each, api in zip(self.namespaces, self.apis, strict=True):
            if each.name not in self._inside:
                before = ["ip", "netns", "exec", each.name]
                self._inside[each.name] = self.fleet.start(url=self.url, api=api, before=before)

    def round(self, number):
        fleet = self.fleet
        fleet.fresh(f"slow:create_prediction:seconds={self.dice.choice(LATE)}:times=*")
        self.replace()
        fleet.submit(RUNS, name=f"round {number} run ")
        let_pass(self.dice.uniform(0, 2))
        kind = self.dice.choice(["down", "answers"])
        self.events[f"cut: {kind}"] += 1
        with self.dice.choice(self.namespaces).cut(kind):
            until = time.monotonic() + self.dice.uniform(0.5, 8)
            while time.monotonic() < until:
                self.replace()
                let_pass(0.1)
        self._finish()
        fleet.check(RUNS)

    def _finish(self):
        until = time.monotonic() + 120
        while set(self.fleet.states()) != {"done"}:
            assert time.monotonic() < until, [(one.state, one.error) for one in runs.listed(self.fleet.database)]
            self.replace()
            let_pass(0.1)


@contextmanager
def network():
    """The namespaces, and the addresses of the database and the API outside of them."""
    namespaces = [Namespace(1), Namespace(2)]
    with ExitStack() as stack:
        for address in (DATABASE, API):
            ip("address", "add", f"{address}/32", "dev", "lo")
            stack.callback(ip, "address", "delete", f"{address}/32", "dev", "lo")
        for each in namespaces:
            stack.callback(each.remove)
            each.make()
        yield namespaces


@contextmanager
def forwarding(namespaces, api):
    """Forward the API at a loopback address in each namespace: to other hosts a token is only sent over HTTPS."""
    port = api.rpartition(":")[2].partition("/")[0]
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in namespaces]
        for each, file in zip(namespaces, files, strict=True):
            process = each.run(sys.executable, __file__, "--forward", port, "--note", file.name)
            stack.callback(process.wait)
            stack.callback(process.kill)
        wait_until(lambda: all(Path(file.name).read_text() for file in files))
        yield [f"http://127.0.0.1:{Path(file.name).read_text()}/v1" for file in files]


def forward(port, note):
    """Forward connections to the API until killed."""
    Path(note).write_text(str(Proxy(socket.AF_INET, (API, port)).port))
    signal.pause()


@contextmanager
def listening():
    """A PostgreSQL server that also listens at this address. Yields the server, and its URL there."""
    with serving() as server:
        data = Path(server._data)
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.199.0.0/16 trust\n")
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = '{DATABASE}'\n")
        server.stop("fast")
        server.start()
        yield server, server.url.partition("?")[0].replace("@/", f"@{DATABASE}/")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--forward", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--note", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.forward:
        forward(chosen.forward, chosen.note)
    if os.geteuid() != 0:
        sys.exit("namespaces.py makes network namespaces: run it as root")
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and all created objects are removed
    began = time.monotonic()
    with network() as namespaces, listening() as (server, url), tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(server.url, directory)
        with fleet.serving(), running(fleet.server, API) as api, forwarding(namespaces, api) as apis:
            cuts = Cuts(fleet, namespaces, url, apis, random.Random(chosen.seed))
            for number in range(chosen.rounds):
                cuts.round(number)
                if chosen.rounds < 20 or number % 10 == 9:
                    print(f"{number + 1} rounds, {time.monotonic() - began:.0f} s", dict(cuts.events), flush=True)
    print(f"{chosen.rounds} rounds: one prediction for each place of each run", dict(cuts.events))


if __name__ == "__main__":
    main()
