"""The page with the workers that use the database."""

from __future__ import annotations

from collections.abc import Sequence

from kosmolua.console.layout import empty, table, when
from kosmolua.page.details import badge
from kosmolua.page.markup import Html, fill
from kosmolua.worker.overview import WorkerRow

_HEADS = ("Worker", "State", "Runs", "Lease", "Began", "Version")


def content(found: Sequence[WorkerRow], now: float) -> list[Html]:
    head = Html(
        '<div class="head"><h1>Workers</h1></div>\n<p class="note">Each worker executes runs in its slots. If '
        "a worker's lease expires, other workers take over its runs.</p>\n"
    )
    if not found:
        return [head, empty("No workers", "Runs wait until a worker starts:", "kosmo worker")]
    rows = [
        (
            fill("<code>{}:{}</code>", each.host, each.pid),
            badge(each.state),
            f"{each.runs} of {each.slots}",
            f"{each.lease:.0f} s left" if each.lease > 0 else "ended",
            when(each.began, now),
            each.version,
        )
        for each in found
    ]
    return [head, table("workers", "Workers, oldest first", _HEADS, rows)]
