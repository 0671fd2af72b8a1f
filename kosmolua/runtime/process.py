"""Starts, kills and waits for Python child processes, and reads their memory use."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in kosmolua.runtime.confine
import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from kosmolua.errors import ConfigurationError
from kosmolua.runtime import pidfd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# -c instead of -m, which would import runpy. -I: no user site, no PYTHON* variables, no cwd. -S: no `site`, since the
# host passes its paths: their number, then each as an argument, since a path may contain any character.
PATHS = "import sys; sys.path += sys.argv[2 : 2 + int(sys.argv[1])]"
LOST = -1  # the status if other code has already waited for the process
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC0"}
_LINKER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_INTERPRETERS = ("python", "pypy", "graalpy")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
_WHICH = "specify an interpreter that has kosmolua installed: Host(python='/usr/bin/python3')"


def program(module: str, function: str = "main") -> str:
    """The source of a program that calls one function of a module."""
    return f"{PATHS}; from {module} import {function}; {function}()"


class Spawned:
    """A newly started process; ``streams`` become its descriptors 0, 1 and 2."""

    def __init__(self, boot: str, streams: Sequence[int], words: Sequence[str], python: str | None = None) -> None:
        moves = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(streams)]
        self._inherited = own_peak()  # counts toward the child's peak, since it starts with the host's memory
        self.pid = start_python(boot, words, moves, python)
        self._descriptor = pidfd.opened(self.pid)

    def kill(self) -> None:
        """Kill the process and its group, which contains its children if no sandbox layer prevents them.

        The group is killed first, while the process id is valid: other code may wait for the process once it is dead.
        """
        if self._descriptor is not None and pidfd.is_dead(self._descriptor):
            return
        with suppress(ProcessLookupError, PermissionError):  # it has left its group or ended
            os.killpg(self.pid, _signal.SIGKILL)
        if self._descriptor is not None:
            pidfd.kill(self._descriptor)
        elif not hasattr(os, "pidfd_open"):
            with suppress(ProcessLookupError):
                os.kill(self.pid, _signal.SIGKILL)

    def wait(self) -> tuple[int, float, int]:
        """The wait status, seconds of CPU, and peak memory in bytes."""
        try:
            return self._waited()
        except ChildProcessError:  # SIGCHLD is ignored, or the program waits for every child
            return LOST, 0.0, 0
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _waited(self) -> tuple[int, float, int]:
        if self._descriptor is not None:  # the process id may be reused
            os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOWAIT)
        _, status, usage = os.wait4(self.pid, 0)
        peak = usage.ru_maxrss * 1024
        return status, usage.ru_utime + usage.ru_stime, peak if peak > self._inherited else 0


def start_python(boot: str, words: Sequence[str], moves: Sequence[tuple[Any, ...]], python: str | None = None) -> int:
    """Start an interpreter with the program ``boot``; its last arguments are ``words`` and this process's id.

    Raises a `ConfigurationError` if the interpreter cannot be started.
    """
    command = _command(python)
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [package, *(entry for entry in sys.path if os.path.isabs(entry))]
    # In a separate group, so that Ctrl-C reaches only the host. Other descriptors are not inherited (PEP 446).
    try:
        return os.posix_spawnp(
            command[0],
            [*command, "-c", boot, str(len(paths)), *paths, *words, str(os.getpid())],
            _environment(),
            file_actions=moves,
            setpgroup=0,
        )
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise ConfigurationError(
            f"cannot start the Python interpreter {command[0]!r}: {error.strerror}", hint=_WHICH
        ) from None


def _command(python: str | None) -> list[str]:
    """The interpreter and its flags. A named interpreter must find its own packages, so it imports `site`."""
    if python:
        return [python, "-I"]
    found = sys.executable or ""
    names = (os.path.basename(found).lower(), os.path.basename(os.path.realpath(found)).lower())
    if getattr(sys, "frozen", False) or not any(word in name for word in _INTERPRETERS for name in names):
        what = f"{found!r} is not a Python interpreter" if found else "sys.executable is empty"
        raise ConfigurationError(f"cannot start a process for a script: {what}", hint=_WHICH)
    return [found, "-I", "-S"]


def _environment() -> dict[str, str]:
    """An almost empty environment; it has the dynamic linker's variables, so that the same interpreter starts."""
    return _ENVIRONMENT | {name: os.environ[name] for name in _LINKER if name in os.environ}


def resident_bytes(pid: int) -> int:
    """The resident memory of a process in bytes, or 0 if the system does not provide it."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def own_peak() -> int:
    """The peak memory of this process in bytes, or `sys.maxsize` if the system does not provide it."""
    try:
        with open("/proc/self/status", "rb") as file:
            return int(file.read().partition(b"VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return sys.maxsize
