"""The CPU time that the host spends on a run is measured per thread, and counts towards the run's limit."""

import threading
import time

import pytest
from waiting import let_pass

from kosmolua.runtime.limits import Limits
from kosmolua.runtime.meter import Meter
from kosmolua.runtime.run import Script, run

GRACE = 0.6  # seconds after a limit, at which a run has certainly ended


def spin(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_threads_are_counted_while_they_work():
    """Only time in which a thread works for the run counts, also if another thread reads the total."""
    meter, go, done = Meter(), threading.Event(), threading.Event()

    def work():
        spin(0.05)
        with meter.working():
            spin(0.1)
            done.set()
            go.wait(5)
        spin(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    done.wait(5)
    while_working = meter.seconds
    go.set()
    thread.join()

    assert 0.1 <= while_working < 0.13
    assert 0.1 <= meter.seconds < 0.13


def test_shared_work_is_not_counted():
    """Exempt work does not count, also in nested blocks; an exemption outside of work has no effect."""
    meter = Meter()
    with meter.exempt(), meter.working():
        with meter.exempt(), meter.exempt():
            spin(0.1)
            inside = meter.seconds
        spin(0.05)

    assert inside < 0.01
    assert 0.05 <= meter.seconds < 0.08


@pytest.mark.parametrize("isolation", ["standard", "strict", "none"])
@pytest.mark.parametrize(
    "source",
    ["while true do pcall(integrations.replicate.work, {}) end",
     "parallel({ 1, 2, 3, 4 }, function() while true do integrations.replicate.work {} end end)"],
    ids=["alone", "on threads"],
)  # fmt: skip
def test_work_of_the_host_counts_towards_the_limit(host, isolation, source):
    """A script that computes little is ended because of the host's work."""
    script = Script(source=source.encode(), name="x", functions=[("work",)])
    began = time.process_time()
    result = run(script, lambda *_: spin(0.01), host, limits=Limits(cpu=1.0), isolation=isolation)

    assert {"limit": "cpu", "value": 1.0} == result.error.detail
    assert time.process_time() - began < 1.0 + GRACE
    assert result.host_cpu > 0.5


def test_waiting_does_not_count(host):
    """The time in which a call waits does not count."""
    script = Script(source=b"for _ = 1, 3 do integrations.replicate.work {} end", name="x", functions=[("work",)])
    result = run(script, lambda *_: let_pass(0.2), host, limits=Limits(cpu=0.5))

    assert result.error is None
    assert result.host_cpu < 0.2
