"""The isolated child: one Lua state whose port is a pipe, and nothing else.

Started with two descriptors (0 in, 1 out) and two numbers: bytes of memory for Lua, seconds of CPU. It imports no
HTTP client, no keyring, no gate; what a script that breaks out of Lua finds here is an empty process.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from kosmolua.errors import EXIT_OUT_OF_MEMORY
from kosmolua.runtime.state import State

# What the interpreter, the JIT's machine code and buffers outside Lua's own count may take beside it.
HEADROOM = 512 * 1024 * 1024
MARGIN = 1024 * 1024  # of Lua's memory that stays free when an answer is handed over


def limit_process(memory: int | None, cpu: float | None) -> None:
    """Bounds by the kernel. The timer ends the process at the exact time, the resource limit behind it for certain."""
    if cpu is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu)
        seconds = int(cpu) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if memory is not None:
        size = HEADROOM + 2 * memory
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))


def serve(state: State, descriptor_in: int, descriptor_out: int) -> None:
    """Run the script that comes in as the first frame."""
    if state.has_ffi:
        state.serve_pipe(descriptor_in, descriptor_out)
        return

    def submit(frame: bytes) -> int:
        _write(descriptor_out, len(frame).to_bytes(4) + frame)
        return 1

    def wait() -> bytes | int:
        answer = _read(descriptor_in, int.from_bytes(_read(descriptor_in, 4)))
        limit = state.memory_limit
        return 0 if limit and state.memory_used + len(answer) + MARGIN > limit else answer

    state.serve(submit, wait)


def _read(descriptor: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = os.read(descriptor, size - len(found))
        if not piece:
            os._exit(0)  # the host is gone
        found += piece
    return bytes(found)


def _write(descriptor: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main() -> None:
    memory, cpu = (float(text) or None for text in sys.argv[-2:])
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # what the host itself was given by its parent
    os.chdir("/")
    state = State(memory_limit=int(memory) if memory else None)
    limit_process(int(memory) if memory else None, cpu)
    try:
        serve(state, 0, 1)
    except (state.memory_error, MemoryError):
        os._exit(EXIT_OUT_OF_MEMORY)
    os._exit(0)  # nothing here is worth a tidy end
