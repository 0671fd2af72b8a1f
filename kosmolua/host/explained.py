"""The boundary of the Python API: a failure inside becomes a `KosmoError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kosmolua.errors import KosmoError, failure_of


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Inside this context an unexpected exception is raised as the error that `failure_of` makes of it."""
    try:
        yield
    except KosmoError:
        raise
    except Exception as error:
        raise failure_of(error, doing) from error
