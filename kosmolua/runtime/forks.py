"""Resets objects in a forked process, since their connections, child processes and locks belong to the parent.

A lock may be held by a thread that does not exist in the forked process.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    def before_fork(self) -> None:
        """Import everything now, since the forked process could deadlock on an import lock that another thread held."""

    def renew(self) -> None:
        """Reset the object in the forked process, without taking any of the old locks."""


_REGISTERED: weakref.WeakSet[Renewable] = weakref.WeakSet()


def register(each: Renewable) -> None:
    """Call the object's methods before and after each fork, as long as the object exists."""
    _REGISTERED.add(each)


def _before() -> None:
    for each in list(_REGISTERED):
        each.before_fork()


def _after() -> None:
    for each in list(_REGISTERED):
        each.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_after)
