"""A run in a child process of its own: start it, speak with it, limit it, kill it, and say how it ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

from kosmolua.errors import EXIT_OUT_OF_MEMORY, ConfigurationError, KosmoError, ScriptError
from kosmolua.runtime import confine
from kosmolua.runtime.limits import MAX_FRAME, Limits, reached

if TYPE_CHECKING:
    from typing import Literal

    from kosmolua.runtime.port import Port

    Mode = Literal["standard", "strict"]

# -c and not -m, which would import runpy. -I: no user site, no PYTHON* variables, no cwd. -S: site would look for
# what the host has found already, and hands over as a path.
_BOOT = "import sys; sys.path += sys.argv[1].split(':'); from kosmolua.runtime.worker import main; main()"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC0"}
# A script asks again within microseconds of an answer. Looking that often for it, before sleeping, costs less CPU than
# being woken does (measured: 8 % of a loop of calls); with one processor it would only keep the script from running.
_LOOKS = 100 if (os.cpu_count() or 1) > 1 else 0
_LOOK_UP = 250  # milliseconds after which a wait looks whether the run was ended meanwhile
_READ = 1 << 13  # most frames are small, and reading allocates this much


class Child:
    """A process with LuaJIT and nothing else.

    It begins to start when it is made. This module imports next to nothing, so that it can be made first, and start
    while the host imports the rest. It ends with the thread that made it. ``layers`` of confinement are known once it
    runs; ``boot`` is the text of its main program.
    """

    def __init__(self, limits: Limits, mode: Mode = "standard", *, boot: str = _BOOT) -> None:
        self.limits = limits
        self.mode = mode
        self.cpu_seconds = 0.0
        self.layers: list[str] = []
        self.has_turn = False  # the host waits for it, and owes it no answer: it has to compute, or speak
        self.turns = 0
        self._killed = False
        self._last_words = b""
        self._status: int | None = None
        self._lock = threading.Lock()
        self._buffer = bytearray()
        child_in, self._to_child = os.pipe()
        self._from_child, child_out = os.pipe()
        self._stderr, child_err = os.pipe()
        try:
            self.pid = _spawn(boot, (child_in, child_out, child_err), limits, mode)
        finally:
            for descriptor in (child_in, child_out, child_err):
                os.close(descriptor)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._from_child, select.POLLIN)
        self._writable.register(self._to_child, select.POLLOUT)
        os.set_blocking(self._to_child, False)
        os.set_blocking(self._stderr, False)

    def run(self, first: bytes, port: Port) -> None:
        """Run a script, given as its first frame; the result is in ``port.done``. Raises how the child died."""
        confine.conceal()  # before there is a script; until then the child runs nothing but this package
        try:
            self._serve(first, port)
        finally:
            port.stop()
            self.close()
        if port.done is None:
            raise port.failure or self._explain()

    def kill(self) -> None:
        """End the child at once, from any thread."""
        with self._lock:
            self._killed = True
            if self._status is None:
                self._end()

    def close(self) -> None:
        """Kill the child if it lives, and leave no process and no descriptor behind."""
        with self._lock:
            if self._status is not None:
                return
            self._end()
            _, self._status, usage = os.wait4(self.pid, 0)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self._last_words = _drain(self._stderr)
        for descriptor in (self._to_child, self._from_child, self._stderr):
            os.close(descriptor)

    def _end(self) -> None:
        """Kill it, and with its group whatever it could start where no layer of confinement forbids that."""
        os.kill(self.pid, signal.SIGKILL)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # it has left its group, or nobody is left in it

    def _serve(self, first: bytes, port: Port) -> None:
        self._send(first)
        greeting = self._receive()
        if greeting is None:
            return
        self._greet(greeting)
        while port.done is None:
            frame = self._receive()
            if frame is None:
                return
            answer = port.submit(frame)
            if answer is not None:
                self._send(answer)

    def _greet(self, greeting: bytes) -> None:
        """Take the child's word, given before it has read a script, for the layers that hold."""
        word, _, layers = greeting.partition(b" ")
        if word != b"ready":
            raise ScriptError("the script's process did not start as it should", code="script_crashed")
        self.layers = [name for name in confine.LAYERS if name.encode() in layers.split(b" ")]
        missing = confine.REQUIRED.difference(self.layers)
        if self.mode == "strict" and missing:
            raise ConfigurationError(
                f"strict isolation needs {' and '.join(sorted(missing))}, which this machine does not give",
                hint="see `kosmo integrations:doctor` for the reason; --isolation standard runs with what there is",
            )

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
        while len(buffer) < size:
            piece = self._piece(size - len(buffer))
            if not piece:
                return None
            buffer += piece
        found = bytes(buffer[:size])
        del buffer[:size]
        return found

    def _piece(self, size: int) -> bytes:
        """What comes next, at most an empty piece if nothing will."""
        poll = self._readable.poll
        for _ in range(_LOOKS):
            if poll(0):
                break
        else:
            self._await(self._readable)
        return b"" if self._killed else os.read(self._from_child, max(_READ, size))

    def _await(self, poll: select.poll) -> None:
        """Wait for the child, under the watchdog's eyes. Killing it need not wake this, if another holds its pipe."""
        self.has_turn = True
        while not self._killed and not poll.poll(_LOOK_UP):
            pass
        self.has_turn = False
        self.turns += 1

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
            self._await(self._writable)
            if self._killed:
                raise BrokenPipeError from None
            return 0

    def _explain(self) -> KosmoError:
        """Why the child ended before its script did."""
        exit_code = os.waitstatus_to_exitcode(self._status or 0)  # a signal's number, negative, where one ended it
        limits, words = self.limits, self._last_words
        used_up = limits.cpu is not None and self.cpu_seconds >= limits.cpu
        if exit_code in (-signal.SIGPROF, -signal.SIGXCPU) or (exit_code == -signal.SIGKILL and used_up):
            return reached("cpu", limits)
        if exit_code == EXIT_OUT_OF_MEMORY or b"not enough memory" in words or b"MemoryError" in words:
            return reached("memory", limits)
        if exit_code < 0:
            return _explain_signal(signal.Signals(-exit_code))
        line = words.decode(errors="replace").strip().rpartition("\n")[2][:500]
        text = f"the script's process ended with status {exit_code}{': ' if line else ''}{line}"
        return ScriptError(text, code="script_crashed")


def _spawn(boot: str, streams: tuple[int, int, int], limits: Limits, mode: Mode) -> int:
    if not sys.executable:
        raise ConfigurationError("no Python interpreter to start a child with", hint="use isolation='none'")
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = ":".join([package, *(entry for entry in sys.path if os.path.isabs(entry))])
    words = (str(limits.memory or 0), str(limits.cpu or 0), mode, str(os.getpid()))
    moves = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(streams)]
    # A group of its own, so that Ctrl-C reaches the host alone, which then decides. Python's other descriptors
    # close by themselves (PEP 446).
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", boot, path, *words],
        _ENVIRONMENT,
        file_actions=moves,
        setpgroup=0,
    )


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _explain_signal(number: signal.Signals) -> ScriptError:
    if number == signal.SIGKILL:
        text, hint = "the script's process was killed from outside", "was the machine out of memory?"
    elif number == signal.SIGSYS:
        text = "the script's process made a forbidden system call and was ended for it"
        hint = "no Lua does that: the script may have attacked the interpreter; do not run it again unread"
    else:
        text = f"the script crashed the Lua interpreter ({number.name})"
        hint = "look for recursion without an end, in coroutines or in callbacks of string.gsub"
    return ScriptError(text, code="script_crashed", hint=hint)
