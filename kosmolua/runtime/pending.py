"""Requests of a script that are under way at the same time: calls on threads, sleeps on a heap. Waiting for a sleep
takes no thread.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.runtime.limits import MAX_FRAME, fixed
from kosmolua.runtime.meter import Meter

if TYPE_CHECKING:
    from kosmolua.runtime.lane import Lane
    from kosmolua.runtime.port import Clock

# Calls that are on their way at once: in a lane with a name, for calls that may be held for long, and in the common
# one, where more would only contend (at 100 ms each these few are three times what the API allows). Others wait.
THREADS, FEW_THREADS = 64, 16
MAX_OPEN = 10_000  # requests that a script may have made and not been answered
MAX_HELD = 4 * MAX_FRAME  # bytes of their arguments
Note = Callable[[], None]  # takes an answer down; notes are made in the order in which the answers are taken
PATIENCE = 5.0  # seconds in which a call that is under way may end after its run has failed
_LOOK = 0.05  # seconds after which a run that ends looks whether to wait on


class Pending:
    """What is under way, and the answers that have come. All but the calls themselves is for one thread.

    ``wake`` is called from other threads when there is something to take, also after the run has ended.
    """

    def __init__(self, clock: Clock | None = None, meter: Meter | None = None) -> None:
        self.open = 0
        self._meter = meter or Meter()
        self.wake: Callable[[], None] = nothing
        self._held = 0
        self._clock = clock
        self._arriving = threading.Lock()
        self._woken = False
        self._came: deque[tuple[bytes, int]] = deque()
        self._failures: deque[BaseException] = deque()
        self._sleeps: list[tuple[float, int, bytes, Note]] = []
        self._order = itertools.count()
        self._lanes: dict[str, Lane] = {}

    def call(self, action: Callable[[], tuple[bytes, Note]], size: int, lane: str = "") -> None:
        """Carry the action out on a thread; what it returns is an answer, what it raises is raised by `take`.

        The calls of a lane wait for each other, and for those of no other.
        """
        self._begin(size)
        (self._lanes.get(lane) or self._opened(lane)).submit(lambda: self._carry_out(action, size))

    def sleep(self, seconds: float, answer: bytes, note: Note | None = None) -> None:
        self._begin(0)
        heapq.heappush(self._sleeps, (self._now() + seconds, next(self._order), answer, note or nothing))

    def put(self, answer: bytes, note: Note | None = None) -> None:
        """An answer that is there already."""
        self._begin(0)
        self._arrive(answer, 0, note or nothing)

    def take(self) -> list[bytes]:
        """The answers that have come since the last time."""
        answers = []
        self._woken = False  # from here on who brings an answer wakes again
        if self._failures:
            raise self._failures.popleft()
        while self._sleeps and self._sleeps[0][0] <= self._now():
            _, _, answer, note = heapq.heappop(self._sleeps)
            self._arrive(answer, 0, note)
        while self._came:
            answer, size = self._came.popleft()
            self._held -= size
            answers.append(answer)
        self.open -= len(answers)
        return answers

    def timeout(self) -> float | None:
        """Seconds until there is something to take, None where only a call can bring it.

        A clock that was handed in is told to go on where nothing but sleeps is under way.
        """
        if not self._sleeps:
            return None
        left = max(0.0, self._sleeps[0][0] - self._now())
        if self._clock is None:
            return left
        if self.open == len(self._sleeps):
            self._clock.sleep(left)
            return 0.0
        return None

    def forget_sleeps(self) -> None:
        """Give up waiting for the time that is slept for."""
        self.open -= len(self._sleeps)
        self._sleeps.clear()

    def close(self, waits: Callable[[float], bool]) -> None:
        """Begin no call that has not begun, and wait for those that have, as long as ``waits`` says so of the seconds
        that were waited.
        """
        began = time.monotonic()
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.close()
        while not all(lane.join(time.monotonic() + _LOOK) for lane in lanes):
            if not waits(time.monotonic() - began):
                return

    def _opened(self, lane: str) -> Lane:
        from kosmolua.runtime.lane import Lane

        name = f"kosmolua-{lane or 'call'}"
        return self._lanes.setdefault(lane, Lane(name, THREADS if lane else FEW_THREADS, self._meter))

    def _begin(self, size: int) -> None:
        self.open += 1
        self._held += size
        if self.open > MAX_OPEN or self._held > MAX_HELD:
            raise fixed(
                "requests",
                f"the script has {self.open} requests of {self._held} bytes under way at once; "
                f"at most {MAX_OPEN} of {MAX_HELD} bytes are taken",
                "use parallel, which limits how many are under way",
                MAX_OPEN,
            )

    def _carry_out(self, action: Callable[[], tuple[bytes, Note]], size: int) -> None:
        try:
            answer, note = action()
            self._arrive(answer, size, note)
        except BaseException as error:  # noqa: BLE001 - raised where the run is served
            self._failures.append(error)
        if self._woken:
            return  # what was brought is taken with what the other brought
        self._woken = True
        self.wake()

    def _arrive(self, answer: bytes, size: int, note: Note) -> None:
        if note is nothing:  # without a note the order is nobody's business, and a lock that all take costs turns
            self._came.append((answer, size))
            return
        with self._arriving:
            note()
            self._came.append((answer, size))

    def _now(self) -> float:
        return self._clock.time() if self._clock else time.monotonic()


def nothing() -> None:
    """Nobody waits, and nothing is to be noted."""
