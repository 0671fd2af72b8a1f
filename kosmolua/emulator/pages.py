"""Pages of lists: opaque cursors, and absolute URLs of the next and previous page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall
from kosmolua.emulator.jobs import Job
from kosmolua.emulator.world import World

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
    return {
        "next": _url(call, f"n={key(shown[-1])}") if shown and start + size < len(items) else None,
        "previous": _url(call, f"p={key(shown[0])}") if shown and start > 0 else None,
        "results": [show(item) for item in shown],
    }


def newest(
    call: ApiCall, world: World, fits: Callable[[Job], bool], show: Callable[[Job], dict[str, Any]]
) -> dict[str, Any]:
    """The requested page of predictions, newest first. If all predictions match, only the returned ones are read."""
    size, order = SIZES[call.operation.name], world.order

    def before(place: int) -> Iterator[Job]:
        return filter(fits, (order[at] for at in range(place - 1, -1, -1)))

    def after(place: int) -> Iterator[Job]:
        return filter(fits, (order[at] for at in range(place + 1, len(order))))

    direction, key = _parsed(call.arguments.get("cursor"))
    if key and key not in world.predictions:
        raise problem.not_found("Invalid cursor")
    shown = list(islice(after(world.predictions[key].place), size))[::-1] if direction == "p" else []
    if len(shown) < size:
        shown = list(islice(before(world.predictions[key].place if direction == "n" else len(order)), size))
    return {
        "next": _url(call, f"n={shown[-1].id}") if shown and any(before(shown[-1].place)) else None,
        "previous": _url(call, f"p={shown[0].id}") if shown and any(after(shown[0].place)) else None,
        "results": [show(job) for job in shown],
    }


def _start(keys: list[str], cursor: str | None, size: int) -> int:
    direction, key = _parsed(cursor)
    if not direction:
        return 0
    if key not in keys:
        raise problem.not_found("Invalid cursor")
    at = keys.index(key)
    return at + 1 if direction == "n" else max(0, at - size)


def _parsed(cursor: str | None) -> tuple[str, str]:
    """The direction of a cursor and the key of its item; both empty if there is no cursor."""
    if not cursor:
        return "", ""
    try:
        direction, _, key = base64.urlsafe_b64decode(cursor).decode().partition("=")
    except (ValueError, binascii.Error) as error:
        raise problem.not_found("Invalid cursor") from error
    return "n" if direction == "n" else "p", key


def _url(call: ApiCall, cursor: str) -> str:
    kept = {name: value for name, value in call.request.args.items() if name != "cursor"}
    query = urlencode({**kept, "cursor": base64.urlsafe_b64encode(cursor.encode()).decode()})
    return f"{call.origin}{call.request.path}?{query}"
