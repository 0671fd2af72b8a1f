"""Main program of the prepared process: it imports what a run needs, and forks itself for each run.

Started with one descriptor (3, to its host) and the host's process id. Each message of the host has the first three
arguments of `kosmolua.runtime.worker` and four descriptors: a channel for this run, and the child's 0, 1 and 2. Through
the channel, the host gets the child's process id with a pidfd. After the host shuts down its side of the channel, it
gets the child's status, seconds of CPU time and peak memory in bytes. Only then does this process wait for the child,
so the process id is not reused before.

A child has neither the host's descriptor nor a channel, so it cannot send anything to this process.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in kosmolua.runtime.confine
import _socket
import gc
import os
import select
import sys
from contextlib import suppress

from kosmolua.errors import EXIT_FAILED
from kosmolua.runtime import confine, worker
from kosmolua.runtime.state import Modules, State

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

HOST = 3  # descriptor of the socket to the host
MAX_WORDS = 256  # the maximum bytes of the arguments in a message
SIZE = 4  # size in bytes of a descriptor in a control message
CHANNEL_AND_STREAMS = 4
MAX_STATES = 4
_LOAD = b"local use = ... use('bridge') if jit then use('pipe') end collectgarbage() collectgarbage()"
REFUSAL = b"0"  # sent instead of a process id if no child was forked


def main(run: Callable[[State, int, int], None] = worker.serve) -> None:
    os.closerange(HOST + 1, os.sysconf("SC_OPEN_MAX"))  # descriptors that the host inherited
    os.chdir("/")
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # with SIGCHLD ignored there would be no exit status
    # Read and compile the Lua modules now: files cannot be read later, and an upgrade may replace them.
    modules = Modules.read()
    first = State(modules=modules)
    modules = first.compiled(modules)
    restrict(first, int(sys.argv[-1]))
    del first
    gc.collect()
    gc.freeze()  # a garbage collection in a child would copy these pages
    Zygote(run, modules).serve()


def restrict(state: State, host: int) -> None:
    """Apply the layers that every fork needs, through a temporary Lua state: each child creates its own."""
    kernel = worker.Ready(state).kernel
    confine.hide(kernel, host)
    kernel("prctl", confine.PR_SET_NO_NEW_PRIVS, 1)
    confine.leave_files(kernel)


class Zygote:
    def __init__(self, run: Callable[[State, int, int], None], modules: Modules) -> None:
        self._run = run
        self._modules = modules
        self._ready: dict[str, worker.Ready] = {}  # memory limit -> the state that children with this limit inherit
        self._pid = os.getpid()
        self._host = _socket.socket(fileno=HOST)
        self._children: dict[int, int] = {}  # channel -> the child's process id
        self._poll = select.poll()
        self._poll.register(HOST, select.POLLIN)

    def serve(self) -> NoReturn:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == HOST:
                    self._take()
                else:
                    self._end(descriptor)

    def _take(self) -> None:
        space = _socket.CMSG_SPACE(CHANNEL_AND_STREAMS * SIZE)
        words, ancillary, _, _ = self._host.recvmsg(MAX_WORDS, space, _socket.MSG_CMSG_CLOEXEC)
        if not words:
            os._exit(0)  # the host is gone; children end with this process
        descriptors = [descriptor for _, _, data in ancillary for descriptor in _descriptors(data)]
        if len(descriptors) == CHANNEL_AND_STREAMS:
            self._begin(words.decode().split(), *descriptors)
        else:  # no descriptors were left to receive the message's
            _close(descriptors)

    def _begin(self, words: Sequence[str], channel: int, *streams: int) -> None:
        try:
            ready = self._prepared(words[0], strict=words[2] == "strict")
            pid = os.fork()
        except OSError:
            _write(channel, REFUSAL)
            _close((channel, *streams))
            return
        if pid == 0:
            self._become(words, ready, channel, streams)
        _close(streams)
        self._children[channel] = pid
        self._poll.register(channel, select.POLLIN)
        _announce(channel, pid)

    def _prepared(self, memory: str, *, strict: bool) -> worker.Ready | None:
        """A prepared state for a child with this memory limit; None if the limit is too low for a prepared state."""
        ready = self._ready.get(memory)
        if ready is None:
            while len(self._ready) >= MAX_STATES:
                del self._ready[next(iter(self._ready))]
            with suppress(Exception):
                ready = self._made(memory)
                ready.state.run_module_text(_LOAD)
                self._ready[memory] = ready
        if ready and ready.kernel.numbers:
            ready.kernel.filter(strict=strict)
        gc.freeze()
        return ready if memory in self._ready else None

    def _made(self, memory: str) -> worker.Ready:
        return worker.Ready(State(memory_limit=int(memory) or None, modules=self._modules))

    def _become(
        self, words: Sequence[str], ready: worker.Ready | None, channel: int, streams: Sequence[int]
    ) -> NoReturn:
        """In the forked process: keep only the three streams, and run."""
        try:
            for target, descriptor in enumerate(streams):
                os.dup2(descriptor, target)
            _close((self._host.detach(), channel, *streams, *self._children))
            os.setpgid(0, 0)
            worker.begin((*words, str(self._pid)), self._run, ready=ready or self._made(words[0]))
        except BaseException as error:  # noqa: BLE001 - reported to the host
            worker.complain(error)
        os._exit(EXIT_FAILED)

    def _end(self, channel: int) -> None:
        """Kill a child and its process group, since the host no longer needs it or is gone."""
        pid = self._children.pop(channel)
        self._poll.unregister(channel)
        os.kill(pid, _signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):  # the child has left its group, or the group is empty
            os.killpg(pid, _signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        _write(channel, f"{status} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss * 1024}".encode())
        os.close(channel)


def _announce(channel: int, pid: int) -> None:
    """Send a child's process id and pidfd to the host, or only the id if no descriptor is left for the pidfd."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        _write(channel, str(pid).encode())
        return
    connection = _socket.socket(fileno=channel)
    data = descriptor.to_bytes(SIZE, sys.byteorder)
    try:
        connection.sendmsg([str(pid).encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)])
    except OSError:
        pass  # the host has closed it already
    finally:
        connection.detach()
        os.close(descriptor)


def _descriptors(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + SIZE], sys.byteorder) for at in range(0, len(data) - SIZE + 1, SIZE)]


def _write(channel: int, words: bytes) -> None:
    with suppress(OSError):  # the host may have closed it already
        os.write(channel, words)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
