"""A run inside this process: for embedding trusted scripts, and for tests.

The limits stop accidents, not attacks: a call into C is not interrupted.
"""

from __future__ import annotations

import gc
import threading
from collections import deque

from kosmolua.runtime import marshal
from kosmolua.runtime.limits import Limits, reached
from kosmolua.runtime.port import Port, Start
from kosmolua.runtime.state import State

# Lua stops itself this far below the hard limit, which is met outside of Lua's own error handling.
MARGIN = 16 * 1024 * 1024
PUSH = 1024 * 1024  # what handing over an answer may take beside the answer


class _Callbacks:
    """The two functions a state calls. Neither raises: an exception would reach the script as a Python object."""

    def __init__(self, state: State, port: Port, first: bytes) -> None:
        self.failure: BaseException | None = None
        self.state: State | None = state
        self._port = port
        self._answers = deque([first])
        self._woken = threading.Event()
        port.pending.wake = self._woken.set

    def submit(self, frame: bytes) -> int:
        if self.failure:
            return 0
        try:
            answer = self._port.submit(frame)
        except BaseException as error:  # noqa: BLE001 - kept, and raised where the run was started
            self.failure = error
            return 0
        if answer is not None:
            self._answers.append(answer)
        return 1

    def wait(self) -> bytes | int:
        """The next answer, or 0 where there will be none, or where handing it over could exhaust Lua's memory inside
        this very call.
        """
        try:
            self._await()
        except BaseException as error:  # noqa: BLE001 - as above
            self.failure = error
        if self.failure or not self._answers:
            return 0
        answer = self._answers.popleft()
        limit = self.state.memory_limit if self.state else None
        if self.state and limit and self.state.memory_used + len(answer) + PUSH > limit:
            return 0
        return answer

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
    state = State(memory_limit=limits.memory + MARGIN if limits.memory else None)
    callbacks = _Callbacks(state, port, marshal.encode(start))
    try:
        state.serve(callbacks.submit, callbacks.wait)
    except state.memory_error:
        raise reached("memory", limits) from None
    except state.error:
        if not callbacks.failure:
            raise
    finally:
        port.stop()
        callbacks.state = None
        del state
        gc.collect()  # lupa's states are freed by the cycle collector alone
    if callbacks.failure and not port.done:
        raise callbacks.failure
