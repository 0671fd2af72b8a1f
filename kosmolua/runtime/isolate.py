"""A run in a child process of its own: start it, speak with it, limit it, kill it, and say how it ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

from kosmolua.errors import EXIT_OUT_OF_MEMORY, ConfigurationError, KosmoError, ScriptError
from kosmolua.runtime.limits import MAX_FRAME, Limits, reached

if TYPE_CHECKING:
    from kosmolua.runtime.port import Port

# -c and not -m, which would import runpy. -I: no user site, no PYTHON* variables, no cwd. -S: site would look for
# what the host has found already, and hands over as a path.
_BOOT = "import sys; sys.path += sys.argv[1].split(':'); from kosmolua.runtime.worker import main; main()"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC0"}
# A script asks again within microseconds of an answer. Looking that often for it, before sleeping, costs less CPU than
# being woken does (measured: 8 % of a loop of calls); with one processor it would only keep the script from running.
_LOOKS = 100 if (os.cpu_count() or 1) > 1 else 0
_PATIENCE = 10.0  # seconds for a child to read what it asked for
_READ = 1 << 13  # most frames are small, and reading allocates this much


class Child:
    """A process with LuaJIT and nothing else.

    It begins to start when it is made. This module imports next to nothing, so that it can be made first, and start
    while the host imports the rest.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cpu_seconds = 0.0
        self._last_words = b""
        self._status: int | None = None
        self._lock = threading.Lock()
        self._buffer = bytearray()
        child_in, self._to_child = os.pipe()
        self._from_child, child_out = os.pipe()
        self._stderr, child_err = os.pipe()
        try:
            self._pid = _spawn(limits, (child_in, child_out, child_err))
        finally:
            for descriptor in (child_in, child_out, child_err):
                os.close(descriptor)
        self._poll = select.poll()
        self._poll.register(self._from_child, select.POLLIN)
        os.set_blocking(self._to_child, False)
        os.set_blocking(self._stderr, False)

    def run(self, first: bytes, port: Port) -> None:
        """Run a script, given as its first frame; the result is in ``port.done``. Raises how the child died."""
        try:
            self._serve(first, port)
        finally:
            port.stop()
            self.close()
        if port.done is None:
            raise port.failure or _explain(self._status, self._last_words, self.limits)

    def kill(self) -> None:
        """End the child at once, from any thread."""
        with self._lock:
            if self._status is None:
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the child if it lives, and leave no process and no descriptor behind."""
        with self._lock:
            if self._status is not None:
                return
            os.kill(self._pid, signal.SIGKILL)
            _, self._status, usage = os.wait4(self._pid, 0)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self._last_words = _drain(self._stderr)
        for descriptor in (self._to_child, self._from_child, self._stderr):
            os.close(descriptor)

    def _serve(self, first: bytes, port: Port) -> None:
        self._send(first)
        while port.done is None:
            frame = self._receive()
            if frame is None:
                return
            answer = port.submit(frame)
            if answer is not None:
                self._send(answer)

    def _receive(self) -> bytes | None:
        header = self._read(4)
        if header is None:
            return None
        size = int.from_bytes(header)
        if size > MAX_FRAME:
            raise ScriptError(
                f"the script handed over {size} bytes at once; at most {MAX_FRAME} are taken",
                hint="print or return less, or in parts",
            )
        return self._read(size)

    def _read(self, size: int) -> bytes | None:
        buffer = self._buffer
        if not buffer:
            self._look()
        while len(buffer) < size:
            piece = os.read(self._from_child, max(_READ, size - len(buffer)))
            if not piece:
                return None
            buffer += piece
        found = bytes(buffer[:size])
        del buffer[:size]
        return found

    def _look(self) -> None:
        poll = self._poll.poll
        for _ in range(_LOOKS):
            if poll(0):
                return

    def _send(self, frame: bytes) -> None:
        if len(frame) > MAX_FRAME:
            raise ScriptError(f"an answer of {len(frame)} bytes is more than the {MAX_FRAME} a script can take")
        rest = memoryview(len(frame).to_bytes(4) + frame)
        try:
            while rest:
                rest = rest[self._write(rest) :]
        except BrokenPipeError:
            return  # it died; reading says how

    def _write(self, rest: memoryview) -> int:
        try:
            return os.write(self._to_child, rest)
        except BlockingIOError:
            poll = select.poll()
            poll.register(self._to_child, select.POLLOUT)
            if not poll.poll(_PATIENCE * 1000):
                raise ScriptError("the script's process stopped listening", code="script_crashed") from None
            return 0


def _spawn(limits: Limits, streams: tuple[int, int, int]) -> int:
    if not sys.executable:
        raise ConfigurationError("no Python interpreter to start a child with", hint="use isolation='none'")
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = ":".join([package, *(entry for entry in sys.path if os.path.isabs(entry))])
    numbers = (str(limits.memory or 0), str(limits.cpu or 0))
    moves = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(streams)]
    # A group of its own, so that Ctrl-C reaches the host alone, which then decides. Python's other descriptors
    # close by themselves (PEP 446).
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", _BOOT, path, *numbers],
        _ENVIRONMENT,
        file_actions=moves,
        setpgroup=0,
    )


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _explain(status: int | None, last_words: bytes, limits: Limits) -> KosmoError:
    """Why a child ended before its script did."""
    exit_code = os.waitstatus_to_exitcode(status or 0)  # a signal's number, negative, where one ended it
    if exit_code in (-signal.SIGPROF, -signal.SIGXCPU):
        return reached("cpu", limits)
    if exit_code == EXIT_OUT_OF_MEMORY or b"not enough memory" in last_words or b"MemoryError" in last_words:
        return reached("memory", limits)
    if exit_code == -signal.SIGKILL:
        return ScriptError(
            "the script's process was killed from outside", code="script_crashed", hint="was the machine out of memory?"
        )
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        return ScriptError(
            f"the script crashed the Lua interpreter ({name})",
            code="script_crashed",
            hint="look for recursion without an end, in coroutines or in callbacks of string.gsub",
        )
    words = last_words.decode(errors="replace").strip().rpartition("\n")[2][:500]
    return ScriptError(
        f"the script's process ended with status {exit_code}{': ' if words else ''}{words}", code="script_crashed"
    )
