"""A looping script in the program's own process can be ended, even if it makes no requests."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from waiting import DEADLINE, scaled

from kosmolua import Host, Limits

LOOPS = {
    "plain": "while true do end",
    "for": "for i = 1, 1e15 do end",
    "calls": "local function f(n) return n + 1 end local n = 0 while true do n = f(n) end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "coroutine": "coroutine.wrap(function() while true do end end)()",
    "xpcall": "xpcall(function() while true do end end, function() while true do end end)",
    "task": "parallel({ 1, 2 }, function() while true do end end)",
}
SOON = 3.0  # seconds, far below the CPU limit
ALL = [Limits(), Limits(None, None, None, None, None)]


class Printed:
    """A stream that receives the output and signals that the script runs."""

    def __init__(self):
        self.begun = threading.Event()

    def write(self, stream, text):
        self.begun.set()


@pytest.fixture(params=ALL, ids=["limited", "unlimited"])
def host(request):
    with Host(emulate=True, isolation="none", limits=request.param) as made:
        yield made


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_stopped(source, host):
    """`stop` ends the script at the next hook, even if the script catches errors."""
    run = host.script(source)
    began = time.monotonic()
    timer = threading.Timer(0.2, run.stop)
    timer.start()
    result = run.result()
    timer.join()

    assert ("interrupted", "the run was stopped") == (result.error.code, result.error.message)
    assert time.monotonic() - began < scaled(SOON)


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_a_loop_ends_at_its_time_limit(source):
    """The wall-clock limit applies to a loop without requests."""
    with Host(emulate=True, isolation="none", limits=Limits(time=0.3)) as host:
        result = host.run(source)

    assert ("limit_reached", "time") == (result.error.code, result.error.detail["limit"])
    assert result.duration < scaled(SOON)


def test_a_loop_ends_with_its_host(host):
    """`close` stops the loop without further waiting."""
    results, printed = [], Printed()
    run = host.script("print('on') while true do end", output=printed)
    thread = threading.Thread(target=lambda: results.append(run.result()))
    thread.start()
    assert printed.begun.wait(DEADLINE)
    began = time.monotonic()
    host.close()
    thread.join(10)

    assert "the host was closed" == results[0].error.message
    assert time.monotonic() - began < scaled(SOON)


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_an_interrupt_ends_a_loop(source, host):
    """Ctrl-C raises KeyboardInterrupt in the thread that runs the script, and the script cannot catch it."""
    run = host.script(f"pcall(function() {source} end) return 1")
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run.result()

    assert "interrupted" == run.outcome.error.code
    assert 2 == host.run("return 1 + 1").value


def test_an_interrupt_between_any_two_instructions():
    """At any moment the signal ends the script or the whole run; no Python error reaches Lua."""
    code = """
import os, signal, threading
from kosmolua import Host
source = "local ok, e = pcall(function() for _ = 1, 1e9 do log('x') end end) return type(e)"
seen = set()
with Host(emulate=True, isolation="none", on_output=lambda *_: None) as host:
    for n in range(60):
        timer = threading.Timer(0.003 + n * 0.0007, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            seen.add(repr(host.run(source)))
        except KeyboardInterrupt:
            timer.join()
print(seen)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)

    assert (0, "set()\n", "") == (ran.returncode, ran.stdout, ran.stderr)


def test_a_broken_engine_is_never_replaced():
    """An ImportError of lupa's extension ends the run, because another engine would behave differently."""
    code = """
import sys
from kosmolua import Host
class Broken:
    def find_spec(self, name, *_):
        if name == "lupa.luajit21":
            raise ImportError("wrong ELF class")
sys.meta_path.insert(0, Broken())
with Host(emulate=True, isolation="none") as host:
    print(host.run("return 1").error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (0, "lupa.luajit21 cannot be loaded: wrong ELF class\n", "") == (ran.returncode, ran.stdout, ran.stderr)


def test_a_stop_in_a_signal_handler():
    """A handler of SIGTERM in the main thread can stop a loop that runs in that thread."""
    with Host(emulate=True, isolation="none") as host:
        run = host.script("while true do end")
        before = signal.signal(signal.SIGTERM, lambda *_: run.stop("terminated"))
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            result = run.result()
        finally:
            signal.signal(signal.SIGTERM, before)

    assert "terminated" == result.error.message
    assert result.duration < scaled(SOON)
