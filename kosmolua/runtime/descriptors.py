"""File descriptors: how many runs need, and what to say where there are no more."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kosmolua.errors import ConfigurationError, KosmoError

FOR_A_RUN = 24  # pipes, its process, its journal, its connections
SPARE = 128  # for the program itself
_MOST = 65_536
_SQLITE = ("unable to open database file", "disk I/O error")  # how it says that there was none
_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})


def make_room(runs: int) -> None:
    """Raise this process's soft limit to its hard one, where so many runs at once need that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most and FOR_A_RUN * runs + SPARE > soft:
        with suppress(OSError, ValueError):  # then the run says that there are too few
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def explained(runs: int = 1) -> Iterator[None]:
    """Raise a `ConfigurationError` that says what to do where something failed for want of a descriptor. ``runs`` is
    how many there are by now.
    """
    try:
        yield
    except (OSError, KosmoError) as error:
        if not _for_want_of_one(error, runs):
            raise
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        raise ConfigurationError(
            f"no file descriptor is left: this process may have {soft} open at once, and a run needs up to {FOR_A_RUN}",
            hint="raise the limit before the program starts (ulimit -n 8192), or run fewer scripts at once",
        ) from error


def _for_want_of_one(error: OSError | KosmoError, runs: int) -> bool:
    if getattr(error, "errno", None) in _NONE_LEFT or os.strerror(errno.EMFILE) in str(error):
        return True
    return any(words in str(error) for words in _SQLITE) and _are_few_left(runs)


def _are_few_left(runs: int) -> bool:
    """Other threads may have closed some since. The lowest that is free is given first."""
    try:
        lowest = os.open("/", os.O_RDONLY)
    except OSError as error:
        return error.errno in _NONE_LEFT
    os.close(lowest)
    return max(lowest, runs * FOR_A_RUN) + FOR_A_RUN > resource.getrlimit(resource.RLIMIT_NOFILE)[0]
