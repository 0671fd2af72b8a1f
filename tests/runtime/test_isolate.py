"""The child's content, its end, and the cleanup."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confined import by_superuser

from kosmolua.errors import ScriptError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import Script, run


def start(source):
    return marshal.encode(Start(source=source, name=b"x", provider="replicate", functions=[("echo",)]))


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


def test_the_child_holds_no_client_no_keyring_no_gate():
    """A new interpreter shows that the worker imports none of these."""
    code = "import sys, kosmolua.runtime.worker, lupa.luajit21; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    forbidden = {"httpx", "httpcore", "ssl", "socket", "keyring", "msgspec", "http", "urllib", "pickle", "subprocess"}
    assert not forbidden & set(loaded)
    allowed = {
        "kosmolua",
        "kosmolua.errors",
        "kosmolua.runtime",
        "kosmolua.runtime.bytecode",
        "kosmolua.runtime.confine",
        "kosmolua.runtime.standins",
        "kosmolua.runtime.state",
        "kosmolua.runtime.worker",
    }
    assert allowed == {name for name in loaded if name.startswith("kosmolua")}


@by_superuser
def test_the_child_sees_no_environment_and_no_files_of_the_host(host, monkeypatch):
    """The child has no environment variable and no descriptor from the host, except its three pipes."""
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked")
    seen = {}

    def handler(*_):
        pid = child.pid
        seen["environment"] = Path(f"/proc/{pid}/environ").read_bytes()
        seen["descriptors"] = sorted(os.listdir(f"/proc/{pid}/fd"))
        seen["command"] = Path(f"/proc/{pid}/cmdline").read_bytes()
        return {}

    child = Child(Limits())
    child.run(start(b"integrations.replicate.echo{}"), Port(handler, host))

    assert b"marked" not in seen["environment"] + seen["command"]
    assert {b"LC_ALL=C.UTF-8", b"TZ=UTC0"} == set(seen["environment"].strip(b"\0").split(b"\0"))
    assert ["0", "1", "2"] == seen["descriptors"]


def children():
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def test_nothing_is_left_over(host):
    """After successful, failed and killed runs there are no more children and descriptors than before."""
    script = {name: Script(source=source, name=name) for name, source in {
        "good": b"return 1", "bad": b"error('x')", "killed": b"while true do end", "unused": b"",
    }.items()}  # fmt: skip
    before = open_descriptors(), children()

    run(script["good"], host, host)
    run(script["bad"], host, host)
    run(script["killed"], host, host, limits=Limits(cpu=0.1))
    Child(Limits()).close()

    assert before == (open_descriptors(), children())


def test_a_crash_is_reported_as_a_crash(host):
    """If a signal kills the child, the error says that the script crashed the interpreter, not that there is a bug."""
    child = Child(Limits())

    def handler(*_):
        os.kill(child.pid, signal.SIGSEGV)
        return {}

    with pytest.raises(ScriptError, match=r"crashed the Lua interpreter \(SIGSEGV\)") as caught:
        child.run(start(b"integrations.replicate.echo{} sleep(60)"), Port(handler, host))

    assert "script_crashed" == caught.value.code


def test_a_child_killed_from_outside_is_reported(host):
    """The error for a SIGKILL from outside names its likely cause."""
    child = Child(Limits())

    def handler(*_):
        os.kill(child.pid, signal.SIGKILL)
        return {}

    with pytest.raises(ScriptError, match="killed from outside"):
        child.run(start(b"integrations.replicate.echo{}"), Port(handler, host))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x93\xa4call\x01",
        b"\x93\xa5print\x03\xc4\x00",
        b"\x92\xa4nope\x01",
        b"\x94\xa4call\xa11\xa0\xa0",
    ],
    ids=["empty", "invalid", "short", "stream", "tag", "type"],
)
def test_an_invalid_frame_ends_the_run(host, frame):
    """An invalid frame is refused before it is processed."""
    with pytest.raises(ScriptError, match="an invalid frame") as caught:
        Port(host, host).submit(frame)

    assert "script_crashed" == caught.value.code
    assert [] == host.calls


def test_a_frame_after_the_end_is_refused(host):
    """After its end a run cannot cause anything."""
    port = Port(host, host)
    port.stop()

    with pytest.raises(ScriptError, match="continued after the end"):
        port.submit(b"\x93\xa5print\x01\xc4\x01x")

    assert b"" == host.printed


def test_the_plain_lua_engine_also_uses_pipes(host):
    """Without LuaJIT the worker processes the same frames in Python."""
    code = (
        "from kosmolua.runtime import worker, state; import sys;"
        "s = state.State(memory_limit=64 << 20, engine='lua54'); assert not s.has_ffi; worker.serve(s, 0, 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    frame = start(b"return integrations.replicate.echo{ a = { 1, 2.5 } }")
    process.stdin.write(len(frame).to_bytes(4) + frame)
    process.stdin.flush()
    port = Port(host, host)
    while port.done is None:
        answer = port.submit(process.stdout.read(int.from_bytes(process.stdout.read(4))))
        if answer:
            process.stdin.write(len(answer).to_bytes(4) + answer)
            process.stdin.flush()
    process.stdin.close()
    process.stdout.close()

    assert 0 == process.wait(10)
    assert port.done.ok
    assert "Lua 5.4" == port.done.engine
    assert [("echo", "", {"a": [1, 2.5]})] == host.calls
