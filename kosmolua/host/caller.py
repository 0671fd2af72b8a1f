"""The run for which a thread makes calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from kosmolua.gate.nesting import DEPTH

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter
    from kosmolua.runtime.stop import Stop


class _Caller(threading.local):
    """The run for which this thread makes a call, if any."""

    stop: Stop | None = None
    meter: Meter | None = None

    def exempt(self) -> AbstractContextManager[None]:
        """Inside this context, do not charge the thread's CPU time to a run."""
        return self.meter.exempt() if self.meter else nullcontext()


CALLER = _Caller()


@contextmanager
def calling_for(stop: Stop | None) -> Iterator[None]:
    """Inside this context, this thread's calls are made for that run."""
    before, CALLER.stop = CALLER.stop, stop
    try:
        yield
    finally:
        CALLER.stop = before


class CallingFor:
    """Inside this context, this thread's calls are made for that run and charged to its meter. ``depth`` is the nesting
    depth of the run, which grows when one of the host's functions starts another run. This is a class because a
    generator takes three times as long per call (measured).
    """

    __slots__ = ("_before", "_depth", "_run", "_token")

    def __init__(self, stop: Stop, meter: Meter, depth: int) -> None:
        self._run = stop, meter
        self._depth = depth

    def __enter__(self) -> None:
        self._before = CALLER.stop, CALLER.meter
        CALLER.stop, CALLER.meter = self._run
        self._token = DEPTH.set(self._depth)

    def __exit__(self, *_: object) -> None:
        CALLER.stop, CALLER.meter = self._before
        DEPTH.reset(self._token)
