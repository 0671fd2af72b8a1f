"""Threads of a run, and what is said where the system gives none."""

from __future__ import annotations

import threading

from kosmolua.errors import SystemFailureError


def started(thread: threading.Thread) -> threading.Thread:
    """Start it. Raises a `SystemFailureError` at the interpreter's end, from Python 3.12 on, or if there are too many
    threads.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise SystemFailureError(
            f"cannot start a thread: {error}",
            hint="run scripts before the program ends, not in atexit; otherwise check ulimit -u and the memory",
        ) from None
    return thread
