"""Concurrent requests of a script: calls run in threads, sleeps wait in a heap and need no thread."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.runtime.limits import MAX_FRAME, fixed
from kosmolua.runtime.meter import Meter

if TYPE_CHECKING:
    from kosmolua.runtime.frames import Clock
    from kosmolua.runtime.lane import Lane

# The maximum number of concurrent calls: in a named lane, for calls that may block for long, and in the common lane,
# where more threads would only contend (with calls of 100 ms, 16 threads send three times the requests that the API
# allows). Further calls are queued.
THREADS, FEW_THREADS = 64, 16
MAX_OPEN = 10_000  # the maximum number of open requests of a script
MAX_HELD = 4 * MAX_FRAME  # the maximum bytes of their arguments
Watch = Callable[[Callable[[], None]], Callable[[], None]]
Note = Callable[[], None]  # records an answer; called in the order of answers
PATIENCE = 5.0  # seconds that running calls may take after their run has failed
_LOOK = 0.05  # seconds between calls of ``waits``


class Waits(Exception):  # noqa: N818 - not an error
    """Raised by a request about which a person has to decide first. The request is carried out again when ``watch``
    calls its callback, from any thread. The decision ``identifier`` is due within ``left`` seconds.
    """

    def __init__(self, identifier: str, left: float, watch: Watch) -> None:
        super().__init__(identifier)
        self.identifier = identifier
        self.left = left
        self.watch = watch


class _Waiting:
    """A call that starts when the event that it waits for has happened. ``leave`` ends the watch for that event."""

    def __init__(self, action: Callable[[], tuple[bytes, Note]], size: int, lane: str) -> None:
        self.action = action
        self.size = size
        self.lane = lane
        self.leave: Callable[[], None] = nothing


class Pending:
    """The open requests, and the answers that have arrived. Except for the calls themselves, everything must run in one
    thread. ``wake`` is called from other threads when there is an answer to take, even after the run has ended.
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
        self._sleeps: list[tuple[float, int, Callable[[], None]]] = []  # sleeps: when each ends, and what it then does
        self._order = itertools.count()
        self._delayed: dict[int, tuple[Callable[[], tuple[bytes, Note]], int, str]] = {}  # calls that have not begun
        self._canceled = 0  # canceled sleeps of delayed calls
        self._lanes: dict[str, Lane] = {}
        self._waiting: set[_Waiting] = set()
        self._ready: deque[_Waiting] = deque()

    def call(self, action: Callable[[], tuple[bytes, Note]], size: int, lane: str = "") -> None:
        """Run the action in a thread. It returns an answer; `take` raises its exception.

        Calls queue only behind other calls of their lane.
        """
        self._begin(size)
        self._submit(action, size, lane)

    def call_later(
        self,
        watch: Watch,
        action: Callable[[], tuple[bytes, Note]],
        size: int,
        lane: str = "",
    ) -> None:
        """Run the action in a thread when ``watch`` calls its callback, from any thread. Until then no thread is in
        use. ``watch`` returns a function that ends the watch.
        """
        self._begin(size)
        self._watch(watch, _Waiting(action, size, lane))

    def call_after(
        self, seconds: float, identifier: int, action: Callable[[], tuple[bytes, Note]], size: int, lane: str = ""
    ) -> None:
        """Run the action in a thread after that time, unless the call is canceled before."""
        self._begin(size)
        self._delayed[identifier] = action, size, lane
        self._rest(seconds, lambda: self._begin_delayed(identifier))

    def cancel(self, identifier: int, answer: bytes) -> None:
        """Cancel a delayed call that has not begun, with this answer. Calls that have begun are not canceled."""
        found = self._delayed.pop(identifier, None)
        if found:
            self._canceled += 1
            self._arrive(answer, found[1], nothing)

    def sleep(self, seconds: float, answer: bytes, note: Note | None = None) -> None:
        self._begin(0)
        self._rest(seconds, lambda: self._arrive(answer, 0, note or nothing))

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        from heapq import heappush  # imported late: few runs sleep

        heappush(self._sleeps, (self._now() + seconds, next(self._order), then))

    def put(self, answer: bytes, note: Note | None = None) -> None:
        """Add an answer."""
        self._begin(0)
        self._arrive(answer, 0, note or nothing)

    def take(self) -> list[bytes]:
        """The answers since the last call."""
        answers = []
        self._woken = False  # the next answer calls ``wake`` again
        if self._failures:
            raise self._failures.popleft()
        while self._ready:
            self._start(self._ready.popleft())
        if self._sleeps:
            self._end_sleeps()
        while self._came:
            answer, size = self._came.popleft()
            self._held -= size
            answers.append(answer)
        self.open -= len(answers)
        return answers

    def is_idle(self, seconds: float) -> bool:
        """Whether all open requests are waits, and no sleep ends within that many seconds."""
        waits = self.open == self._asleep + len(self._waiting)
        return waits and not self._ready and (not self._sleeps or self._sleeps[0][0] - self._now() > seconds)

    def rest(self) -> None:
        """End the threads for calls. No call may be running. The next call starts new threads."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.close()

    def drop(self) -> None:
        """Discard the requests that only wait."""
        while self._waiting:
            self._waiting.pop().leave()
        self._ready.clear()
        self._forget()

    def _end_sleeps(self) -> None:
        from heapq import heappop

        now = self._now()
        while self._sleeps and self._sleeps[0][0] <= now:
            heappop(self._sleeps)[2]()

    @property
    def _asleep(self) -> int:
        """The number of open sleeps."""
        return len(self._sleeps) - self._canceled

    def _forget(self) -> None:
        self._sleeps.clear()
        self._delayed.clear()
        self._canceled = 0

    def timeout(self) -> float | None:
        """Seconds until the next sleep ends; None if there is no sleep to wait for.

        An injected clock is advanced if only sleeps are open.
        """
        if not self._sleeps:
            return None
        left = max(0.0, self._sleeps[0][0] - self._now())
        if self._clock is None:
            return left
        if self.open == self._asleep:
            self._clock.sleep(left)
            return 0.0
        return None

    def forget_sleeps(self) -> None:
        """Discard all open sleeps and delayed calls."""
        self.open -= self._asleep
        self._held -= sum(size for _, size, _ in self._delayed.values())
        self._forget()

    def close(self, waits: Callable[[float], bool]) -> None:
        """Start no further calls. Wait for running ones as long as ``waits``, given the seconds waited so far, returns
        true.
        """
        began = time.monotonic()
        self.drop()
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.close()
        while not all(lane.join(time.monotonic() + _LOOK) for lane in lanes):
            if not waits(time.monotonic() - began):
                return

    def _watch(self, watch: Watch, waiting: _Waiting) -> None:
        self._waiting.add(waiting)
        waiting.leave = watch(lambda: self._has_come(waiting))

    def _has_come(self, waiting: _Waiting) -> None:
        """Start the call, since its event has happened. Called by the watch, from any thread."""
        self._ready.append(waiting)
        self.wake()

    def _start(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting.leave()
            self._submit(waiting.action, waiting.size, waiting.lane)

    def _begin_delayed(self, identifier: int) -> None:
        found = self._delayed.pop(identifier, None)
        if found is None:
            self._canceled -= 1
        else:
            self._submit(*found)

    def _submit(self, action: Callable[[], tuple[bytes, Note]], size: int, lane: str) -> None:
        (self._lanes.get(lane) or self._opened(lane)).submit(lambda: self._carry_out(action, size, lane))

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
                f"the script has {self.open} open requests with {self._held} bytes; "
                f"the maximum is {MAX_OPEN} with {MAX_HELD} bytes",
                "use parallel, which limits concurrent requests",
                MAX_OPEN,
            )

    def _carry_out(self, action: Callable[[], tuple[bytes, Note]], size: int, lane: str) -> None:
        try:
            answer, note = action()
            self._arrive(answer, size, note)
        except Waits as waits:
            self._watch(waits.watch, _Waiting(action, size, lane))
        except BaseException as error:  # noqa: BLE001 - raised where the run is served
            self._failures.append(error)
        if self._woken:
            return  # the waiting thread takes this answer too
        self._woken = True
        self.wake()

    def _arrive(self, answer: bytes, size: int, note: Note) -> None:
        if note is nothing:  # the order does not matter without a note; a shared lock costs time
            self._came.append((answer, size))
            return
        with self._arriving:
            note()
            self._came.append((answer, size))

    def _now(self) -> float:
        return self._clock.time() if self._clock else time.monotonic()


def nothing() -> None:
    """Do nothing: no thread waits, or there is nothing to record."""
