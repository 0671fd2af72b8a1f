"""Adds the operator's webhook to create calls, so that the API notifies the operator's server when a job ends."""

from __future__ import annotations

from typing import Any

import msgspec

EVENTS = ["completed"]


def with_webhook(arguments: Any, url: str | None) -> Any:
    """The arguments of a create call with the webhook ``url``, unless the caller has set a webhook. The journal holds
    the caller's arguments, since a resumed run may have another webhook URL.
    """
    if url is None or getattr(arguments, "webhook", None) is not msgspec.UNSET:
        return arguments
    return msgspec.structs.replace(arguments, webhook=url, webhook_events_filter=EVENTS)
