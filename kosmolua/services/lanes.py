"""The lane of a call: calls of one lane wait for each other, and hold up no others."""

from __future__ import annotations

from kosmolua.replicate import catalogue

FOLLOW = "host.follow"  # the service that waits for the next event of a stream


def lane_of(function: str) -> str:
    """The lane of a function of the API, or of a service, by its name. The default lane is ""."""
    operation = catalogue.STREAM if function == FOLLOW else catalogue.find(function)
    return operation.lane if operation else ""
