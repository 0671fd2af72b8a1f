"""A run in a child process of its own: start it, speak with it, limit it, kill it, and say how it ended."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from kosmolua.errors import EXIT_OUT_OF_MEMORY, ConfigurationError, KosmoError, ScriptError
from kosmolua.runtime import confine
from kosmolua.runtime.bell import Bell
from kosmolua.runtime.limits import MAX_FRAME, Limits, fixed, reached
from kosmolua.runtime.process import LOST, Spawned, program, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from kosmolua.runtime.pending import Pending
    from kosmolua.runtime.port import Port
    from kosmolua.runtime.prepared import Forked, Prepared

    Mode = Literal["standard", "strict"]

BOOT = program("kosmolua.runtime.worker")
# A script asks again within microseconds of an answer. Looking that often for it, before sleeping, costs less CPU than
# being woken does (measured: 8 % of a loop of calls); with one processor it would only keep the script from running.
_LOOKS = 100 if (os.cpu_count() or 1) > 1 else 0
_LOOK_UP = 250  # milliseconds after which a wait looks whether the run was ended meanwhile
_MAX_UNSENT, _MAX_UNSENT_BYTES = 10_000, 4 * MAX_FRAME  # answers that a script may leave unread
_WHOLE = select.PIPE_BUF - 4  # bytes of a frame that a pipe takes as a whole
_AT_ONCE = 64  # answers that are written with one call
_FULL = 0.8  # of the limit of memory: a script that crashed with more was out of it
_READ = 1 << 13  # most frames are small, and reading allocates this much
# Where so many requests are under way, to be woken by each answer costs more than the answer does. Those of some
# milliseconds are handed over together (measured: a fifth of the CPU of 10,000 predictions that are waited for).
_CROWD, _GATHERED, _CROWD_READ = 64, 0.005, 1 << 16


class Child:
    """A process with LuaJIT and nothing else.

    It begins to start when it is made. This module imports next to nothing, so that it can be made first, and start
    while the host imports the rest. It ends with the thread that made it. ``layers`` of confinement are known once it
    runs; ``boot`` is the text of its main program, which finds the descriptors ``beside`` from 3 on. One that is
    forked from a ``prepared`` process is there sooner, and ends with that process. ``python`` is the interpreter, by
    default the one that runs this.
    """

    def __init__(
        self,
        limits: Limits,
        mode: Mode = "standard",
        *,
        boot: str = BOOT,
        prepared: Prepared | None = None,
        beside: Sequence[int] = (),
        python: str | None = None,
    ) -> None:
        self.limits = limits
        self.mode = mode
        self.cpu_seconds = 0.0
        self.layers: list[str] = []
        self.lowered: dict[str, int] = {}  # limits of resources that were below the run's own, and hold
        self.has_turn = False  # the host waits for it, and owes it no answer: it has to compute, or speak
        self.turns = 0
        self._killed = False
        self._last_words = b""
        self._status: int | None = None
        self._peak = 0  # bytes of memory, once it has ended; 0 where nobody knows
        self._bare = 0  # its memory before it had a script
        self._lock = threading.RLock()
        self._port: Port | None = None
        self._buffer = bytearray()
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0
        self._blocked = False  # the child's pipe is full
        self._bell: Bell | None = None  # rung when there is an answer
        (child_in, self._to_child), (self._from_child, child_out), (self._stderr, child_err) = _pipes(3)
        streams, words = (child_in, child_out, child_err), (str(limits.memory or 0), str(limits.cpu or 0), mode)
        self._process: Spawned | Forked
        try:
            self._process = (prepared and prepared.fork(streams, words)) or Spawned(
                boot, (*streams, *beside), words, python
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for descriptor in streams:
                os.close(descriptor)
        self.pid = self._process.pid
        self._readable, self._anything = select.poll(), select.poll()
        for poll in (self._readable, self._anything):
            poll.register(self._from_child, select.POLLIN)
        os.set_blocking(self._to_child, False)
        os.set_blocking(self._stderr, False)

    def run(self, first: bytes, port: Port) -> None:
        """Run a script, given as its first frame; the result is in ``port.done``. Raises how the child died."""
        confine.conceal()  # before there is a script; until then the child runs nothing but this package
        self._port = port
        try:
            self._serve(first, port)
        finally:
            port.stop()
            self.close()
        if port.done is None:
            raise port.failure or self._explain()

    def open(self, first: bytes, port: Port) -> None:
        """Begin an interactive run, given its first frame. `exchange` goes on with it."""
        confine.conceal()
        self._port = port
        self._begin(first)

    def exchange(self, frame: bytes, port: Port) -> None:
        """Hand a frame over and serve the child until it is done with it, which is told in ``port.done``. Raises how
        the child died.
        """
        try:
            self._send(frame)
            self._serve_until_done(port)
        except BaseException:
            self.close()
            raise
        if port.done is None:
            self.close()
            raise port.failure or self._explain()

    def kill(self) -> None:
        """End the child at once, from any thread."""
        with self._lock:
            self._killed = True
            if self._status is None:
                self._process.kill()

    def close(self) -> None:
        """Kill the child if it lives, and leave no process and no descriptor behind."""
        with self._lock:
            if self._status is not None:
                return
            self._process.kill()
            self._status, self.cpu_seconds, self._peak = self._process.wait()
        if self._bell:
            self._bell.close()
        self._last_words = _drain(self._stderr)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for descriptor in (self._to_child, self._from_child, self._stderr):
            os.close(descriptor)

    def _serve(self, first: bytes, port: Port) -> None:
        if self._begin(first):
            self._serve_until_done(port)

    def _begin(self, first: bytes) -> bool:
        """Whether it has started."""
        self._send(first)
        greeting = self._receive()
        if greeting is None:
            return False
        self._greet(greeting)
        return True

    def _serve_until_done(self, port: Port) -> None:
        while port.done is None:
            frame = self._receive()
            if frame is None:
                return
            answer = port.submit(frame)
            if answer is not None:
                self._send(answer)
            elif port.pending.open:
                self._hand_over()

    def _greet(self, greeting: bytes) -> None:
        """Take the child's word, given before it has read a script, for the layers that hold."""
        word, _, layers = greeting.partition(b" ")
        if word != b"ready":
            raise ScriptError("the script's process did not start as it should", code="script_crashed")
        self.layers = [name for name in confine.LAYERS if name.encode() in layers.split(b" ")]
        facts = (each.partition("=") for each in layers.decode(errors="replace").split())
        self.lowered = {name: int(value) for name, _, value in facts if value.isdecimal()}
        if "cpu" in self.lowered and (self.limits.cpu is None or self.lowered["cpu"] < self.limits.cpu):
            self.limits = self.limits._replace(cpu=self.lowered["cpu"])
        self._bare = resident_bytes(self.pid)
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
            words = f"the script handed over {size} bytes at once; at most {MAX_FRAME} are taken"
            raise fixed("frame", words, "print or return less, or in parts", MAX_FRAME)
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
        poll, pending = self._readable.poll, self._pending()
        for _ in range(0 if pending and pending.open else _LOOKS):
            if poll(0):
                break
        else:
            self._await()
        return b"" if self._killed else os.read(self._from_child, max(_CROWD_READ if self._crowded() else _READ, size))

    def _await(self) -> None:
        """Wait for the child, under the watchdog's eyes, and give it meanwhile the answers that come.

        Killing it need not wake this, if another process holds its pipe.
        """
        poll = self._anything.poll
        while not self._killed:
            if self._crowded():
                time.sleep(_GATHERED)
            self._hand_over()
            events = dict(poll(self._until()))
            if self._to_child in events:
                self._flush()
            if self._bell and self._bell.descriptor in events:
                self._bell.hush()
            if self._from_child in events:
                break
        self.has_turn = False
        self.turns += 1

    def _until(self) -> int:
        """Milliseconds until there is something to do, whatever the child does."""
        pending = self._pending()
        self.has_turn = not (pending and pending.open)
        wait = pending.timeout() if pending else None
        return _LOOK_UP if wait is None else min(_LOOK_UP, int(wait * 1000) + (wait > 0))

    def _hand_over(self) -> None:
        """Pass on what was carried out beside the child's turns."""
        pending = self._pending()
        if pending and pending.open and self._port:
            if not self._bell:
                self._bell = Bell()
                self._anything.register(self._bell.descriptor, select.POLLIN)
                pending.wake = self._bell.ring
            for answer in self._port.take():
                self._owe(answer)
            self._flush()

    def _crowded(self) -> bool:
        pending = self._pending()
        return pending is not None and pending.open > _CROWD

    def _pending(self) -> Pending | None:
        return self._port.pending if self._port else None

    def _send(self, frame: bytes) -> None:
        """Write what the child's pipe takes, and the rest when it takes more: it may be writing itself just now."""
        if not self._unsent and len(frame) <= _WHOLE and self._wrote(len(frame).to_bytes(4) + frame):
            return
        self._owe(frame)
        self._flush()

    def _wrote(self, data: bytes) -> bool:
        """Whether the pipe took it: of so little it takes all or nothing (POSIX, write)."""
        try:
            return bool(os.write(self._to_child, data))
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True  # it died; reading says how

    def _owe(self, frame: bytes) -> None:
        if len(frame) > MAX_FRAME:
            raise ScriptError(f"an answer of {len(frame)} bytes is more than the {MAX_FRAME} a script can take")
        self._unsent.append(len(frame).to_bytes(4) + frame)
        self._unsent_bytes += 4 + len(frame)
        if len(self._unsent) > _MAX_UNSENT or self._unsent_bytes > _MAX_UNSENT_BYTES:
            raise ScriptError(
                f"the script asks and does not listen: {len(self._unsent)} answers of {self._unsent_bytes} bytes "
                "wait for it",
                code="script_crashed",
            )

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._forget(os.writev(self._to_child, list(islice(self._unsent, _AT_ONCE))))
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # it died; reading says how
        if self._blocked == bool(self._unsent):
            return
        self._blocked = not self._blocked
        if self._blocked:
            self._anything.register(self._to_child, select.POLLOUT)
        else:
            self._anything.unregister(self._to_child)

    def _forget(self, written: int) -> None:
        """So many bytes of what was unsent are sent."""
        self._unsent_bytes -= written
        while written:
            first = self._unsent.popleft()
            if written < len(first):
                self._unsent.appendleft(memoryview(first)[written:])
            written = max(0, written - len(first))

    def _explain(self) -> KosmoError:
        """Why the child ended before its script did."""
        if self._status == LOST:
            return ScriptError(
                "the script's process ended with an unknown status: this program ignores SIGCHLD or waits for every "
                "child",
                code="script_crashed",
                hint="wait for your own children only, or use Host(prepare=True)",
            )
        exit_code = os.waitstatus_to_exitcode(self._status or 0)  # a signal's number, negative, where one ended it
        limits, words = self.limits, self._last_words
        share = 0.75 if "cpu" in self.lowered else 1.0  # where the kernel ends it, which counts in ticks
        used_up = limits.cpu is not None and self.cpu_seconds >= limits.cpu * share
        if exit_code in (-signal.SIGPROF, -signal.SIGXCPU) or (exit_code == -signal.SIGKILL and used_up):
            return reached("cpu", limits)
        if exit_code == EXIT_OUT_OF_MEMORY or b"not enough memory" in words or b"MemoryError" in words:
            return reached("memory", limits)
        if exit_code == -signal.SIGSEGV and self._was_full():
            return reached("memory", limits)
        if exit_code < 0:
            return _explain_signal(signal.Signals(-exit_code))
        line = words.decode(errors="replace").strip().rpartition("\n")[2][:500]
        text = f"the script's process ended with status {exit_code}{': ' if line else ''}{line}"
        return ScriptError(text, code="script_crashed")

    def _was_full(self) -> bool:
        """Whether it had all the memory that its script may have, at whose end LuaJIT may crash."""
        limit = self.limits.memory
        return bool(limit and self._bare and self._peak > self._bare + _FULL * limit)


def _pipes(count: int) -> list[tuple[int, int]]:
    """So many, or none where there are not enough descriptors."""
    made: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            made.append(os.pipe())  # noqa: PERF401 - what was made before a failure is closed
    except OSError:
        for descriptor in (each for pipe in made for each in pipe):
            os.close(descriptor)
        raise
    return made


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
        hint = "run the script in smaller parts to find the one that causes it"
    return ScriptError(text, code="script_crashed", hint=hint)
