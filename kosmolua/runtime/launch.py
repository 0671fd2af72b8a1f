"""Starts an interactive child. Imports little of this package, so that the child can start before the other imports."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.process import program

if TYPE_CHECKING:
    from kosmolua.runtime.isolate import Mode

    InteractiveChild = tuple["InterruptFlag", Child]

BOOT = program("kosmolua.runtime.worker", "interactive")
LIMITS = Limits(cpu=None, output=None)
"""The limits of interactive inputs: a person can interrupt them, so only memory is limited."""


def launch(limits: Limits = LIMITS, isolation: Mode = "standard", cache: str | None = None) -> InteractiveChild:
    """Start a child, with a flag that interrupts its inputs. ``cache`` is the same as in `Child`."""
    flag = InterruptFlag()
    return flag, start_child(flag, limits, isolation, cache)


def start_child(flag: InterruptFlag, limits: Limits, isolation: Mode, cache: str | None = None) -> Child:
    return Child(limits, isolation, boot=BOOT, beside=(flag.descriptor,), cache=cache)


class InterruptFlag:
    """A byte of memory shared with the child."""

    def __init__(self) -> None:
        self.descriptor = _memory_file()
        os.ftruncate(self.descriptor, mmap.PAGESIZE)
        self._memory = mmap.mmap(self.descriptor, mmap.PAGESIZE)

    def get(self) -> int:
        return self._memory[0]

    def set(self, value: int) -> None:
        self._memory[0] = value

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("kosmolua-interrupt")
    import tempfile

    with tempfile.TemporaryFile(prefix="kosmolua-") as file:
        return os.dup(file.fileno())
