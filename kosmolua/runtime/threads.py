"""Starts the threads of a run, with an error message if that fails."""

from __future__ import annotations

import threading

from kosmolua.errors import failure_of


def started(thread: threading.Thread) -> threading.Thread:
    """Start the thread. Raises a `SystemFailureError` if there are too many threads, or when Python 3.12 is shutting
    down.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise failure_of(error, "cannot start a thread") from None
    return thread
