"""Signals that end a command: the first ends it cleanly, the second at once."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in kosmolua.runtime.confine
import os
import select
import stat
from types import FrameType, TracebackType
from typing import Any, Self

from kosmolua.errors import EXIT_SIGNALED, Interrupted

ENDING = (int(_signal.SIGINT), int(_signal.SIGTERM), int(_signal.SIGHUP))
_STREAMS = (1, 2)


class Signals:
    """Within its block the first signal raises `Interrupted` in the main thread; ``number`` is then set."""

    def __init__(self, numbers: tuple[int, ...] = ENDING) -> None:
        self.number: int | None = None
        self._numbers = numbers
        self._raises = True
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
        """After the run: the first signal only changes the exit status."""
        self._raises = False

    def status(self, otherwise: int) -> int:
        """The exit status for the signal if there was one, else ``otherwise``."""
        return otherwise if self.number is None else EXIT_SIGNALED + self.number

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            _end_now(number)
        self.number = number
        _forget_lost_terminal()
        if self._raises:
            raise Interrupted(number)


def _end_now(number: int) -> None:
    """Exit without cleaning up. The script's process ends with this one."""
    os._exit(EXIT_SIGNALED + number)


def _forget_lost_terminal() -> None:
    """Redirect output from a closed terminal to the null device, so that cleaning up does not fail."""
    poll = select.poll()
    for descriptor in _STREAMS:
        poll.register(descriptor, 0)
    for descriptor, events in poll.poll(0):
        if events & (select.POLLERR | select.POLLHUP) and stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
