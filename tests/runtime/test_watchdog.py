"""The watchdog of a child without its own limits kills at the right time, with the right error."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from confined import alive, child_for, gone, serve
from waiting import let_pass, scaled, wait_until

from kosmolua.errors import LimitError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.confine import GRACE
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.pending import PATIENCE
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import Script, run
from kosmolua.runtime.watchdog import Watchdog

LATE = 0.5  # seconds after a limit, at which the child is certainly dead
SPIN = "while True: pass"
UNLIMITED = ["seccomp", "landlock", "rlimits"]


def ends(child, host):
    """Run a child to its end, check that nothing is left, and return the error and the time."""
    began = time.monotonic()
    with pytest.raises((LimitError, ScriptError)) as caught:
        serve(child, host)
    took = time.monotonic() - began

    assert not Path(f"/proc/{child.pid}").exists()
    return caught.value, took


def test_a_cpu_limit_without_the_childs_timer(host):
    """A child that has removed its own timer is killed for its CPU time."""
    limits = Limits(cpu=0.3)
    child = child_for(SPIN, without=UNLIMITED, limits=limits)
    error, _ = ends(child, host)

    assert {"limit": "cpu", "value": 0.3} == error.detail
    assert child.cpu_seconds < limits.cpu + LATE


def test_a_cpu_limit_by_the_childs_timer(host):
    """The kernel ends a confined child that does not report its line, within a timer tick."""
    child = child_for(SPIN, limits=Limits(cpu=0.3))
    error, _ = ends(child, host)

    assert {"limit": "cpu", "value": 0.3} == error.detail
    assert child.cpu_seconds < 0.3 + GRACE + 0.15


def test_a_wall_clock_limit(host):
    """A computing child is killed when its time is over."""
    error, took = ends(child_for(SPIN, limits=Limits(cpu=None, time=0.3)), host)

    assert {"limit": "time", "value": 0.3} == error.detail
    assert 0.3 <= took < 0.3 + scaled(LATE)


def test_a_wall_clock_limit_during_a_call(host):
    """The limit does not wait for an open call: the child ends before the call."""
    pending, over = threading.Event(), threading.Event()

    def handler(*_):
        pending.set()
        over.wait(5)
        return {}

    child = Child(Limits(time=0.3))
    port = Port(handler, host)
    start = Start(source=b"integrations.replicate.echo{}", name=b"x", provider="replicate", functions=[("echo",)])

    def watch():
        pending.wait(5)
        began = time.monotonic()
        wait_until(lambda: not alive(child.pid))
        seen.append(time.monotonic() - began)
        over.set()

    seen = []
    thread = threading.Thread(target=watch)
    thread.start()
    with Watchdog(child.limits, port, child), pytest.raises(LimitError):
        child.run(marshal.encode(start), port)
    thread.join()

    assert seen[0] < 0.3 + scaled(LATE)


def test_a_run_waits_only_briefly_for_a_call_after_its_time(isolation):
    """An open call gets a short time to end."""
    over, limits = threading.Event(), Limits(time=0.2)
    script = Script(source=b"integrations.replicate.echo{}", name="x", functions=[("echo",)])
    began = time.monotonic()
    result = run(script, lambda *_: over.wait(60), None, limits=limits, isolation=isolation)
    took = time.monotonic() - began
    over.set()

    assert {"limit": "time", "value": 0.2} == result.error.detail
    assert took < 0.2 + PATIENCE + scaled(LATE)


def test_a_memory_limit(host):
    """A child without a memory limit of its own is killed for its memory."""
    code = "held = []\nwhile True: held.append(bytearray(b'x') * (16 << 20)); time.sleep(0.002)"
    error, took = ends(child_for(code, without=UNLIMITED, limits=Limits(memory=1 << 20)), host)

    assert {"limit": "memory", "value": 1 << 20} == error.detail
    assert took < scaled(5)


def test_an_output_limit(host):
    """The host counts printed bytes, whatever receives them."""
    script = Script(source=b"while true do print(('x'):rep(1000)) end", name="x")
    result = run(script, host, host, limits=Limits(output=10_000))

    assert {"limit": "output", "value": 10_000} == result.error.detail
    assert 5 == result.error.exit_status
    assert len(host.printed) <= 11_001


@pytest.mark.parametrize(
    "code",
    ["receive()", "os.write(1, b'\\0\\0'); receive()", "os.kill(os.getpid(), signal.SIGSTOP)", "signal.pause()"],
    ids=["reads", "half a frame", "stopped", "sleeps"],
)
def test_a_silent_child(host, code):
    """A child that neither computes nor answers when it should is killed."""
    error, took = ends(child_for(code, without=["seccomp"], limits=Limits(silence=0.4)), host)

    assert {"limit": "silence", "value": 0.4} == error.detail
    assert 5 == error.exit_status
    assert 0.3 <= took < 0.4 + scaled(LATE)


def test_a_child_that_does_not_read(host):
    """A child that does not read its answer does not block its host."""
    host.answers["echo"] = "x" * (1 << 22)
    ask = "send(bytes.fromhex('96a463616c6c01c3a0a46563686f80'))\n"
    error, took = ends(child_for(ask + "signal.pause()", without=["seccomp"], limits=Limits(silence=0.4)), host)

    assert {"limit": "silence", "value": 0.4} == error.detail
    assert took < 0.4 + scaled(LATE)


def test_a_suspended_script_is_killed(host):
    """A child that was suspended with SIGSTOP is killed, whether confined or not."""
    limits = Limits(silence=0.4)
    child = Child(limits)
    script = Script(source=b"integrations.replicate.echo{}", name="x", functions=[("echo",)])
    result = run(script, lambda *_: os.kill(child.pid, signal.SIGSTOP), host, limits=limits, child=child)

    assert {"limit": "silence", "value": 0.4} == result.error.detail


def test_a_waiting_script_is_not_killed(host):
    """A script that sleeps, waits for a slow answer, or computes for some time is not killed."""

    def slowly(*_):
        let_pass(0.5)
        return {}

    source = b"sleep(0.5) integrations.replicate.echo{} local t = os.clock() while os.clock() < t + 0.5 do end return 1"
    script = Script(source=source, name="x", functions=[("echo",)])
    result = run(script, slowly, host, limits=Limits(silence=0.2))

    assert [1] == result.results


def test_descendants_do_not_delay_the_end(host):
    """If a process that the child started keeps the pipes open, the run still ends in time."""
    code = "os.fork() or os.setsid()\nsignal.alarm(3)\nsignal.pause()"
    child = child_for(code, without=UNLIMITED, limits=Limits(time=0.4))
    error, took = ends(child, host)

    assert {"limit": "time", "value": 0.4} == error.detail
    assert took < 0.4 + scaled(LATE)


def test_processes_of_a_child_are_killed_with_it(host):
    """Without a layer against forks, processes that a child started are killed with its process group."""
    code = "pid = os.fork()\nif pid: send(b'\\x93\\xa5print\\x01\\xc4' + bytes([len(str(pid))]) + str(pid).encode())\n"
    child = child_for(code + "signal.pause()", without=UNLIMITED, limits=Limits(time=scaled(0.4)))
    ends(child, host)

    assert gone(int(host.printed))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSYS, "forbidden system call"),
        (signal.SIGSEGV, r"crashed the Lua interpreter \(SIGSEGV\)"),
        (signal.SIGKILL, "killed from outside"),
        (signal.SIGVTALRM, "CPU time limit"),
        (signal.SIGXCPU, "CPU time limit"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_end_has_a_reason(host, number, words):
    """The error explains how a child died."""
    child = child_for(f"os.kill(os.getpid(), {int(number)})", without=["seccomp"])
    error, _ = ends(child, host)

    with pytest.raises(type(error), match=words):
        raise error
