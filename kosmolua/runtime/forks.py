"""What begins anew in a process that was forked: connections, processes and locks are the parent's, and a thread that
held one of the locks is not there.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    def before_fork(self) -> None:
        """Load what other threads may be importing: the forked process could wait for them for ever."""

    def renew(self) -> None:
        """Begin anew, in the forked process. Takes none of the old locks."""


_KNOWN: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renews(each: Renewable) -> None:
    """Renew it after each fork, as long as it lives."""
    _KNOWN.add(each)


def _before() -> None:
    for each in list(_KNOWN):
        each.before_fork()


def _after() -> None:
    for each in list(_KNOWN):
        each.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_after)
