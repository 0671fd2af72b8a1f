"""Lets the API tell a server of the operator's when something that was created has ended."""

from __future__ import annotations

from typing import Any

import msgspec

from kosmolua.replicate.catalogue import Operation

EVENTS = ["completed"]


def with_webhook(operation: Operation, arguments: Any, url: str | None) -> Any:
    """The arguments with that webhook, if the operation takes one and the caller has given none. The journal holds
    what the caller gave: a resumed run may have another address.
    """
    if url is None or not operation.starts or getattr(arguments, "webhook", None) is not msgspec.UNSET:
        return arguments
    return msgspec.structs.replace(arguments, webhook=url, webhook_events_filter=EVENTS)
