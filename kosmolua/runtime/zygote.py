"""The prepared process: it has imported what a run needs, and forks itself for each.

Started with one descriptor (3, to its host) and the host's process id. A message of the host is the three words of
`kosmolua.runtime.worker`, with four descriptors: a channel for this run, and what becomes 0, 1 and 2. Over the channel
go the child's process id with a descriptor of it, and once the host has closed its direction, the child's status,
seconds of CPU and most bytes of memory. Until then the child is not waited for, so that its process id stays its own.

A child holds neither the host's descriptor nor a channel: nothing that it says is read here.
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

HOST = 3  # the descriptor
MAX_WORDS = 256  # bytes
SIZE = 4  # of a descriptor, as it is sent
CHANNEL_AND_STREAMS = 4
REFUSAL = b"0"  # in the place of a process id: no process was to be had


def main(run: Callable[[State, int, int], None] = worker.serve) -> None:
    os.closerange(HOST + 1, os.sysconf("SC_OPEN_MAX"))  # what the host itself was given by its parent
    os.chdir("/")
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, as it may be inherited, there is no status to wait for
    # Lua's modules are read and compiled now: later there are no files, and after an upgrade those of another version.
    modules = Modules.read()
    first = State(modules=modules)
    modules = first.compiled(modules)
    give_up(first, int(sys.argv[-1]))
    del first
    gc.collect()
    gc.freeze()  # what is here now stays for good, and no child has to copy it for having looked at it
    Zygote(run, modules).serve()


def give_up(state: State, host: int) -> None:
    """Give up what no fork needs. The state that speaks to the kernel goes; a child makes its own, with new seeds."""
    kernel = worker.kernel_of(state)
    confine.hide(kernel, host)
    kernel("prctl", confine.PR_SET_NO_NEW_PRIVS, 1)
    confine.leave_files(kernel)


class Zygote:
    def __init__(self, run: Callable[[State, int, int], None], modules: Modules) -> None:
        self._run = run
        self._modules = modules
        self._pid = os.getpid()
        self._host = _socket.socket(fileno=HOST)
        self._children: dict[int, int] = {}  # the channel of each -> its process id
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
            os._exit(0)  # the host is gone, and the children go with this process
        descriptors = [descriptor for _, _, data in ancillary for descriptor in _descriptors(data)]
        if len(descriptors) == CHANNEL_AND_STREAMS:
            self._begin(words.decode().split(), *descriptors)
        else:  # there were no more to be had
            _close(descriptors)

    def _begin(self, words: Sequence[str], channel: int, *streams: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            _write(channel, REFUSAL)
            _close((channel, *streams))
            return
        if pid == 0:
            self._become(words, channel, streams)
        _close(streams)
        self._children[channel] = pid
        self._poll.register(channel, select.POLLIN)
        _announce(channel, pid)

    def _become(self, words: Sequence[str], channel: int, streams: Sequence[int]) -> NoReturn:
        """In the forked process: keep the three descriptors and nothing else, and run."""
        try:
            for target, descriptor in enumerate(streams):
                os.dup2(descriptor, target)
            _close((self._host.detach(), channel, *streams, *self._children))
            os.setpgid(0, 0)
            worker.begin((*words, str(self._pid)), self._run, modules=self._modules)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the host is told
            worker.complain(error)
        os._exit(EXIT_FAILED)

    def _end(self, channel: int) -> None:
        """The host has done with a child, or is gone: end it, and with it whatever it could start."""
        pid = self._children.pop(channel)
        self._poll.unregister(channel)
        os.kill(pid, _signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):  # it has left its group, or nobody is left in it
            os.killpg(pid, _signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        _write(channel, f"{status} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss * 1024}".encode())
        os.close(channel)


def _announce(channel: int, pid: int) -> None:
    """Tell a child's id, with a descriptor that is of this child and of no later one with its id."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        _write(channel, REFUSAL)
        return
    way = _socket.socket(fileno=channel)
    data = descriptor.to_bytes(SIZE, sys.byteorder)
    try:
        way.sendmsg([str(pid).encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)])
    except OSError:
        pass  # the host has done with it already
    finally:
        way.detach()
        os.close(descriptor)


def _descriptors(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + SIZE], sys.byteorder) for at in range(0, len(data) - SIZE + 1, SIZE)]


def _write(channel: int, words: bytes) -> None:
    with suppress(OSError):  # the host may have done with it already
        os.write(channel, words)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
