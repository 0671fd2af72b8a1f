"""The run that a thread makes calls for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kosmolua.runtime.meter import Meter
    from kosmolua.runtime.stop import Stop


class _Caller(threading.local):
    """The run that this thread makes a call for, where it makes it for one."""

    stop: Stop | None = None
    meter: Meter | None = None

    def exempt(self) -> AbstractContextManager[None]:
        """Charge nobody for what this thread does meanwhile."""
        return self.meter.exempt() if self.meter else nullcontext()


CALLER = _Caller()


@contextmanager
def calling_for(stop: Stop | None) -> Iterator[None]:
    """What this thread calls meanwhile is for that run."""
    before, CALLER.stop = CALLER.stop, stop
    try:
        yield
    finally:
        CALLER.stop = before


class CallingFor:
    """What this thread calls inside this context is for that run, and charged to its meter. A class, since a generator
    costs a script's call three times as much.
    """

    __slots__ = ("_before", "_run")

    def __init__(self, stop: Stop, meter: Meter) -> None:
        self._run = stop, meter

    def __enter__(self) -> None:
        self._before = CALLER.stop, CALLER.meter
        CALLER.stop, CALLER.meter = self._run

    def __exit__(self, *_: object) -> None:
        CALLER.stop, CALLER.meter = self._before
