"""A run inside this process: for embedding trusted scripts, and for tests.

The limits stop accidents, not attacks: a call into C is not interrupted. The JIT is off so that a hook runs in every
loop; the hook checks limits, `stop` and signals.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator
from functools import cache
from typing import Any

from kosmolua.errors import ConfigurationError
from kosmolua.runtime import marshal
from kosmolua.runtime.frames import Start
from kosmolua.runtime.limits import Limits, reached
from kosmolua.runtime.port import Port
from kosmolua.runtime.state import Modules, State, engine_is_loaded, load_engine
from kosmolua.runtime.threads import started

# Lua stops when it is this many bytes below lupa's hard limit, since the hard limit bypasses Lua's error handling.
MARGIN = 16 * 1024 * 1024
PUSH = 1024 * 1024  # bytes of memory that passing an answer may take in addition to the answer itself


class _Callbacks:
    """The functions a state calls. None of them raises: an exception would reach the script as a Python object."""

    def __init__(self, state: State, port: Port, first: bytes) -> None:
        self.failure: BaseException | None = None
        self.state: State | None = state
        self._port = port
        self._answers = deque([first])
        self._woken = threading.Event()
        port.pending.wake = self._woken.set

    def shielded(self, function: Callable[[Any], bytes | int]) -> Callable[[Any], Any]:
        """The function for Lua to call. An exception is stored in ``failure``, for `run` to raise; from then on the
        function returns 0.

        The function is a generator's `send`, because a signal handler may raise while a function is being entered,
        before its `try`. A generator is resumed inside its `try`.
        """

        def loop() -> Generator[bytes | int | None, Any, None]:
            answer: bytes | int | None = None
            try:
                while True:
                    answer = function((yield answer))
            except GeneratorExit:
                return
            except BaseException as error:  # noqa: BLE001 - raised by `run`
                self.failure = self.failure or error
            while True:
                yield 0

        generator = loop()
        next(generator)
        return generator.send

    def submit(self, frame: bytes) -> int:
        if self.failure:
            return 0
        answer = self._port.submit(frame)
        if answer is not None:
            self._answers.append(answer)
        return 1

    def wait(self, _: int) -> bytes | int:
        """The next answer, or 0 if there will be none or if passing it could exhaust Lua's memory during this call."""
        if not self.failure:
            self._await()
        if self.failure or not self._answers:
            return 0
        answer = self._answers.popleft()
        limit = self.state.memory_limit if self.state else None
        if self.state and limit and self.state.memory_used + len(answer) + PUSH > limit:
            return 0
        return answer

    def alive(self, raised: int | BaseException) -> int:
        """Whether the script may continue. The script's hook calls this, which also lets Python handle signals."""
        if isinstance(raised, BaseException):
            raise raised
        self._port.check()
        return 0 if self.failure else 1

    def _await(self) -> None:
        pending = self._port.pending
        while not self._answers and pending.open:
            self._woken.clear()
            self._answers.extend(self._port.take())
            if not self._answers:
                self._woken.wait(pending.timeout())


def run(start: Start, port: Port, limits: Limits) -> None:
    """Run a script to its end; the result is in ``port.done``. Raises what the port raised, or a `LimitError`."""
    start.cpu, start.memory = limits.cpu, limits.memory
    if not engine_is_loaded():
        load()
    state = State(memory_limit=limits.memory + MARGIN if limits.memory else None, modules=_modules())
    callbacks = _Callbacks(state, port, marshal.encode(start))
    try:
        shielded = callbacks.shielded
        state.serve(shielded(callbacks.submit), shielded(callbacks.wait), shielded(callbacks.alive))
    except state.memory_error:  # a failed wait also ends this way
        if not callbacks.failure:
            raise reached("memory", limits) from None
    except state.error:
        if not callbacks.failure:
            raise
    finally:
        port.stop()
        callbacks.state = None
        state.close()
    if callbacks.failure and not port.done:
        raise callbacks.failure


@cache
def _modules() -> Modules:
    """The modules for all runs in this process, compiled once: parsing them would take most of the time of a short
    run.
    """
    text = Modules.read()
    return State(modules=text).compiled(text)


def load() -> None:
    """Import lupa, or wait until another thread has done so.

    The import runs in a new thread, where no KeyboardInterrupt is raised: lupa 2.8 turns a KeyboardInterrupt during the
    import of its extension into an ImportError.
    """
    started(threading.Thread(target=_try_import, daemon=True)).join()


def _try_import() -> None:
    with contextlib.suppress(ConfigurationError):  # `State` raises it again
        load_engine(None)
