"""Threads of a run, and the error if the system gives none."""

from __future__ import annotations

import threading

from kosmolua.errors import failure_of


def started(thread: threading.Thread) -> threading.Thread:
    """Start it. Raises a `SystemFailureError` if there are too many, or in Python 3.12 if the interpreter is ending."""
    try:
        thread.start()
    except RuntimeError as error:
        raise failure_of(error, "cannot start a thread") from None
    return thread
