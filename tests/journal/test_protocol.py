"""How a journal handles writes, with the real journal and lookup, for every combination of interruptions.

An attempt may end before its intent is on disk, after that, while the request is in transit, after the API received the
request, or after the answer arrived and before the answer is recorded. A request in transit may arrive at any time
while the lookup still waits for it. A list of such ends is a history; the tests run all histories up to a length.
"""

import itertools
import os
import tempfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head, Lookup
from kosmolua.replicate.answers import Answer
from kosmolua.runtime import marshal
from kosmolua.runtime.tape import JournalRequest
from kosmolua.settings import config

BASE = "https://api.replicate.com/v1"
HEAD = Head(script="flow.lua", source=b"")
ENDS = ("unwritten", "unsent", "on its way", "taken", "answered", "well")


class Ended(BaseException):
    """Raised at the point where the process ends."""


class Api:
    """A simulated API with creates and lists, whose requests may arrive at any time."""

    base_url = BASE

    def __init__(self):
        self.made = []
        self.travelling = []
        self.end = "well"

    def send(self, operation, arguments):
        if operation.name == "get_account":
            return Answer(200, {"username": "alice"}, "", None)
        if operation.name == "list_predictions":
            return Answer(200, {"results": self.made[::-1], "next": None}, "", None)
        if operation.name == "get_prediction":
            return Answer(200, next(p for p in self.made if p["id"] == arguments.prediction_id), "", None)
        if self.end == "unsent":
            raise Ended
        if self.end == "on its way":
            self.travelling.append(arguments)
            raise Ended
        taken = self.take(arguments)
        if self.end == "taken":
            raise Ended
        return Answer(201, taken, "", None)

    def take(self, arguments):
        self.made.append({
            "id": f"p{len(self.made)}", "version": arguments.version, "input": arguments.input,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "status": "succeeded",
        })  # fmt: skip
        return self.made[-1]

    def arrive(self):
        while self.travelling:
            self.take(self.travelling.pop())

    def close(self):
        """Do nothing: there is no connection."""


class Time:
    """A clock that only advances during sleeps; delayed requests arrive during a sleep, or before one."""

    now = 1000.0

    def __init__(self, api):
        self._api = api

    def uptime(self):
        return "boot", self.now

    def sleep(self, seconds):
        self.now += seconds
        self._api.arrive()


def attempt(path, api, clock, inputs, end_at=0, end="well"):
    """Run a script that makes these creates; the create ``end_at`` ends as ``end`` says. Returns the results if the
    script succeeded."""
    lookup = Lookup(settling=30, sleep=clock.sleep, uptime=clock.uptime)
    session = Session(lambda _: api, policy_of(config.load({}, write="allow")))
    journal = Journal(path, HEAD, lookup=lookup)
    try:
        return [
            create(journal, session, number, text, api, end if number == end_at else "well")
            for number, text in enumerate(inputs, 1)
        ]
    except Ended:
        return None
    finally:
        journal.close()


def create(journal, session, number, text, api, end):
    arguments = marshal.encode({"version": "v" * 64, "input": {"text": text}})
    asked = JournalRequest(0, number, "create_prediction", "", arguments)
    recorded = journal.recall(asked, number)
    if recorded:
        return recorded.value
    api.end = end
    end_if(end == "unwritten")
    ticket = journal.begin(asked, number - 1)
    value = marshal.encode(session.call("create_prediction", arguments, ticket=ticket).data)
    end_if(end == "answered")
    journal.finish(ticket, value, ok=True)
    return value


def end_if(so):
    if so:
        raise Ended


def go_through(path, inputs, history):
    """Run a history to its end; returns what the API created and the script's results."""
    api = Api()
    clock = Time(api)
    for end_at, end, arrives_between in history:
        attempt(path, api, clock, inputs, end_at, end)
        if arrives_between:
            api.arrive()
    finished = attempt(path, api, clock, inputs)
    api.arrive()
    return api, finished


def hold(api, inputs, finished):
    assert sorted(inputs) == sorted(item["input"]["text"] for item in api.made)
    assert len(set(finished)) == len(inputs)
    assert {marshal.encode(item) for item in api.made} == set(finished)


@pytest.fixture(scope="module")
def directory():
    """A directory in memory if possible, since thousands of journals need not be written to a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as made:
        yield made


@pytest.mark.parametrize("inputs", [("a", "b"), ("a", "a")], ids=["different", "alike"])
def test_every_history_of_two_ends(directory, inputs):
    """In every history no write is executed twice, none is lost, and each answer belongs to one entry."""
    moments = [(at, end, arrives) for at in (1, 2) for end in ENDS for arrives in (False, True)]
    for count, history in enumerate(itertools.product(moments, repeat=2)):
        api, finished = go_through(f"{directory}/{inputs}{count}.journal", inputs, history)
        hold(api, inputs, finished)


@settings(max_examples=60, deadline=None)
@given(
    inputs=st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    history=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(ENDS), st.booleans()), max_size=6),
)
def test_random_longer_histories(directory, inputs, history):
    """Random histories with more writes and more ends have the same properties."""
    path = f"{directory}/{time.monotonic_ns()}.journal"
    api, finished = go_through(path, inputs, history)
    hold(api, inputs, finished)
