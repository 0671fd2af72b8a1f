"""Enforces the limits of a run from outside the child.

The child also limits itself, more precisely; but the watchdog works even if the child is compromised.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.errors import failure_of
from kosmolua.runtime.confine import HEADROOM
from kosmolua.runtime.limits import Limits, reached, silent
from kosmolua.runtime.meter import Meter
from kosmolua.runtime.process import resident_bytes
from kosmolua.runtime.threads import started

if TYPE_CHECKING:
    from types import TracebackType

    from kosmolua.errors import KosmoError, LimitError
    from kosmolua.runtime.isolate import Child
    from kosmolua.runtime.port import Port
    from kosmolua.runtime.stop import Stop

TICK = 0.1  # seconds between checks
# Seconds of CPU beyond the limit: the child's own count excludes its start. Lua's check, which reports the line, should
# come first, then the child's timer.
GRACE = 0.35


class Watchdog:
    """Checks a run until it ends, in a separate thread. CPU time counted by the ``meter`` counts against the limit.

    It ends the run through ``stop``, if given, so that all threads of the run get the reason.
    """

    def __init__(
        self,
        limits: Limits,
        port: Port,
        child: Child | None,
        *,
        stop: Stop | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._stop = stop
        self._meter = meter or Meter()
        self._limits = limits
        self._port = port
        self._child = child
        self._deadline = time.monotonic() + limits.time if limits.time is not None else None
        self._over = threading.Event()
        self._silent = 0.0
        self._seen: tuple[int, float] = (0, 0.0)

    def __enter__(self) -> None:
        """Watch in a thread. A run exits this context when it pauses, and enters it again when it continues."""
        if self._child or self._deadline or self._limits.cpu is not None:
            over = self._over = threading.Event()
            started(threading.Thread(target=self._watch, args=(over,), name="kosmolua-watchdog", daemon=True))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()

    @property
    def deadline(self) -> float | None:
        """When the run has to end, by `time.monotonic`; None without a time limit."""
        return self._deadline

    def look(self) -> None:
        """Check the limits once, while the run is paused."""
        self._guard(self._finding)

    def _watch(self, over: threading.Event) -> None:
        self._guard(lambda: self._awaited(over))

    def _guard(self, check: Callable[[], KosmoError | None]) -> None:
        """End the run if the check finds a reason."""
        try:
            error = check()
        except Exception as fault:  # noqa: BLE001 - a run without limits must not continue
            error = failure_of(fault, "checking the limits of the run")
        if error:
            self._port.stop(error)
            if self._child:
                self._child.kill()
            if self._stop:
                self._stop.set(error)  # nothing more is sent for the run

    def _awaited(self, over: threading.Event) -> KosmoError | None:
        """The error for the limit that was reached; None if the run ended or paused before."""
        while not over.wait(self._pause()):
            error = self._finding()
            if error:
                return error
        return None

    def _pause(self) -> float:
        left = self._deadline - time.monotonic() if self._deadline else TICK
        return max(0.0, min(TICK, left))

    def _finding(self) -> LimitError | None:
        limits, child = self._limits, self._child
        if self._deadline and time.monotonic() >= self._deadline:
            return reached("time", limits)
        cpu = processor_seconds(child.pid) if child else 0.0
        host = self._meter.seconds
        most = None if limits.cpu is None else limits.cpu + GRACE
        if most is not None and (cpu + host > most or (child and host > most - GRACE)):
            return reached("cpu", limits)
        if not child:
            return None
        if limits.memory is not None and resident_bytes(child.pid) > HEADROOM + 2 * limits.memory:
            return reached("memory", limits)
        return self._silence(child, cpu)

    def _silence(self, child: Child, cpu: float) -> LimitError | None:
        """The error for an unresponsive child. Silence is counted in checks, not by the clock, since this process may
        itself have been suspended.
        """
        seen = (child.turns, cpu)
        self._silent = self._silent + TICK if child.has_turn and seen == self._seen else 0.0
        self._seen = seen
        over = self._limits.silence is not None and self._silent >= self._limits.silence
        return silent(self._limits) if over else None


def processor_seconds(pid: int) -> float:
    """The CPU time of a process, or 0 if the system does not provide it."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # the clock id of a process's CPU time on Linux
    except OSError:
        return 0.0
