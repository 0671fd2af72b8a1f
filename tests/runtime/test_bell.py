"""A bell wakes the thread of a child, also after the child has ended."""

import os
import select
from concurrent.futures import ThreadPoolExecutor

import pytest

from kosmolua.runtime import marshal
from kosmolua.runtime.bell import Bell
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port

SEVERAL = b"parallel({ 1, 2, 3 }, function() return integrations.replicate.echo{} end)"


def is_rung(descriptor):
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@pytest.fixture
def bell():
    made = Bell()
    yield made
    made.close()


def test_one_read_takes_all_rings(bell):
    """A single read clears all rings."""
    before = is_rung(bell.descriptor)
    bell.ring()
    bell.ring()
    rung = is_rung(bell.descriptor)
    bell.hush()
    bell.hush()

    assert [False, True, False] == [before, rung, is_rung(bell.descriptor)]


def test_a_full_bell_rings(bell):
    """Ringing a full bell does not block."""
    for _ in range(100_000):
        bell.ring()

    assert is_rung(bell.descriptor)


def test_a_ring_after_closing_is_ignored():
    """After closing, the bell's descriptors may belong to other files, so nothing is written to them."""
    bell = Bell()
    bell.close()
    pipes = [os.pipe() for _ in range(4)]
    bell.ring()
    bell.close()
    rung = [is_rung(reading) for reading, _ in pipes]
    for each in (each for pipe in pipes for each in pipe):
        os.close(each)

    assert [False] * 4 == rung


def test_rings_while_it_closes():
    """Threads that ring during the close never use a closed descriptor."""
    with ThreadPoolExecutor(4) as pool:
        for _ in range(200):
            bell = Bell()
            rings = [pool.submit(lambda ring=bell.ring: [ring() for _ in range(20)]) for _ in range(4)]
            bell.close()
            for each in rings:
                each.result()


def test_a_late_watchdog_is_harmless(host):
    """A watchdog that ends after its run does not write into a file opened since then."""
    child, port = Child(Limits()), Port(host, host)
    child.run(marshal.encode(Start(source=SEVERAL, name=b"x", provider="replicate", functions=[("echo",)])), port)
    pipes = [os.pipe() for _ in range(8)]
    port.pending.wake()
    rung = [is_rung(reading) for reading, _ in pipes]
    for each in (each for pipe in pipes for each in pipe):
        os.close(each)

    assert 3 == len(host.calls)
    assert [False] * 8 == rung
