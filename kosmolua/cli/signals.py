"""Signals that ask a command to end: the first ends it in good order, the second at once."""

from __future__ import annotations

import os
import select
import signal
import stat
from types import FrameType, TracebackType
from typing import Any, Self

from kosmolua.errors import EXIT_SIGNALED, Interrupted

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STREAMS = (1, 2)


class Signals:
    """Within its block the first of the signals raises `Interrupted` in the main thread. ``number`` is which it was."""

    def __init__(self, numbers: tuple[signal.Signals, ...] = ENDING) -> None:
        self.number: int | None = None
        self._numbers = numbers
        self._raises = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._numbers:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:  # as nohup and shells want it that start something in the background
                self._before[number] = before
                signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def hold(self) -> None:
        """The run is over: from here on the first signal is noted, and changes the exit status alone."""
        self._raises = False

    def status(self, otherwise: int) -> int:
        """The exit status: that of the signal which ended the command, where one did."""
        return otherwise if self.number is None else EXIT_SIGNALED + self.number

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            _end_now(number)
        self.number = number
        _forget_lost_terminal()
        if self._raises:
            raise Interrupted(number)


def _end_now(number: int) -> None:
    """Nothing more is waited for, told or canceled. The script's process ends with this one."""
    os._exit(EXIT_SIGNALED + number)


def _forget_lost_terminal() -> None:
    """Write to nowhere what a terminal that is gone would refuse: what is left to do is done all the same."""
    poll = select.poll()
    for descriptor in _STREAMS:
        poll.register(descriptor, 0)
    for descriptor, events in poll.poll(0):
        if events & (select.POLLERR | select.POLLHUP) and stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
