"""A process by a descriptor that means no other process than this, also after somebody else has waited for it."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


def opened(pid: int) -> int | None:
    """The descriptor of a child that was just started; None where the system has none, or where the child is gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def is_dead(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether it has ended, within so many seconds."""
    dead = select.poll()
    dead.register(descriptor, select.POLLIN)
    return bool(dead.poll(seconds * 1000))


def kill(descriptor: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
