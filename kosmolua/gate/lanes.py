"""Which calls of a run wait for each other, and hold up no others."""

from __future__ import annotations


def lane_of(function: str) -> str:
    """The lane of a function, by its name: creates, which the API may hold back, and streams, which may say nothing for
    long, have one of their own.
    """
    if function == "host.follow":
        return "stream"
    return "create" if function.startswith("create_") else ""
