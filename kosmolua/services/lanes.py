"""The lane of a call: calls in one lane run one after another, independent of other lanes."""

from __future__ import annotations

from kosmolua.replicate import catalogue

FOLLOW = "host.follow"  # waits for the next event of a stream
STDIN = "host.stdin"  # waits for input


def lane_of(function: str) -> str:
    """The lane of an API function or service, by name. The default lane is ""."""
    if function == STDIN:
        return STDIN
    operation = catalogue.STREAM if function == FOLLOW else catalogue.find(function)
    return operation.lane if operation else ""
