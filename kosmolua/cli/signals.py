"""Signals that end a command: the first ends it cleanly, a later one at once."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in kosmolua.runtime.confine
import os
import select
import stat
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from kosmolua.errors import EXIT_SIGNALED, Interrupted

ENDING = (int(_signal.SIGINT), int(_signal.SIGTERM), int(_signal.SIGHUP))
_STREAMS = (1, 2)
_SAME = 0.1  # seconds; timeout(1) signals the process and then its group, which is one request to end
_AT_ONCE = b"kosmo: ended at once; predictions may still be running: kosmo predictions list\n"


class Signals:
    """Within its block the first signal raises `Interrupted` in the main thread; ``number`` is then set."""

    def __init__(self, numbers: tuple[int, ...] = ENDING) -> None:
        self.number: int | None = None
        self._numbers = numbers
        self._raises = True
        self._at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._numbers:
            before = _signal.getsignal(number)
            if before != _signal.SIG_IGN:  # set by nohup and for background jobs
                self._before[number] = before
                _signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            _signal.signal(number, before)

    def hold(self) -> None:
        """Call this after the run: from then on, the first signal only changes the exit status."""
        self._raises = False

    def status(self, otherwise: int) -> int:
        """The exit status for the received signal; without one, ``otherwise``."""
        return otherwise if self.number is None else EXIT_SIGNALED + self.number

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            if number != self.number or time.monotonic() - self._at >= _SAME:
                _end_now(number)
            return
        self.number, self._at = number, time.monotonic()
        _forget_lost_terminal()
        if self._raises:
            raise Interrupted(number)


def _end_now(number: int) -> None:
    """Exit without cleaning up. The script process ends with this process."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if any(events & select.POLLOUT for _, events in poll.poll(0)):  # a full pipe must not delay the end
        with suppress(OSError):
            os.write(2, _AT_ONCE)
    os._exit(EXIT_SIGNALED + number)


def _forget_lost_terminal() -> None:
    """Redirect output from a closed terminal to the null device, so that cleaning up does not fail."""
    poll = select.poll()
    for descriptor in _STREAMS:
        poll.register(descriptor, 0)
    for descriptor, events in poll.poll(0):
        if events & (select.POLLERR | select.POLLHUP) and stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
