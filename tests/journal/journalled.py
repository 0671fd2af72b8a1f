"""Runs scripts with a journal through the gate, against a server."""

import threading

from kosmolua.emulator.faults import FaultBox
from kosmolua.gate.budget import Budget
from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head, Lookup
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run
from kosmolua.settings import config

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
QUICK = Lookup(settling=0.05)


class Flow:
    """Runs scripts with a journal through the gate, and records their output and calls."""

    def __init__(self, url, path):
        self.url = url
        self.path = str(path)
        self.printed = []
        self.sessions = []
        self.calls = []
        self._lock = threading.Lock()

    def write(self, _stream, text):
        self.printed.append(text.decode())

    def __call__(
        self,
        source,
        *,
        args=(),
        isolation="standard",
        write="allow",
        caps=None,
        cut=False,
        lookup=QUICK,
        handler=None,
        bounds=None,
        limits=Limits(cpu=5.0),  # noqa: B008 - the default is never modified
    ):
        script = Script(
            source=source.encode(),
            name="flow.lua",
            args=args,
            accounts=["work"],
            functions=[each.names for each in catalogue.OPERATIONS],
        )
        policy = policy_of(config.load({}, write=write))
        session = Session(lambda _: Client(token="r8_x", base_url=self.url), policy, budget=Budget(caps))
        self.sessions.append(session)

        def call(function, account, arguments, ticket=None):
            with self._lock:
                self.calls.append(function)
            return session.call(function, arguments, account, ticket=ticket).data

        journal = Journal(
            self.path,
            Head(script="flow.lua", source=source.encode(), args=[*args]),
            cut=cut,
            lookup=lookup,
            bounds=bounds,
        )
        try:
            journal.restore(session.budget)
            result = run(script, handler or call, self, limits=limits, isolation=isolation, journal=journal)
            journal.end(result.error)
        finally:
            journal.close()
            session.close()
        return result


class Emulated:
    def __init__(self, emulator, url, path):
        self.emulator = emulator
        self.flow = Flow(url, path)

    def misbehave(self, *faults):
        """Replace the emulator's faults by these from now on."""
        self.emulator._faults = FaultBox(faults)

    @property
    def made(self):
        return list(self.emulator._world.predictions)
