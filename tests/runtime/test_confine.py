"""A real process attempts what native code in the child might do, and each attempt fails."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confined import by_superuser, child_for, gone, layers, memory_of, needs, on_x86_64, serve

from kosmolua.errors import ConfigurationError, ScriptError
from kosmolua.runtime import confine, marshal
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import Script, run

PTRACE_SEIZE = 0x4206
IOVEC = "import_ = ctypes.c_ulong * 2; iovec = import_(ctypes.addressof(ctypes.create_string_buffer(8)), 8)"
ATTACKS = {
    "tcp socket": "_socket.socket()",
    "udp socket": "_socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)",
    "unix socket": "_socket.socket(_socket.AF_UNIX)",
    "socket pair": "_socket.socketpair()",
    "read a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "create a file": "os.open('/proc/self/comm', os.O_CREAT | os.O_WRONLY)",
    "read the host's memory": "os.open(f'/proc/{host}/mem', os.O_RDONLY)",
    "read the host's environment": "os.open(f'/proc/{host}/environ', os.O_RDONLY)",
    "list files": "os.listdir('/')",
    "look at a file": "os.stat('/etc/passwd')",
    "delete a file": "os.unlink('/kosmolua-attack')",
    "execute": "os.execv('/bin/true', ['true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "fork": "os.fork() or os._exit(0)",
    "thread": "_thread.start_new_thread(print, ())",
    "kill the host": "os.kill(host, 0)",
    "ptrace the host": f"refused(libc.ptrace({PTRACE_SEIZE}, host, 0, 0))",
    "process_vm_readv": f"{IOVEC}; refused(libc.process_vm_readv(host, iovec, 1, iovec, 1, 0))",
    "pidfd_open": "os.pidfd_open(host)",
    "pipe": "os.pipe()",
    "duplicate a descriptor": "os.dup(0)",
    "memfd": "os.memfd_create('x')",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_CORE, (1, 1))",
    "unset the timer": "signal.setitimer(signal.ITIMER_PROF, 0)",
    "catch signals": "signal.signal(signal.SIGPROF, signal.SIG_IGN)",
    "become dumpable": "refused(libc.prctl(4, 1, 0, 0, 0))",
    "namespaces": "refused(libc.unshare(0x10000000))",
    "io_uring": "refused(libc.syscall(425, 1, 0))",
    "bpf": "refused(libc.syscall(321 if os.uname().machine == 'x86_64' else 280, 0, 0, 0))",
    "read from its output": "os.read(1, 1)",
    "write to its input": "os.write(0, b'x')",
    "memory to write and execute": "mmap.mmap(-1, 4096, prot=7)",
    "executable memory": "mmap.mmap(-1, 4096, prot=5)",
}


@needs("seccomp")
@pytest.mark.parametrize("mode", ["standard", "strict"])
@pytest.mark.parametrize("code", ATTACKS.values(), ids=ATTACKS)
def test_an_unneeded_system_call_ends_the_process(host, code, mode):
    """The system call ends the child, and is reported as a possible attack."""
    if layers["landlock"] is not True and mode == "strict":
        pytest.skip(f"strict needs Landlock; {layers['landlock']}")
    with pytest.raises(ScriptError, match="forbidden system call") as caught:
        serve(child_for(code, mode), host)

    assert "script_crashed" == caught.value.code


@pytest.mark.parametrize(
    "name", ["tcp socket", "read a file", "list files", "fork", "kill the host", "executable memory"]
)
def test_the_attempts_succeed_without_confinement(host, name):
    """The same attempts succeed without confinement; otherwise their failure would prove nothing."""
    with pytest.raises(ScriptError, match="it was not refused"):
        serve(child_for(ATTACKS[name], without=["seccomp", "landlock", "rlimits"]), host)


FILES_AND_PROCESSES = [
    "read a file", "create a file", "read the host's memory", "read the host's environment", "list files", "execute",
    "ptrace the host", "process_vm_readv",
]  # fmt: skip


@needs("landlock")
@pytest.mark.parametrize("name", FILES_AND_PROCESSES)
def test_landlock_alone_refuses_files_and_the_host(host, name):
    """Without seccomp and descriptor limits, Landlock still protects files and the host."""
    with pytest.raises(ScriptError, match="PermissionError"):
        serve(child_for(ATTACKS[name], without=["seccomp", "rlimits"]), host)


@needs("landlock")
def test_landlock_alone_refuses_tcp(host):
    """Without seccomp, Landlock refuses a connection before a packet is sent (kernels since 6.7)."""
    if confine.Kernel(confine._host_call)("landlock_create_ruleset", 0, 0, confine.LANDLOCK_VERSION) < 4:
        pytest.skip("this kernel's Landlock knows no TCP")
    with pytest.raises(ScriptError, match="PermissionError"):
        serve(child_for("_socket.socket().connect(('127.0.0.1', 9))", without=["seccomp", "rlimits"]), host)


@pytest.mark.parametrize("name", ["tcp socket", "read a file", "pipe", "duplicate a descriptor"])
def test_limits_alone_leave_no_descriptor(host, name):
    """On a kernel without the layers, the child still gets no descriptor except its three pipes."""
    with pytest.raises(ScriptError, match="OSError"):
        serve(child_for(ATTACKS[name], without=["seccomp", "landlock"]), host)


CALL_CODE = """
page = mmap.mmap(-1, 4096, prot=3)
page.write(bytes.fromhex({code!r}))
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
refused(libc.mprotect(ctypes.c_void_p(address), 4096, {protection}))
answer = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
raise SystemExit(f'the machine code answered {{answer}}')
"""
RETURN_42 = "b82a000000c3"  # mov eax, 42; ret
OLD_GETPID = "b814000000cd80c3"  # mov eax, 20; int 0x80; ret: a system call by the table of 32-bit programs


@needs("seccomp")
@on_x86_64
def test_standard_allows_only_the_compiler_executable_memory(host):
    """The JIT may make written memory executable, but not while the memory is writable."""
    with pytest.raises(ScriptError, match="answered 42"):
        serve(child_for(CALL_CODE.format(code=RETURN_42, protection=5)), host)
    with pytest.raises(ScriptError, match="forbidden system call"):
        serve(child_for(CALL_CODE.format(code=RETURN_42, protection=7)), host)


@needs("seccomp", "landlock")
@on_x86_64
def test_strict_has_no_executable_memory(host):
    """Without the compiler, written memory cannot be executed."""
    with pytest.raises(ScriptError, match="forbidden system call"):
        serve(child_for(CALL_CODE.format(code=RETURN_42, protection=5), "strict"), host)


@needs("seccomp")
@on_x86_64
def test_other_system_call_tables_are_blocked(host):
    """System calls for 32-bit programs and for x32 do not bypass the filter."""
    with pytest.raises(ScriptError, match="forbidden system call"):
        serve(child_for(CALL_CODE.format(code=OLD_GETPID, protection=5)), host)
    with pytest.raises(ScriptError, match="forbidden system call"):
        serve(child_for("libc.syscall(0x40000000, 0, 0, 0)"), host)


def test_the_layers_are_reported(host):
    """A run reports the layers that were applied, and names missing layers."""
    result = run(Script(source=b"return 1", name="x"), host, host)

    expected = [name for name in confine.LAYERS if layers[name] is True]
    assert expected == result.isolation["layers"]
    assert {"mode": "standard", "layers": expected, "missing": sorted({*confine.LAYERS} - {*expected})} == {
        **result.isolation,
        "missing": sorted(result.isolation["missing"]),
    }


def test_inline_reports_no_layer(host):
    """A run in this process reports no confinement."""
    result = run(Script(source=b"return 1", name="x"), host, host, isolation="none")

    assert {"mode": "none", "layers": [], "missing": []} == result.isolation


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_strict_refuses_to_run_without_a_layer(host, layer):
    """If the kernel lacks a layer of strict, nothing runs, and the error gives the reason."""
    child = child_for("send(b'\\xc1')", "strict", without=[layer])
    with pytest.raises(ConfigurationError, match=layer) as caught:
        serve(child, host)

    assert 4 == caught.value.exit_status
    assert "--isolation standard" in caught.value.hint


@needs("landlock", "seccomp")
def test_strict_names_the_line_of_a_timeout(host):
    """Interpreted code checks the clock, so the error of a time limit names a line."""
    source = b"local x = 0\nwhile true do x = x + 1 end"
    result = run(Script(source=source, name="x.lua"), host, host, limits=Limits(cpu=0.2), isolation="strict")

    assert "limit_reached" == result.error.code
    assert "x.lua:2" == result.error.where


@needs("landlock", "seccomp")
def test_strict_runs_scripts(host):
    """Calls, output, errors and memory limits work the same without a compiler."""
    script = Script(source=b"print(1) return integrations.replicate.echo{}", name="x", functions=[("echo",)])
    result = run(script, host, host, isolation="strict")
    greedy = Script(source=b"local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", name="x")
    full = run(greedy, host, host, isolation="strict")

    assert [{"ok": True}] == result.results
    assert b"1\n" == host.printed
    assert {"limit": "memory", "value": 128 << 20} == full.error.detail


@by_superuser
def test_a_secret_of_the_host_is_not_in_the_child(host, monkeypatch):
    """Neither the child's memory nor its environment contains a byte of the token."""
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_MarkedTokenOfTheHost")
    seen = {}

    def handler(*_):
        seen["memory"] = memory_of(child.pid)
        return {}

    child = Child(Limits())
    script = b"local here = 'MarkedTextOfTheScript' integrations.replicate.echo{} return here"
    start = Start(source=script, name=b"x", provider="replicate", functions=[("echo",)])
    child.run(marshal.encode(start), Port(handler, host))

    assert b"MarkedTextOfTheScript" in seen["memory"]
    assert b"MarkedToken" not in seen["memory"]


def test_the_host_hides_itself(host):
    """Before a script starts, the host's memory becomes unreadable for other processes of the user."""
    code = (
        "import ctypes; from kosmolua.runtime.run import Script, run;"
        "run(Script(source=b'', name='x'), None, None); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "0\n" == told


TWO_TRIES = """
import ctypes, os
from kosmolua.runtime import confine
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that was started by this user
def attempt():
    pid = os.fork()
    if pid == 0:
        try: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY)
        except PermissionError: os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
first = attempt()
confine.conceal()
print(first, attempt())
"""


def test_a_hidden_host_cannot_be_read():
    """A child can read its parent's memory until the parent hides it."""
    told = subprocess.run([sys.executable, "-c", TWO_TRIES], capture_output=True, text=True, check=True).stdout

    assert "0 1\n" == told


def test_the_query_for_layers_applies_nothing():
    """The query for available layers does not change the process."""
    before = Path("/proc/self/status").read_text()
    found = confine.available()
    after = Path("/proc/self/status").read_text()

    assert [*confine.LAYERS] == [*found]
    assert all(value is True or (isinstance(value, str) and value) for value in found.values())
    for name in ("NoNewPrivs", "Seccomp"):
        assert f"{name}:\t0" in before
        assert f"{name}:\t0" in after


HOST = """
import sys
from kosmolua.runtime import isolate
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.run import Script, run
child = isolate.Child(Limits(None, None, None, None, None))
class Output:
    def write(self, stream, text): print(child.pid, flush=True)
run(Script(source=sys.argv[1].encode(), name="x"), None, Output(), limits=child.limits, child=child)
"""


@pytest.mark.parametrize("source", ["print(1) while true do end", "print(1) sleep(1000)"], ids=["computes", "waits"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_killed_host_leaves_no_child(source, stopped):
    """SIGKILL to the host also ends the child, whatever the two are doing."""
    if layers["process"] is not True:
        pytest.skip(layers["process"])
    host = subprocess.Popen([sys.executable, "-c", HOST, source], stdout=subprocess.PIPE, text=True)
    child = int(host.stdout.readline())
    if stopped:
        os.kill(child, signal.SIGSTOP)
    host.kill()
    host.wait()
    host.stdout.close()

    assert gone(child)
