"""Requests are sent as fast as the API accepts them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kosmolua.emulator import Emulator
from kosmolua.emulator.clock import ManualClock
from kosmolua.gate.functions import resolve
from kosmolua.replicate.client import Client
from kosmolua.replicate.in_process import InProcessTransport
from kosmolua.replicate.pace import Pace
from kosmolua.replicate.structs import decode_arguments

HELLO = {"version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa", "input": {"text": "a"}}


class Requests:
    """An emulator with a rate limit, its client, and the times of the requests."""

    def __init__(self, *faults):
        self.clock = ManualClock()
        self.came = []
        emulator = Emulator(clock=self.clock, faults=faults)

        def application(environ, start_response):
            def begin(status, headers):
                self.came.append((self.clock.time(), environ["REQUEST_METHOD"], int(status[:3])))
                return start_response(status, headers)

            return emulator(environ, begin)

        self.client = Client(
            token="r8_token", base_url="http://emulator.localhost/v1", transport=InProcessTransport(application),
            clock=self.clock,
        )  # fmt: skip

    def send(self, name, arguments):
        operation = resolve(name)
        return self.client.send(operation, decode_arguments(operation, arguments)).data

    def refused(self):
        return sum(status == 429 for _, _, status in self.came)


def test_a_sequence_on_an_account_with_little_credit():
    """With six creates a minute, ten in sequence succeed in little more than the minimum time."""
    requests = Requests("throttle:create:per_minute=6:burst=1")
    began = requests.clock.time()
    made = [requests.send("create_prediction", HELLO)["id"] for _ in range(10)]

    assert 10 == len({*made})
    assert requests.clock.time() - began < 1.5 * 90
    assert requests.refused() <= 9


def test_concurrent_creates_on_an_account_with_little_credit():
    """Each rejected call waits for its own turn."""
    requests = Requests("throttle:create:per_minute=60:burst=1")
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: requests.send("create_prediction", HELLO)["id"], range(40)))

    assert 40 == len({*made})


def test_reads_are_not_delayed_by_creates():
    """Rejected creates delay only creates."""
    requests = Requests("throttle:create:per_minute=6:burst=1")
    requests.send("create_prediction", HELLO)
    requests.send("create_prediction", HELLO)
    before = requests.clock.time()
    for _ in range(20):
        requests.send("get_account", {})

    assert before == requests.clock.time()


def test_nothing_is_delayed_without_a_rejection():
    """Without a rejection every call can be sent at once."""
    pace = Pace(lambda: 0.0)

    assert [0.0] * 1000 == [pace.turn().wait for _ in range(1000)]


def test_rejections_of_one_burst_count_once():
    """Requests that were sent before the first rejection was known do not change the interval again."""
    pace = Pace(lambda: 0.0)
    turns = [pace.turn() for _ in range(64)]
    for turn in turns:
        pace.refused(turn, 2.0)

    assert [2.0, 4.0, 6.0] == [pace.turn().wait for _ in range(3)]


def test_accepted_requests_shorten_the_interval():
    """The interval shrinks with each accepted request until it is dropped."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.refused(pace.turn(), 1.0)
    waits = []
    for _ in range(100):
        wait = pace.turn().wait
        now[0] += wait
        waits.append(wait)
        pace.taken()

    assert 1.0 == pytest.approx(waits[0])
    assert 0.0 == waits[-1]
    assert sum(waits) < 12
