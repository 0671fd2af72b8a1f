"""The lane of a call: calls in one lane run one after another, independently of other lanes."""

from __future__ import annotations

from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import CUSTOM

FOLLOW = "host.follow"  # waits for the next event of a stream
STDIN = "host.stdin"  # waits for input


def lane_of(function: str) -> str:
    """The lane of an API function or service, by name. The default lane is "". The host's own functions have a separate
    lane, since they may block for any length of time.
    """
    if function == STDIN:
        return STDIN
    if function.startswith(CUSTOM):
        return CUSTOM
    operation = catalogue.STREAM if function == FOLLOW else catalogue.find(function)
    return operation.lane if operation else ""
