"""File descriptors: how many a run needs, and the error when none are left."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kosmolua.errors import NONE_LEFT, RAISE_LIMIT, ConfigurationError, KosmoError, UncertainError

FOR_A_RUN = 24  # descriptors of one run: pipes, process, journal, connections
SPARE = 128  # descriptors for the program itself
_MOST = 65_536
_SQLITE = ("unable to open database file", "disk I/O error")  # SQLite's messages when no descriptor is left


def make_room(runs: int) -> None:
    """Raise this process's soft limit to the hard limit if that many concurrent runs need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most and FOR_A_RUN * runs + SPARE > soft:
        with suppress(OSError, ValueError):  # the run then fails, and `explained` says why
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def explained(runs: int = 1) -> Iterator[None]:
    """Turn an error caused by too few descriptors into a `ConfigurationError` with a hint. ``runs`` is the number of
    current runs.
    """
    try:
        yield
    except (OSError, KosmoError) as error:
        explanation = explanation_of(error, runs)
        if explanation is None:
            raise
        raise explanation from error


def explanation_of(error: OSError | KosmoError, runs: int = 1) -> ConfigurationError | None:
    """The error that `explained` raises; None for an error with another cause, or one that says that a write may have
    happened.
    """
    if isinstance(error, UncertainError) or not _is_exhaustion(error, runs):
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ConfigurationError(
        f"no file descriptors left: the limit of this process is {soft}, and each run needs up to {FOR_A_RUN}",
        hint=RAISE_LIMIT,
    )


def _is_exhaustion(error: OSError | KosmoError, runs: int) -> bool:
    if getattr(error, "errno", None) in NONE_LEFT or os.strerror(errno.EMFILE) in str(error):
        return True
    return any(words in str(error) for words in _SQLITE) and _are_few_left(runs)


def _are_few_left(runs: int) -> bool:
    """Whether few descriptors are left, estimated from the lowest free one: other threads may have closed some since
    the error.
    """
    try:
        lowest = os.open("/", os.O_RDONLY)
    except OSError as error:
        return error.errno in NONE_LEFT
    os.close(lowest)
    return max(lowest, runs * FOR_A_RUN) + FOR_A_RUN > resource.getrlimit(resource.RLIMIT_NOFILE)[0]
