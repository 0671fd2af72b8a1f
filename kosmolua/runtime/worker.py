"""Main program of the isolated child: one Lua state that exchanges frames over two pipes.

Started with two descriptors (0 in, 1 out) and five arguments: the source of the modules (`kosmolua.runtime.bytecode`),
bytes of memory for Lua, seconds of CPU time, the isolation mode, and the process id of its parent (the host or a
prepared process). It imports no HTTP client, no keyring and no gate, so a script that escapes from Lua finds an empty
process. The first frame that it sends is plain text: the sandbox layers applied.
"""

from __future__ import annotations

import os
import sys

from kosmolua.errors import EXIT_FAILED, EXIT_OUT_OF_MEMORY
from kosmolua.runtime import confine
from kosmolua.runtime.bytecode import MADE, Cached
from kosmolua.runtime.state import State, import_alone

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

MARGIN = 1024 * 1024  # bytes of Lua's memory that must stay free when an answer is passed


def serve(state: State, descriptor_in: int, descriptor_out: int) -> None:
    """Run the script that the first frame contains."""
    if state.has_ffi:
        state.serve_pipe(descriptor_in, descriptor_out)
        return

    def submit(frame: bytes) -> int:
        _send(descriptor_out, frame)
        return 1

    def wait(_: int) -> bytes | int:
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


def _send(descriptor: int, frame: bytes) -> None:
    _write(descriptor, len(frame).to_bytes(4) + frame)


def _write(descriptor: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main(run: Callable[[State, int, int], None] = serve) -> None:
    """Main program of a process that was started for one run."""
    cached = Cached(_keep(3))
    os.chdir("/")
    import_alone()
    begin(sys.argv[-4:], run, cached=cached)


def interactive() -> None:
    """Main program of a process for interactive inputs. Shared memory at descriptor 3 signals interrupts.

    The JIT is off: compiled code cannot be interrupted.
    """
    cached = Cached(_keep(4))
    os.chdir("/")

    def prepare(state: State) -> None:
        state.disable_compiler()
        if state.has_ffi:
            state.watch(3)
        os.close(3)

    import_alone()
    begin(sys.argv[-4:], prepare=prepare, cached=cached)


def _keep(first: int) -> str:
    """The first argument of the program. Closes the inherited descriptors from ``first`` on, except the one that this
    argument names.
    """
    source = sys.argv[-5]
    os.closerange(first + source.isdecimal(), os.sysconf("SC_OPEN_MAX"))
    return source


class Ready:
    """A Lua state for a run, and the sandbox of its process."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.kernel = confine.Kernel(*state.kernel()) if state.has_ffi else confine.Kernel()


def begin(
    words: Sequence[str],
    run: Callable[[State, int, int], None] = serve,
    prepare: Callable[[State], None] | None = None,
    ready: Ready | None = None,
    cached: Cached | None = None,
) -> NoReturn:
    """Apply the sandbox, report its layers, run the script that the host sends, and exit. ``words`` are the last four
    arguments. The state is the given one, or a new one whose modules may be cached.
    """
    memory, cpu = (float(text) or None for text in words[:2])
    strict, host = words[2] == "strict", int(words[3])
    ready = ready or Ready(
        State(memory_limit=int(memory) if memory else None, modules=cached.modules if cached else None)
    )
    state = ready.state
    made = cached and cached.made()
    if made:
        _send(1, MADE + made)
    if strict:
        state.disable_compiler()
    if prepare:
        prepare(state)
    elif cpu and state.has_ffi and not strict:
        state.watch_cpu(cpu)
    limits = int(memory) if memory else None, cpu and cpu + (confine.GRACE if strict else 0)
    below = [f"{name}={value}" for name, value in confine.lowered(*limits).items()]
    layers = confine.confine(ready.kernel, *limits, strict=strict, host=host)
    _send(1, " ".join(("ready", *layers, *below)).encode())
    if strict and confine.REQUIRED.difference(layers):
        os._exit(0)  # the host reports the reason
    os._exit(_status(run, state))  # exits without cleanup, since none is needed


def _status(run: Callable[[State, int, int], None], state: State) -> int:
    try:
        run(state, 0, 1)
    except (state.memory_error, MemoryError):
        return EXIT_OUT_OF_MEMORY
    except BaseException as error:  # noqa: BLE001 - reported to the host
        complain(error)
        return EXIT_FAILED
    return 0


def complain(error: BaseException) -> None:
    """Write the error as one line: formatting a traceback would read files."""
    _write(2, f"{type(error).__name__}: {error}".encode(errors="replace")[:1000])
