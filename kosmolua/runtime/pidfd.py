"""Process descriptors. Unlike a process id, which may be reused, a descriptor never refers to another process."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # as in kosmolua.runtime.confine
import os
import select
from contextlib import suppress


def opened(pid: int) -> int | None:
    """A descriptor of a child that was just started; None if the system does not support it or the child is gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def is_dead(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether the process ends within ``seconds``."""
    dead = select.poll()
    dead.register(descriptor, select.POLLIN)
    return bool(dead.poll(seconds * 1000))


def kill(descriptor: int) -> None:
    with suppress(ProcessLookupError):
        _signal.pidfd_send_signal(descriptor, _signal.SIGKILL)
