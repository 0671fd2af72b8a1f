"""Runs a script in a child process: starts it, exchanges frames with it, limits and kills it, and explains its end."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from kosmolua.errors import EXIT_OUT_OF_MEMORY, ConfigurationError, KosmoError, ScriptError
from kosmolua.runtime import confine
from kosmolua.runtime.bell import Bell
from kosmolua.runtime.bytecode_file import MADE, MAKE, NONE, BytecodeFile
from kosmolua.runtime.limits import MAX_FRAME, Limits, fixed, reached
from kosmolua.runtime.pipes import drained, pipes
from kosmolua.runtime.process import LOST, Spawned, program, resident_bytes
from kosmolua.runtime.resting import Resting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from kosmolua.runtime.pending import Pending
    from kosmolua.runtime.port import Port
    from kosmolua.runtime.prepared import Forked, Prepared

    Mode = Literal["standard", "strict"]

BOOT = program("kosmolua.runtime.worker")
_LOOK_UP = 250  # milliseconds between checks for the end of the run
_REST = 50  # a run may rest after this many milliseconds without a frame or an answer
_SHORT = 0.1  # a run does not rest if a sleep of its script ends within this many seconds
# The maximum number and bytes of unread answers. A script that starts many tasks reads no answer until it waits, but it
# reaches its memory limit before it can start that many tasks.
_MAX_UNSENT, _MAX_UNSENT_BYTES = 200_000, 4 * MAX_FRAME
_WHOLE = select.PIPE_BUF - 4  # the maximum bytes of a frame that a pipe accepts atomically
_AT_ONCE = 64  # the maximum number of answers written with one system call
_FULL = 0.8  # fraction of the memory limit: a crash above it counts as out of memory
_READ = 1 << 13  # bytes of one read: most frames are small, and each read allocates this much
# With many open requests, waking up for each answer costs more than the answer. So answers that arrive within a few
# milliseconds are passed together (measured: this takes a fifth of the CPU time when waiting for 10,000 predictions).
_CROWD, _GATHERED, _CROWD_READ = 64, 0.005, 1 << 16


class Child:
    """A process that only runs LuaJIT.

    The process starts with the constructor, and runs until the thread that started it ends. This module imports little,
    so that the child can start while the host imports the rest. ``layers`` are the sandbox layers, known once the
    process runs; ``boot`` is the source of its main program, which gets the descriptors ``beside`` as 3 and following.
    A child forked from a ``prepared`` process starts faster, and ends with that process. ``python`` is the interpreter,
    by default the current one. The child's Lua modules are cached as bytecode below the directory ``cache``.
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
        cache: str | None = None,
    ) -> None:
        self.limits = limits
        self.mode = mode
        self.cpu_seconds = 0.0
        self.layers: list[str] = []
        self.lowered: dict[str, int] = {}  # inherited resource limits that are lower than the run's
        self.has_turn = False  # whether all answers are sent, so that it is the child's turn to compute or send
        self.turns = 0
        self._killed = False
        self._last_words = b""
        self._status: int | None = None
        self._peak = 0  # peak memory in bytes after its end; 0 if unknown
        self._bare = 0  # the child's memory in bytes before the script
        self._lock = threading.RLock()
        self._port: Port | None = None
        self._buffer = bytearray()
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0
        self._blocked = False  # whether the child's pipe is full
        self.rests = False  # whether `run` ends while the script only waits
        self._between = False  # whether nothing of the next frame has been read
        self._bell: Bell | None = None  # rings when there is an answer
        (child_in, self._to_child), (self._from_child, child_out), (self._stderr, child_err) = pipes(3)
        streams, words = (child_in, child_out, child_err), (str(limits.memory or 0), str(limits.cpu or 0), mode)
        self._bytecode: BytecodeFile | None = None
        self._process: Spawned | Forked
        try:
            self._process = (prepared and prepared.fork(streams, words)) or self._spawned(
                boot, (*streams, *beside), words, python, cache
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

    def _spawned(
        self, boot: str, streams: Sequence[int], words: Sequence[str], python: str | None, cache: str | None
    ) -> Spawned:
        """Start a process, with the bytecode file after its other descriptors if there is such a file."""
        if cache is None:
            return Spawned(boot, streams, (NONE, *words), python)
        self._bytecode = BytecodeFile(cache)
        file = self._bytecode.open()
        if file is None:
            return Spawned(boot, streams, (MAKE, *words), python)
        try:
            return Spawned(boot, (*streams, file), (str(len(streams)), *words), python)
        finally:
            os.close(file)

    def run(self, first: bytes, port: Port) -> None:
        """Run a script, given as its first frame; the result is in ``port.done``. Raises an error if the child died.
        If it ``rests``, raises `Resting` when the script only waits; then `resume` continues.
        """
        confine.conceal()  # before the script starts: until then the child runs only this package
        self._port = port
        self._run(lambda: self._serve(first, port), port)

    def resume(self, port: Port) -> None:
        """Continue a run that rested."""
        self._run(lambda: self._serve_until_done(port), port)

    def _run(self, serve: Callable[[], None], port: Port) -> None:
        try:
            serve()
        except Resting:
            port.pending.rest()
            raise
        except BaseException:
            port.stop()
            self.close()
            raise
        port.stop()
        self.close()
        if port.done is None:
            raise port.failure or self._explain()

    @property
    def outlives_thread(self) -> bool:
        """Whether the process continues to run after the thread that started it has ended."""
        return not isinstance(self._process, Spawned)

    @property
    def signals(self) -> tuple[int, ...]:
        """The descriptors that become readable when a resting run has something to do."""
        return (self._from_child, *([self._bell.descriptor] if self._bell else []))

    def open(self, first: bytes, port: Port) -> None:
        """Begin an interactive run, given its first frame; continue with `exchange`."""
        confine.conceal()
        self._port = port
        self._begin(first)

    def exchange(self, frame: bytes, port: Port) -> None:
        """Send a frame and serve the child until ``port.done`` has its result. Raises an error if the child died."""
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
        """Kill the child if it is running, reap it, and close all descriptors."""
        with self._lock:
            if self._status is not None:
                return
            self._process.kill()
            self._status, self.cpu_seconds, self._peak = self._process.wait()
        if self._bell:
            self._bell.close()
        self._last_words = drained(self._stderr)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for descriptor in (self._to_child, self._from_child, self._stderr):
            os.close(descriptor)

    def _serve(self, first: bytes, port: Port) -> None:
        if self._begin(first):
            self._serve_until_done(port)

    def _begin(self, first: bytes) -> bool:
        """Send the first frame once the child reports its sandbox layers. Returns whether the child has started."""
        self._send(first)
        greeting = self._receive()
        if self._bytecode and greeting and greeting.startswith(MADE):  # sent before the child reads a script
            self._bytecode.store(greeting.removeprefix(MADE))
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
        """Check the sandbox layers that the child reports before it reads a script."""
        word, _, layers = greeting.partition(b" ")
        if word != b"ready":
            raise ScriptError("the script process did not start correctly", code="script_crashed")
        self.layers = [name for name in confine.LAYERS if name.encode() in layers.split(b" ")]
        facts = (each.partition("=") for each in layers.decode(errors="replace").split())
        self.lowered = {name: int(value) for name, _, value in facts if value.isdecimal()}
        if "cpu" in self.lowered and (self.limits.cpu is None or self.lowered["cpu"] < self.limits.cpu):
            self.limits = self.limits._replace(cpu=self.lowered["cpu"])
        self._bare = resident_bytes(self.pid)
        missing = confine.REQUIRED.difference(self.layers)
        if self.mode == "strict" and missing:
            raise ConfigurationError(
                f"strict isolation needs {' and '.join(sorted(missing))}, which this machine does not provide",
                hint="show the reason with `kosmo integrations:doctor`, or use --isolation standard",
            )

    def _receive(self) -> bytes | None:
        """The next frame; None at the end."""
        if not self._buffer:
            self._between = True
            piece = self._piece(4)
            self._between = False
            if int.from_bytes(piece[:4]) == len(piece) - 4:  # a script that waits for an answer has sent nothing more
                return piece[4:]
            self._buffer += piece
        header = self._read(4)
        if header is None:
            return None
        size = int.from_bytes(header)
        if size > MAX_FRAME:
            words = f"the script sent a message of {size} bytes; the maximum is {MAX_FRAME}"
            raise fixed("frame", words, "print or return less at once", MAX_FRAME)
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
        """The next bytes; empty at the end."""
        pending = self._port.pending if self._port else None
        most = _READ
        if self._unsent or (pending and pending.open):
            self._await()
            most = _CROWD_READ if self._crowded() else _READ
        else:  # only the child can send anything
            poll = self._readable.poll
            self.has_turn = True
            while not self._killed and not poll(_LOOK_UP):
                pass
            self.has_turn = False
            self.turns += 1
        return b"" if self._killed else os.read(self._from_child, max(most, size))

    def _await(self) -> None:
        """Wait until the child sends something, and meanwhile send it arriving answers. The watchdog limits the wait.
        Killing the child does not end the wait if another process holds the child's pipe.
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
            if not events and self.rests and self._only_waits():
                raise Resting
        self.has_turn = False
        self.turns += 1

    def _only_waits(self) -> bool:
        pending = self._pending()
        return self._between and not self._unsent and pending is not None and pending.is_idle(_SHORT)

    def _until(self) -> int:
        """Milliseconds until there is something to do even if the child sends nothing."""
        pending = self._pending()
        self.has_turn = not (pending and pending.open)
        wait = pending.timeout() if pending else None
        most = _REST if self.rests else _LOOK_UP
        return most if wait is None else min(most, int(wait * 1000) + (wait > 0))

    def _hand_over(self) -> None:
        """Send the answers that other threads have provided."""
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
        """Write what fits into the child's pipe and the rest later, since the child may be blocked in a write."""
        if not self._unsent and len(frame) <= _WHOLE and self._wrote(len(frame).to_bytes(4) + frame):
            return
        self._owe(frame)
        self._flush()

    def _wrote(self, data: bytes) -> bool:
        """Whether the pipe accepted the data, which is atomic for this size (POSIX, write)."""
        try:
            return bool(os.write(self._to_child, data))
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True  # the child died; reading finds the reason

    def _owe(self, frame: bytes) -> None:
        if len(frame) > MAX_FRAME:
            raise fixed(
                "answer", f"an answer has {len(frame)} bytes; the maximum is {MAX_FRAME}", "request less", MAX_FRAME
            )
        self._unsent.append(len(frame).to_bytes(4) + frame)
        self._unsent_bytes += 4 + len(frame)
        if len(self._unsent) > _MAX_UNSENT or self._unsent_bytes > _MAX_UNSENT_BYTES:
            raise fixed(
                "answers",
                f"the script has {len(self._unsent)} unread answers with {self._unsent_bytes} bytes; "
                f"the maximum is {_MAX_UNSENT} with {_MAX_UNSENT_BYTES} bytes",
                "use parallel, which limits concurrent requests",
                _MAX_UNSENT,
            )

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._forget(os.writev(self._to_child, list(islice(self._unsent, _AT_ONCE))))
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # the child died; reading finds the reason
        if self._blocked == bool(self._unsent):
            return
        self._blocked = not self._blocked
        if self._blocked:
            self._anything.register(self._to_child, select.POLLOUT)
        else:
            self._anything.unregister(self._to_child)

    def _forget(self, written: int) -> None:
        """Remove that many sent bytes from the queue."""
        self._unsent_bytes -= written
        while written:
            first = self._unsent.popleft()
            if written < len(first):
                self._unsent.appendleft(memoryview(first)[written:])
            written = max(0, written - len(first))

    def _explain(self) -> KosmoError:
        """The error for a child that ended before its script."""
        if self._status == LOST:
            return ScriptError(
                "the script process ended with an unknown status: this program ignores SIGCHLD or waits for every "
                "child",
                code="script_crashed",
                hint="wait for your own children only, or use Host(prepare=True)",
            )
        import signal  # imported late: it creates enums, which few runs need

        exit_code = os.waitstatus_to_exitcode(self._status or 0)  # the negative number of the signal, if one ended it
        limits, words = self.limits, self._last_words
        share = 0.5 if "cpu" in self.lowered else 1.0  # the kernel counts in ticks, so it may kill too early
        used_up = limits.cpu is not None and self.cpu_seconds >= limits.cpu * share
        timers = -signal.SIGPROF, -signal.SIGVTALRM, -signal.SIGXCPU
        if exit_code in timers or (exit_code == -signal.SIGKILL and used_up):
            return reached("cpu", limits)
        if exit_code == EXIT_OUT_OF_MEMORY or b"not enough memory" in words or b"MemoryError" in words:
            return reached("memory", limits)
        if exit_code == -signal.SIGSEGV and self._was_full():
            return reached("memory", limits)
        if exit_code < 0:
            return _explain_signal(-exit_code)
        line = words.decode(errors="replace").strip().rpartition("\n")[2][:500]
        text = f"the script process ended with status {exit_code}{': ' if line else ''}{line}"
        return ScriptError(text, code="script_crashed")

    def _was_full(self) -> bool:
        """Whether the child had used up its memory limit, which may crash LuaJIT."""
        limit = self.limits.memory
        return bool(limit and self._bare and self._peak > self._bare + _FULL * limit)


def _explain_signal(number: int) -> ScriptError:
    import signal

    if number == signal.SIGKILL:
        text, hint = "the script process was killed from outside", "check whether the machine ran out of memory"
    elif number == signal.SIGSYS:
        text = "the script process was killed for a forbidden system call"
        hint = "review the script before running it again: it may have attacked the interpreter"
    else:
        text = f"the script crashed the Lua interpreter ({signal.Signals(number).name})"
        hint = "run the script in smaller parts to find the cause"
    return ScriptError(text, code="script_crashed", hint=hint)
