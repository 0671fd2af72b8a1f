"""Runs that wait without a process: when a run has only waited for some time, its child ends. The run continues from
its journal when one of its waits is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from kosmolua.runtime.resting import Pause

if TYPE_CHECKING:
    from kosmolua.runtime.port import Port
    from kosmolua.runtime.resting import Steps
    from kosmolua.runtime.stop import Stop

AFTER = 15.0  # seconds; keeping a child this long costs less CPU time than starting and replaying a new one
SOON = 5.0  # a sleep that ends within this many seconds keeps the child
LONG = 5.0  # a sleep of more seconds does not block the loop, so that its child can end
REPLAY = 1.0  # a child that used more seconds of CPU time is kept, since each replay would use as much again

Watch = Callable[[str, bytes, Callable[[], None]], Callable[[], None] | None]
"""Gets a function's name, its arguments as MessagePack, and ``ready``. Watches for the event that the call waits for,
and calls ``ready`` when it has happened. Returns a function that ends the watch; None for a call that does not wait.
"""


class Rewinding(Protocol):
    """A journal that can be replayed again after it has grown."""

    def rewind(self) -> None:
        """Treat everything recorded so far as recorded by an earlier run."""


class Handoff:
    """Passes on one event, which may happen before its receiver is known. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_come = False
        self._then: Callable[[], None] | None = None

    def come(self) -> None:
        with self._lock:
            self._has_come, then = True, self._then
        if then:
            then()

    def give(self, then: Callable[[], None]) -> None:
        with self._lock:
            self._then, has_come = then, self._has_come
        if has_come:
            then()


class Waiting(Struct, frozen=True):
    """A waiting request: where the script made it, and for a sleep, when it ends by `time.monotonic`. If ``decision``
    is set, a person has to make the decision with that id within ``left`` seconds.
    """

    task: int
    number: int
    function: str
    arguments: bytes
    due: float | None = None
    decision: str | None = None
    left: float = 0.0


class Parking:
    """How one run parks: ``after`` that many seconds, or at once if it waits only for decisions. ``leave`` may take
    over the waits: if it returns true, the run ends as ``left``, and another process or a later command continues it.
    With ``only_asks``, the run parks only for people's decisions, and keeps its process during other waits.
    ``elsewhere`` says that another process continues the run, even after a failure.

    ``dues`` maps the position of each earlier sleep to its end, so that a replayed script does not sleep again;
    ``printed`` counts earlier prints, which are not repeated.
    """

    def __init__(
        self,
        journal: Rewinding,
        after: float = AFTER,
        *,
        leave: Callable[[list[Waiting], int], bool] | None = None,
        dues: dict[tuple[int, int], float] | None = None,
        printed: int = 0,
        elsewhere: bool = False,
    ) -> None:
        self.elsewhere = elsewhere
        self.only_asks = False
        self.after = after
        self._journal = journal
        self.dues = dues or {}
        self.printed = printed
        self.left = False
        self.times = 0
        self._leave = leave

    @property
    def can_leave(self) -> bool:
        return self._leave is not None

    def waits(self, port: Port, stop: Stop) -> Steps[bool]:
        """Pause without a child until one of the open waits has ended and is recorded. False if the run was left.
        Raises the error of ``stop`` if the run was stopped.
        """
        self.times += 1
        self.printed = max(self.printed, port.lines)
        if self._leave and self._leave(port.waiting(), self.printed):
            self.left = True
            return False
        pause = Pause()
        port.pending.wake = pause.wake
        with stop.on_set(pause.wake):
            yield from self._await(port, pause, stop)
        port.pending.drop()
        self._journal.rewind()
        return True

    def _await(self, port: Port, pause: Pause, stop: Stop) -> Steps[None]:
        got: list[Any] = []
        while not got or not port.pending.is_idle(0.0):
            stop.check()
            pause.clear()
            answers = port.pending.take()
            got += answers
            if not answers:
                left = port.pending.timeout()
                pause.until = None if left is None else time.monotonic() + left
                if port.pending.is_idle(0.0):
                    port.pending.rest()
                yield pause
