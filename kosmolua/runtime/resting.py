"""Runs that wait without a thread. A run pauses while all its open requests are waits. One thread of the host watches
all pauses, and lets each run continue when it has something to do.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from kosmolua.errors import SystemFailureError
from kosmolua.runtime.bell import Bell

LOOK = 0.5  # seconds between checks of the limits of paused runs
LINGER = 5.0  # seconds after which the thread ends without pauses
_LOOK = 1.0  # the maximum seconds that `Pause.wait` blocks
_AGAIN = 0.5  # seconds until the next attempt to continue a run for which no thread could be started
_T = TypeVar("_T")


class Resting(Exception):  # noqa: N818 - not an error: the script's process waits for answers that are not there yet
    """Raised in the loop that serves a child. The child continues to run."""


class Pause:
    """A run that waits for a descriptor to be readable, for the time ``until`` (by `time.monotonic`), or for `wake`.
    ``look`` checks the run's limits meanwhile.
    """

    def __init__(self, descriptors: Sequence[int] = (), look: Callable[[], None] | None = None) -> None:
        self.descriptors = descriptors
        self.look = look
        self.until: float | None = None
        self._lock = threading.RLock()
        self._came = threading.Event()
        self._then: Callable[[], None] | None = None

    def wake(self) -> None:
        """Continue the run, from any thread."""
        with self._lock:
            self._came.set()
            then = self._then
        if then:
            then()

    def clear(self) -> None:
        """Discard earlier calls of `wake`."""
        with self._lock:
            self._came.clear()
            self._then = None

    def give(self, then: Callable[[], None]) -> None:
        """Call ``then`` at each `wake`, and now if `wake` was called before."""
        with self._lock:
            self._then = then
            has_come = self._came.is_set()
        if has_come:
            then()

    def wait(self) -> None:
        """Wait in this thread. May return early."""
        left = _LOOK if self.until is None else min(_LOOK, self.until - time.monotonic())
        self._came.wait(max(0.0, left))


Steps = Generator[Pause, None, _T]
"""A run in steps, which pauses between them. Each step may run in a different thread."""


def carried_out(steps: Steps[_T]) -> _T:
    """Carry out all steps in this thread, and return the result."""
    try:
        pause = next(steps)
        while True:
            try:
                pause.wait()
            except BaseException as error:  # noqa: BLE001 - such as Ctrl-C: raised where the run pauses
                pause = steps.throw(error)
            else:
                pause = next(steps)
    except StopIteration as end:
        result: _T = end.value
        return result


class WaitingRoom:
    """The pauses of a host. Thread-safe; its thread runs only while there are pauses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._there: dict[Pause, Callable[[], None]] = {}
        self._added: list[Pause] = []
        self._woken: list[Pause] = []
        self._poll = select.poll()
        self._of: dict[int, Pause] = {}  # by descriptor; used only by the thread
        self._quiet = 0.0  # when there was last a pause
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, pause: Pause, then: Callable[[], None]) -> None:
        """Call ``then`` in the thread of the room when the run can continue. ``then`` starts a thread, or raises."""
        with self._lock:
            bell = self._bell or self._opened()
            self._there[pause] = then
            self._added.append(pause)
        pause.give(lambda: self._wake(pause, bell))
        bell.ring()

    def close(self) -> None:
        """End the thread. Runs that are still paused are continued first."""
        with self._lock:
            self._closed, thread, bell = True, self._thread, self._bell
        if thread and bell and thread is not threading.current_thread():
            bell.ring()
            thread.join(LINGER)

    def _opened(self) -> Bell:
        """The bell of a new thread."""
        bell = Bell()
        self._thread = threading.Thread(target=self._serve, args=(bell,), name="kosmolua-waiting", daemon=True)
        self._quiet = time.monotonic()
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            bell.close()
            raise
        self._bell = bell
        return bell

    def _wake(self, pause: Pause, bell: Bell) -> None:
        with self._lock:
            self._woken.append(pause)
        bell.ring()

    def _serve(self, bell: Bell) -> None:
        self._poll.register(bell.descriptor, select.POLLIN)
        looked = time.monotonic()
        while True:
            ready = self._ready(bell, looked + LOOK)
            for pause in ready:
                self._continue(pause)
            if time.monotonic() - looked >= LOOK:
                looked = time.monotonic()
                for pause in [*self._there]:
                    if pause.look:
                        pause.look()
            if self._there:
                self._quiet = time.monotonic()
            elif self._ended(bell):
                return

    def _ready(self, bell: Bell, until: float) -> list[Pause]:
        """Wait, then remove and return the pauses that are over."""
        moments = [pause.until for pause in [*self._there] if pause.until is not None]
        least = min([*moments, until if self._there else self._quiet + LINGER])
        found = self._poll.poll(max(0.0, least - time.monotonic()) * 1000 + 1)
        bell.hush()
        with self._lock:
            for pause in self._added:
                for descriptor in pause.descriptors:
                    self._of[descriptor] = pause
                    self._poll.register(descriptor, select.POLLIN)
            woken, self._woken, self._added = self._woken, [], []
        now = time.monotonic()
        over = {self._of[descriptor]: None for descriptor, _ in found if descriptor in self._of}
        over |= dict.fromkeys(woken)
        over |= {pause: None for pause in [*self._there] if pause.until is not None and pause.until <= now}
        return [pause for pause in over if pause in self._there]

    def _continue(self, pause: Pause) -> None:
        for descriptor in pause.descriptors:
            self._poll.unregister(descriptor)
            del self._of[descriptor]
        with self._lock:
            then = self._there.pop(pause)
        try:
            then()
        except (RuntimeError, SystemFailureError):  # no further thread can be started
            pause.until = time.monotonic() + _AGAIN
            with self._lock:
                self._there[pause] = then
                self._added.append(pause)

    def _ended(self, bell: Bell) -> bool:
        """Whether the thread should end, since no pause was added for a while."""
        with self._lock:
            if self._there or not (self._closed or time.monotonic() >= self._quiet + LINGER):
                return False
            self._bell = self._thread = None
        self._poll.unregister(bell.descriptor)
        bell.close()
        return True
