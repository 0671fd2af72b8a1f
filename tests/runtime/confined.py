"""Python code in a child that is confined like a script's child, to show what code outside of Lua could do."""

import os
import platform
from pathlib import Path

import pytest
from waiting import wait_until

from kosmolua.runtime import confine, marshal
from kosmolua.runtime.frames import Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.watchdog import Watchdog

START = marshal.encode(Start(source=b"", name=b"x", provider="replicate", functions=[("echo",)]))
BOOT = """
import sys
sys.path += sys.argv[2 : 2 + int(sys.argv[1])]
import _socket, _thread, ctypes, mmap, os, posix, resource, signal, struct, time
from kosmolua.runtime import confine, worker
def refuse(*_): return False
for layer in {without!r}:
    if layer == 'seccomp': confine.Kernel.install = lambda *_: -38
    if layer == 'landlock': confine.leave_files = refuse
    if layer == 'rlimits': confine.limit_resources = refuse
libc = ctypes.CDLL(None, use_errno=True)
host = int(sys.argv[-1])
def refused(answer):
    if answer < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def send(frame): os.write(1, len(frame).to_bytes(4) + frame)
def receive(): return os.read(0, int.from_bytes(os.read(0, 4)))
def run(*_):
    receive()
    exec({code!r}, globals())
    raise SystemExit('it was not refused')
worker.main(run)
"""
layers = confine.available()


def needs(*names):
    """Skip a test, with the reason, if this machine lacks a layer."""
    missing = [f"{name}: {layers[name]}" for name in names if layers[name] is not True]
    return pytest.mark.skipif(bool(missing), reason="; ".join(missing) or "all there")


by_superuser = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can look into a hidden process")
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code for x86-64")


def child_for(code, mode="standard", *, without=(), limits=None):
    return Child(limits or Limits(cpu=5.0), mode, boot=BOOT.format(code=code, without=tuple(without)))


def serve(child, host):
    """Run the child to its end like a real run, and raise the error that says how it died."""
    port = Port(host, host, limits=child.limits)
    with Watchdog(child.limits, port, child):
        child.run(START, port)
    return port


def memory_of(pid):
    pieces = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            try:
                memory.seek(begin)
                pieces.append(memory.read(end - begin))
            except (OSError, OverflowError):
                continue  # not readable: the mappings next to the vDSO
    return b"".join(pieces)


def gone(pid):
    """Wait until a process has ended."""
    return wait_until(lambda: not alive(pid))


def alive(pid):
    """Whether a process is running; a zombie counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
