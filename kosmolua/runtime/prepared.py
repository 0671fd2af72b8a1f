"""A process kept ready, which forks a child for each run in a tenth of the time that a start takes.

For hosts that run script after script. It has been given nothing of its host's but one end of a socket; what it says
and hears is told in `kosmolua.runtime.zygote`, its own side. Every system that has no such thing has plain children.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from kosmolua.errors import ConfigurationError
from kosmolua.runtime import pidfd
from kosmolua.runtime.process import program, start_python
from kosmolua.runtime.threads import started
from kosmolua.runtime.zygote import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

BOOT = program("kosmolua.runtime.zygote")
# Seconds in which the process has an answer. It takes some milliseconds; only where it was stopped, or the machine
# stands still, is it given up.
PATIENCE = 5.0
ATTEMPTS = 2  # the process may have died since the last run


class Prepared:
    """Begins to start at once. Any thread may use it, as many at a time as like. A process that died is replaced.

    Runs that are under way end with `close`. ``boot`` is the text of the process's main program,
    ``python`` its interpreter if it is not the one that runs this.
    """

    def __init__(self, *, boot: str = BOOT, python: str | None = None) -> None:
        self._boot = boot
        self._python = python
        self._lock = threading.RLock()
        self._closed = sys.platform != "linux"
        self._process = None if self._closed else _Process(boot, python)

    def fork(self, streams: Sequence[int], words: Sequence[str]) -> Forked | None:
        """A child with these descriptors as its 0, 1 and 2, or None where none can be had this way."""
        for _ in range(ATTEMPTS):
            process = self._current()
            if process is None:
                return None
            try:
                return process.fork(streams, words)
            except _LostError:
                self._replace(process)
        return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process:
            process.close()

    def renew(self) -> None:
        """In a forked process: the process is the parent's, and the next run makes another."""
        process, self._process, self._lock = self._process, None, threading.RLock()
        if process:
            process.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _current(self) -> _Process | None:
        with self._lock:
            if self._process is None and not self._closed:
                self._process = _Process(self._boot, self._python)
            return self._process

    def _replace(self, process: _Process) -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        process.close()


class _LostError(Exception):
    """The process does not answer any more."""


class _Process:
    """The process itself, and the thread that keeps it.

    A child ends with the thread that started it, and the thread that asks for a run may end long before the next.
    """

    def __init__(self, boot: str, python: str | None) -> None:
        self._lock = threading.RLock()
        self._pid: int | None = None
        self._descriptor: int | None = None
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(PATIENCE)
        self._keeper = threading.Thread(
            target=self._keep, args=(boot, python, far), name="kosmolua-prepared", daemon=True
        )
        try:
            started(self._keeper)
        except BaseException:
            self._socket.close()
            far.close()
            raise

    def fork(self, streams: Sequence[int], words: Sequence[str]) -> Forked | None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(PATIENCE)
        try:
            with theirs:
                self._ask(words, (theirs.fileno(), *streams))
            answer, descriptors, _, _ = socket.recv_fds(ours, 64, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            answer, descriptors = b"", []
        if descriptors:
            return Forked(int(answer), descriptors[0], ours)
        ours.close()
        if not answer:
            raise _LostError
        return None

    def abandon(self) -> None:
        """Let go of it without ending it."""
        self._socket.close()

    def close(self) -> None:
        with self._lock:
            self._socket.close()  # what ends it if it has not started yet
            if self._descriptor is not None:
                pidfd.kill(self._descriptor)
        self._keeper.join(PATIENCE)

    def _ask(self, words: Sequence[str], descriptors: Sequence[int]) -> None:
        with self._lock:  # so that nobody closes it meanwhile, and its number becomes another's
            socket.send_fds(self._socket, [" ".join(words).encode()], descriptors)

    def _keep(self, boot: str, python: str | None, far: socket.socket) -> None:
        nowhere = [(os.POSIX_SPAWN_OPEN, target, os.devnull, os.O_RDWR, 0) for target in range(HOST)]
        try:
            with far:
                moves = [*nowhere, (os.POSIX_SPAWN_DUP2, far.fileno(), HOST)]
                pid = self._pid = start_python(boot, (), moves, python)
                descriptor = self._descriptor = pidfd.opened(pid)
        except (OSError, ConfigurationError):
            return  # whoever asks finds nobody there
        if descriptor is None:
            return  # it is gone, and somebody else has waited for it
        while not pidfd.is_dead(descriptor, 3600):
            pass
        with self._lock:
            self._pid = self._descriptor = None
            with suppress(ChildProcessError):  # where somebody else has waited for it
                os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
            os.close(descriptor)


class Forked:
    """A child of the prepared process, known by a descriptor that means no other process than this, however it ends."""

    def __init__(self, pid: int, descriptor: int, channel: socket.socket) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._channel = channel

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> tuple[int, float, int]:
        """As a spawned one's. For once; it has been killed before."""
        dead = select.poll()
        dead.register(self._descriptor, select.POLLIN)
        dead.poll(PATIENCE * 1000)
        try:
            self._channel.shutdown(socket.SHUT_WR)
            status, cpu, peak = self._channel.recv(64).split()
            return int(status), float(cpu), int(peak)
        except (OSError, ValueError):
            return self._orphan()
        finally:
            self._channel.close()
            os.close(self._descriptor)

    def _orphan(self) -> tuple[int, float, int]:
        """Who would know how it ended is gone, and took it along; where orphans become ours, it is waited for."""
        with suppress(OSError):
            os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        return signal.SIGKILL, 0.0, 0
