"""How an interactive child starts. It takes next to nothing of this package, so that it runs beside other imports."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.process import program

if TYPE_CHECKING:
    from kosmolua.runtime.isolate import Mode

    Begun = tuple["Page", Child]

BOOT = program("kosmolua.runtime.worker", "interactive")
LIMITS = Limits(cpu=None, output=None)
"""A person is there to interrupt; of memory there is an end in any case."""


def begin(limits: Limits = LIMITS, isolation: Mode = "standard") -> Begun:
    """A child that is starting, and what interrupts it."""
    page = Page()
    return page, child_of(page, limits, isolation)


def child_of(page: Page, limits: Limits, isolation: Mode) -> Child:
    return Child(limits, isolation, boot=BOOT, beside=(page.descriptor,))


class Page:
    """A byte of memory that the child sees as this process sets it."""

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
