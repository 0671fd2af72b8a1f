"""A prepared process. It forks a child for each run, which takes a tenth of the time of starting a new process.

For hosts that run many scripts. The process inherits only one end of a socket from its host; `kosmolua.runtime.zygote`,
its main program, describes the protocol. On systems other than Linux, each child is a new process.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from kosmolua.runtime import pidfd
from kosmolua.runtime.process import program, start_python
from kosmolua.runtime.threads import started
from kosmolua.runtime.zygote import HOST, REFUSAL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

BOOT = program("kosmolua.runtime.zygote")
# Seconds to wait for an answer, which normally takes a few milliseconds. The timeout is for a stopped process or a
# frozen machine.
PATIENCE = 5.0
ATTEMPTS = 2  # the number of attempts, in case the process died since the last run


class Prepared:
    """Starts the process when it is made, and replaces it if it dies. Thread-safe.

    `close` also ends the active runs. ``boot`` is the source of the process's main program, ``python`` its interpreter
    if it is not the current one.
    """

    def __init__(self, *, boot: str = BOOT, python: str | None = None) -> None:
        self._boot = boot
        self._python = python
        self._lock = threading.RLock()
        self._closed = sys.platform != "linux"
        self._process = None if self._closed else _Process(boot, python)

    def fork(self, streams: Sequence[int], words: Sequence[str]) -> Forked | None:
        """Fork a child with these descriptors as its 0, 1 and 2; None if it cannot be forked."""
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
        """Forget the prepared process in a forked process: it belongs to the parent, so the next run starts a new
        one.
        """
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
    """The prepared process does not answer."""


class _Process:
    """The prepared process, and a thread that starts it and waits for its end.

    A child ends with the thread that started it, and a thread that starts a run may end before the next run.
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
        forked = None
        try:
            with theirs:
                ours.settimeout(PATIENCE)
                forked = self._forked(ours, theirs, streams, words)
        finally:
            if forked is None:
                ours.close()
        return forked

    def _forked(
        self, ours: socket.socket, theirs: socket.socket, streams: Sequence[int], words: Sequence[str]
    ) -> Forked | None:
        try:
            self._ask(words, (theirs.fileno(), *streams))
            theirs.close()
            answer, descriptors, _, _ = socket.recv_fds(ours, 64, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            answer, descriptors = b"", []
        if descriptors:
            try:
                return Forked(int(answer), descriptors[0], ours)
            except BaseException:
                os.close(descriptors[0])
                raise
        if not answer:
            raise _LostError
        if answer != REFUSAL:  # a child already has the pipes; another one must not get them
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return None

    def abandon(self) -> None:
        """Release the process without ending it."""
        self._socket.close()

    def close(self) -> None:
        with self._lock:
            self._socket.close()  # ends a process that is still starting
            if self._descriptor is not None:
                pidfd.kill(self._descriptor)
        self._keeper.join(PATIENCE)

    def _ask(self, words: Sequence[str], descriptors: Sequence[int]) -> None:
        with self._lock:  # the socket must not be closed, and its descriptor reused, meanwhile
            socket.send_fds(self._socket, [" ".join(words).encode()], descriptors)

    def _keep(self, boot: str, python: str | None, far: socket.socket) -> None:
        nowhere = [(os.POSIX_SPAWN_OPEN, target, os.devnull, os.O_RDWR, 0) for target in range(HOST)]
        try:
            with far:
                moves = [*nowhere, (os.POSIX_SPAWN_DUP2, far.fileno(), HOST)]
                pid = self._pid = start_python(boot, (), moves, python)
                descriptor = self._descriptor = pidfd.opened(pid)
        except Exception:  # noqa: BLE001 - `fork` then fails
            return
        if descriptor is None:
            return  # it ended, and other code of this program has already waited for it
        while not pidfd.is_dead(descriptor, 3600):
            pass
        with self._lock:
            self._pid = self._descriptor = None
            with suppress(ChildProcessError):  # other code of this program has already waited for the process
                os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
            os.close(descriptor)


class Forked:
    """A child of the prepared process, identified by a pidfd."""

    def __init__(self, pid: int, descriptor: int, channel: socket.socket) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._channel = channel

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> tuple[int, float, int]:
        """Like `Spawned.wait`. Call it once, after the child was killed."""
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
        """The result if the prepared process died too, so that the child's status is lost. Reaps the child if this
        process has become its parent.
        """
        with suppress(OSError):
            os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        return signal.SIGKILL, 0.0, 0
