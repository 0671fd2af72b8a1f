"""Adds the operator's webhook to creates, so that the API reports their end to a server of the operator."""

from __future__ import annotations

from typing import Any

import msgspec

EVENTS = ["completed"]


def with_webhook(arguments: Any, url: str | None) -> Any:
    """The arguments of a create with that webhook, unless the caller has given one. The journal holds what the caller
    gave: a resumed run may have another address.
    """
    if url is None or getattr(arguments, "webhook", None) is not msgspec.UNSET:
        return arguments
    return msgspec.structs.replace(arguments, webhook=url, webhook_events_filter=EVENTS)
