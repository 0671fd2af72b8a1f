"""Pages of lists: opaque cursors, and absolute URLs of the next and previous page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall

Item = TypeVar("Item")
SIZES = {"list_predictions": 100, "list_trainings": 100}
USUAL_SIZE = 25


def page(
    call: ApiCall, items: Sequence[Item], key: Callable[[Item], str], show: Callable[[Item], dict[str, Any]]
) -> dict[str, Any]:
    """The requested page of ``items``. A cursor names an item, so that new items do not shift it."""
    size = SIZES.get(call.operation.name, USUAL_SIZE)
    start = _start([key(item) for item in items], call.arguments.get("cursor"), size)
    shown = items[start : start + size]
    after, before = start + size < len(items), start > 0
    return {
        "next": _url(call, f"n={key(shown[-1])}") if shown and after else None,
        "previous": _url(call, f"p={key(shown[0])}") if shown and before else None,
        "results": [show(item) for item in shown],
    }


def _start(keys: list[str], cursor: str | None, size: int) -> int:
    if not cursor:
        return 0
    try:
        direction, _, key = base64.urlsafe_b64decode(cursor).decode().partition("=")
        at = keys.index(key)
    except (ValueError, binascii.Error) as error:
        raise problem.not_found("Invalid cursor") from error
    return at + 1 if direction == "n" else max(0, at - size)


def _url(call: ApiCall, cursor: str) -> str:
    kept = {name: value for name, value in call.request.args.items() if name != "cursor"}
    query = urlencode({**kept, "cursor": base64.urlsafe_b64encode(cursor.encode()).decode()})
    return f"{call.origin}{call.request.path}?{query}"
