"""Children forked from a prepared process behave like others, start faster, and end as reliably."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from confined import by_superuser, gone, layers, memory_of, needs
from test_confine import ATTACKS
from waiting import scaled, wait_until

from kosmolua.errors import RAISE_LIMIT, KosmoError, ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.prepared import Forked, Prepared
from kosmolua.runtime.run import Script, run
from kosmolua.runtime.watchdog import Watchdog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no prepared process")

# Python in the forked child, confined like a script's child: its first frame is a program.
BOOT = """
import sys
sys.path += sys.argv[2 : 2 + int(sys.argv[1])]
import _socket, _thread, ctypes, mmap, os, posix, resource, signal, struct, time
from kosmolua.runtime import zygote
libc = ctypes.CDLL(None, use_errno=True)
host, parent = int(sys.argv[-1]), os.getpid()
def refused(answer):
    if answer < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def run(*_):
    exec(os.read(0, int.from_bytes(os.read(0, 4))), globals())
    raise SystemExit('it was not refused')
zygote.main(run)
"""
# The real main program, whose child reports its imports instead of running a script.
TELLING = """
import sys
sys.path += sys.argv[2 : 2 + int(sys.argv[1])]
from kosmolua.runtime import zygote
import os
def run(*_):
    names = ' '.join(sys.modules).encode()
    frame = bytes.fromhex('93a57072696e7401c5') + len(names).to_bytes(2) + names
    os.write(1, len(frame).to_bytes(4) + frame)
zygote.main(run)
"""


# Answers each request with a process id but no descriptor, as if the host could not receive one.
WITHOUT_DESCRIPTOR = """
import socket
host = socket.socket(fileno=3)
while True:
    words, descriptors, _, _ = socket.recv_fds(host, 256, 4)
    if not words: raise SystemExit
    socket.socket(fileno=descriptors[0]).send(b"4321")
"""


@pytest.fixture(scope="module")
def prepared():
    with Prepared() as made:
        yield made


@pytest.fixture(scope="module")
def breaking():
    with Prepared(boot=BOOT) as made:
        yield made


def script(source, name="x"):
    return Script(source=source.encode(), name=name, functions=[("echo",), ("fail",)])


def killing(host, child):
    """A host that, on request, sends its child a signal for a crash."""

    def handle(function, account, arguments):
        if b"crash" in arguments:
            os.kill(child.pid, signal.SIGSEGV)
        return host(function, account, arguments)

    return handle


def attempt(prepared, host, code, mode="standard", limits=None):
    """Run a program in a forked child to its end, and raise the error that says how it died."""
    limits = limits or Limits(cpu=5.0)
    child = Child(limits, mode, prepared=prepared)
    assert isinstance(child._process, Forked)
    port = Port(host, host, limits=limits)
    with Watchdog(limits, port, child):
        child.run(code.encode(), port)


SCRIPTS = {
    "values": "return 1, 'two', { 3, { four = json.null } }, json.array({})",
    "output": "print('printed') log('logged') return args[1]",
    "call": "return integrations.replicate.echo{ a = { 1, 2 } }",
    "tasks": "return parallel({ 1, 2, 3 }, function(n) return n, integrations.replicate.echo{ n = n } end)",
    "error": "local function f() error('it failed') end\nf()",
    "failure": "integrations.replicate.fail{}",
    "syntax": "return return",
    "cpu": "while true do end",
    "memory": "local t = {} while true do t[#t + 1] = {} end",
    "output limit": "while true do print(('x'):rep(1000)) end",
    "crash": "integrations.replicate.echo{ crash = true }",
    "clock": "return os.date('%c', 0), type(os.clock()), math.random() < 1",
}


def test_each_memory_limit_has_its_own_state(prepared, host):
    """Runs with many limits, some too low to start, follow one another; no run sees another's data."""
    code = "local before = rawget(_G, 'left') rawset(_G, 'left', true) string.left = true return before"

    def told(memory):
        limits = Limits(memory=memory)
        result = run(script(code), host, host, limits=limits, child=Child(limits, prepared=prepared))
        return result.results if result.error is None else result.error.code

    sizes = [64 << 20, 1000, 65 << 20, 200_000, 66 << 20, 67 << 20, None, 68 << 20, 64 << 20, 1000, 64 << 20]

    assert [
        "limit_reached" if size and size < 1 << 20 else [None] for size in sizes
    ] == [told(size) for size in sizes]  # fmt: skip


@pytest.mark.parametrize("mode", ["standard", "strict"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_forked_child_runs_like_a_spawned_one(prepared, host, name, mode):
    """Results, errors, limits and layers are the same as in a spawned child."""
    if mode == "strict" and any(layers[layer] is not True for layer in ("landlock", "seccomp")):
        pytest.skip("strict needs Landlock and seccomp")
    limits = Limits(cpu=0.2, memory=16 << 20, output=10_000)

    def told(prepared):
        host.printed, host.calls = b"", []
        child = Child(limits, mode, prepared=prepared)
        result = run(script(SCRIPTS[name]), killing(host, child), host, limits=limits, isolation=mode, child=child)
        error = result.error and result.error.to_dict()
        return (
            result.results,
            error,
            result.isolation,
            result.engine,
            host.printed[:10_000],
            sorted(map(repr, host.calls)),
        )

    assert told(None) == told(prepared)


@pytest.mark.parametrize("mebibytes", [12, 16, 20, 24, 28, 32])
def test_a_crash_without_memory_is_the_memory_limit(prepared, host, mebibytes):
    """The engine may crash when memory runs out; the run's error is then the limit."""
    size = (mebibytes << 20) - (2 << 20)
    source = f"kept = ('x'):rep({size}) integrations.replicate.echo{{ crash = true }}"
    limits = Limits(memory=mebibytes << 20)
    child = Child(limits, prepared=prepared)
    result = run(script(source), killing(host, child), host, limits=limits, child=child)

    assert {"limit": "memory", "value": mebibytes << 20} == result.error.detail


def test_children_are_forked(prepared, host):
    """Each run gets a separate child of the prepared process."""
    pids = []
    for _ in range(3):
        child = Child(Limits(), prepared=prepared)
        pids.append(child.pid)
        parent = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1]
        child.close()

        assert isinstance(child._process, Forked)
        assert prepared._process._pid == int(parent)
    assert 3 == len(set(pids))


def test_runs_share_no_data(prepared, host):
    """A script finds no data of earlier runs, and no shared sequence of random numbers."""
    run(script("shared = 1 string.rep = nil rawset(json, 'shared', 1)"), host, host, child=prepared)
    result = run(script("return shared == nil, ('x'):rep(2), json.shared == nil"), host, host, child=prepared)

    assert [True, "xx", True] == result.results


def test_many_concurrent_runs(prepared):
    """Runs in many threads each get their own answers."""

    def one(number):
        class Host:
            printed = b""

            def write(self, stream, text):
                self.printed += text

            def __call__(self, function, account, arguments):
                return {"number": number, "given": msgspec.msgpack.decode(arguments)["n"]}

        host = Host()
        source = f"print({number}) local a = integrations.replicate.echo{{ n = {number} }} return a.number, a.given"
        return run(script(source), host, host, child=prepared).results, host.printed

    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(one, range(120)))

    assert [([n, n], f"{n}\n".encode()) for n in range(120)] == found


def begun_since(before):
    """The names of this package's threads that were started since the given snapshot."""
    return [thread.name for thread in threading.enumerate() if thread not in before and "kosmolua" in thread.name]


def test_nothing_is_left_over(host):
    """After all kinds of children and the end of the process, nothing more is left than before."""
    before, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    with Prepared() as prepared:
        for source in ("return 1", "error('x')", "while true do end", "print(('x'):rep(9999))"):
            run(script(source), host, host, limits=Limits(cpu=0.1, output=1_000), child=prepared)
        Child(Limits(), prepared=prepared).close()
        pid = prepared._process._pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()

    wait_until(lambda: not begun_since(threads))
    assert "" == children
    assert before == set(os.listdir("/proc/self/fd"))
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_died_is_replaced(host):
    """The next run works as before."""
    with Prepared() as prepared:
        run(script("return 1"), host, host, child=prepared)
        first = prepared._process._pid
        os.kill(first, signal.SIGKILL)
        result = run(script("return 2"), host, host, child=prepared)

        assert [2] == result.results
        assert first != prepared._process._pid
        assert gone(first)


def test_children_die_with_their_process(host):
    """If the prepared process dies, its active runs end with a reason, and the next run works."""
    with Prepared() as prepared:
        child = Child(Limits(), prepared=prepared)
        killer = lambda *_: os.kill(prepared._process._pid, signal.SIGKILL)  # noqa: E731 - the handler of one call
        result = run(script("integrations.replicate.echo{} sleep(60)"), killer, host, limits=child.limits, child=child)
        again = run(script("return 1"), host, host, child=prepared)

        assert "script_crashed" == result.error.code
        assert gone(child.pid)
        assert [1] == again.results


def test_a_process_that_never_starts(host):
    """If the process dies at once, children are started without it."""
    with Prepared(boot="raise SystemExit(1)") as prepared:
        result = run(script("return 1"), host, host, child=prepared)

    assert [1] == result.results


def test_no_descriptor_is_available_to_receive_the_child(host):
    """A second child does not get the same pipes, which would mix the frames of two scripts."""
    with Prepared(boot=WITHOUT_DESCRIPTOR) as prepared:
        error = run(script("return 1"), host, host, child=prepared).error

    assert ("not_configured", RAISE_LIMIT) == (error.code, error.hint)


def test_closing_ends_active_runs(host):
    """Closing ends active runs and prevents further forks, but later runs still work."""
    prepared = Prepared()
    child = Child(Limits(), prepared=prepared)
    result = run(
        script("integrations.replicate.echo{} sleep(60)"), lambda *_: prepared.close(), host, limits=child.limits,
        child=child,
    )  # fmt: skip
    after = run(script("return 1"), host, host, child=prepared)

    assert "script_crashed" == result.error.code
    assert gone(child.pid)
    assert [1] == after.results
    assert prepared.fork((), ()) is None


def test_a_forked_child_is_killed_in_time(prepared, host):
    """A forked child is killed within half a second of its limit, and its CPU time is counted."""
    began = time.monotonic()
    wall = run(script("while true do end"), host, host, limits=Limits(time=0.3), child=prepared)
    took = time.monotonic() - began
    cpu = run(script("while true do end"), host, host, limits=Limits(cpu=0.3), child=prepared)

    assert [{"limit": "time", "value": 0.3}, {"limit": "cpu", "value": 0.3}] == [wall.error.detail, cpu.error.detail]
    assert 0.3 <= took < scaled(0.8)
    assert 0.2 <= cpu.cpu < 0.8


HOST = """
import sys
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.prepared import Prepared
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.run import Script, run
prepared = Prepared()
child = Child(Limits(None, None, None, None, None), prepared=prepared)
class Output:
    def write(self, stream, text): print(child.pid, prepared._process._pid, flush=True)
run(Script(source=sys.argv[1].encode(), name="x"), None, Output(), limits=child.limits, child=child)
"""


@pytest.mark.parametrize("source", ["print(1) while true do end", "print(1) sleep(1000)"], ids=["computes", "waits"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_killed_host_leaves_nothing(source, stopped):
    """SIGKILL to the host ends the prepared process and its children."""
    host = subprocess.Popen([sys.executable, "-c", HOST, source], stdout=subprocess.PIPE, text=True)
    child, process = map(int, host.stdout.readline().split())
    if stopped:
        os.kill(child, signal.SIGSTOP)
        os.kill(process, signal.SIGSTOP)
    host.kill()
    host.wait()
    host.stdout.close()

    assert gone(process)
    assert gone(child)


# Contents and rights of the process -------------------------------------------------------------------------------


@by_superuser
@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_no_secret_of_the_host_is_in_the_process(host, monkeypatch, mode):
    """The memory of the process and of its child contains no byte of the token or the environment."""
    if mode == "strict" and any(layers[layer] is not True for layer in ("landlock", "seccomp")):
        pytest.skip("strict needs Landlock and seccomp")
    with Prepared() as prepared:
        run(script(""), host, host, child=prepared)
        monkeypatch.setenv("REPLICATE_API_KEY", "r8_MarkedTokenOfTheHost")
        child = Child(Limits(), mode, prepared=prepared)
        pids = (child.pid, prepared._process._pid)
        seen = {}

        def handler(*_):
            for pid in pids:
                seen[pid] = memory_of(pid)
            seen["environment"] = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pids]
            seen["descriptors"] = sorted(os.listdir(f"/proc/{child.pid}/fd"))
            return {}

        source = b"local here = 'MarkedTextOfTheScript' integrations.replicate.echo{} return here"
        start = Start(source=source, name=b"x", provider="replicate", functions=[("echo",)])
        child.run(marshal.encode(start), Port(handler, host))

    assert [True, False] == [b"MarkedTextOfTheScript" in seen[pid] for pid in pids]
    assert [False, False] == [b"MarkedToken" in seen[pid] for pid in pids]
    assert {b"LC_ALL=C.UTF-8", b"TZ=UTC0"} == set(b"\0".join(seen["environment"]).split(b"\0")) - {b""}
    assert ["0", "1", "2"] == seen["descriptors"]


def test_modules_of_a_forked_child(host):
    """A forked child has no client, keyring or gate. `_socket`, which passes descriptors, is useless under seccomp."""
    with Prepared(boot=TELLING) as prepared, pytest.raises(ScriptError, match="ended with status 0"):
        attempt(prepared, host, "")
    loaded = set(host.printed.decode().split())

    forbidden = {
        "httpx",
        "httpcore",
        "ssl",
        "_ssl",
        "socket",
        "keyring",
        "msgspec",
        "http",
        "urllib",
        "pickle",
        "subprocess",
    }
    assert not forbidden & loaded
    assert {
        "kosmolua", "kosmolua.errors", "kosmolua.runtime", "kosmolua.runtime.bytecode", "kosmolua.runtime.confine",
        "kosmolua.runtime.standins", "kosmolua.runtime.state", "kosmolua.runtime.worker", "kosmolua.runtime.zygote",
    } == {name for name in loaded if name.startswith("kosmolua")}  # fmt: skip


ON_ITS_PARENT = {
    "kill the process": "os.kill(parent, 0)",
    "read its memory": "os.open(f'/proc/{parent}/mem', os.O_RDONLY)",
    "ptrace it": "refused(libc.ptrace(0x4206, parent, 0, 0))",
    "its socket": "_socket.socket(fileno=3).send(b'0 0 standard')",
    "a message to it": "os.write(3, b'0 0 standard')",
}


@needs("seccomp")
@pytest.mark.parametrize("mode", ["standard", "strict"])
@pytest.mark.parametrize("code", [*ATTACKS.values(), *ON_ITS_PARENT.values()], ids=[*ATTACKS, *ON_ITS_PARENT])
def test_an_unneeded_system_call_ends_the_child(breaking, host, code, mode):
    """Native code in a forked child has no more access to its host or parent process than in other children."""
    if layers["landlock"] is not True and mode == "strict":
        pytest.skip(f"strict needs Landlock; {layers['landlock']}")
    with pytest.raises(ScriptError, match="forbidden system call") as caught:
        attempt(breaking, host, code, mode)

    assert "script_crashed" == caught.value.code


def test_the_process_works_after_attacks(breaking, host):
    """After any action of a child, the same process forks the next one."""
    attempt_quietly(breaking, host, "os.kill(os.getpid(), 9)")
    before = breaking._process._pid
    for code in ("os.kill(parent, 9)", "os.write(1, b'\\xff' * 8)", "os._exit(7)", "1 / 0", "while True: pass"):
        attempt_quietly(breaking, host, code)

    assert before == breaking._process._pid
    with pytest.raises(ScriptError, match="it was not refused"):
        attempt(breaking, host, "pass")


def attempt_quietly(prepared, host, code):
    with pytest.raises(KosmoError):
        attempt(prepared, host, code, limits=Limits(cpu=0.1))


def test_the_process_is_confined(prepared, host):
    """A prepared process cannot gain privileges, and has its own process group."""
    run(script(""), host, host, child=prepared)
    pid = prepared._process._pid
    status = Path(f"/proc/{pid}/status").read_text()

    assert "NoNewPrivs:\t1" in status
    assert pid == os.getpgid(pid)
