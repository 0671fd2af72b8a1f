"""Describes what a run or command leaves at the API when it ends: running jobs, and creations without an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from kosmolua.settings.config import account_flag

MOST_TOLD = 20  # the maximum number of lines of each kind
WINDOW = 600  # the suggested list begins this many seconds before now

Job = tuple[str, str, str]
"""Kind, id and account."""


class Unfinished(Protocol):
    """What may be left at the API: fields of `kosmolua.host.result.Result` and of `kosmolua.gate.ending.Unfinished`."""

    @property
    def running(self) -> list[Job]: ...

    @property
    def not_canceled(self) -> list[tuple[str, str]]: ...

    @property
    def candidates(self) -> list[Job]: ...

    @property
    def unanswered(self) -> int: ...


def lines(left: Unfinished, *, canceled: bool) -> Iterator[str]:
    """The lines to print. With ``canceled``, only jobs that could not be canceled are named."""
    running = [] if canceled else left.running
    for job in running[:MOST_TOLD]:
        yield _cancel(job, "may still run")
    for identifier, why in left.not_canceled[:MOST_TOLD]:
        yield f"could not cancel {identifier}: {why}"
    more = max(len(running), len(left.not_canceled)) - MOST_TOLD
    if more > 0:
        yield f"and {more} more; list them: kosmo integrations:call replicate.list_predictions"
    for job in left.candidates[:MOST_TOLD]:
        yield _cancel(job, "may be what was created without an answer")
    if left.unanswered:
        yield _unanswered(left.unanswered)


def _unanswered(count: int) -> str:
    what = "a prediction or training" if count == 1 else f"{count} predictions or trainings"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - WINDOW))
    how = f"kosmo integrations:call replicate.list_predictions --created_after={since}"
    return f"{what} may have been created without an answer; list recent ones: {how}"


def _cancel(job: Job, what: str) -> str:
    kind, identifier, account = job
    how = f"kosmo integrations:call replicate.cancel_{kind} --{kind}_id {identifier}"
    return f"{kind} {identifier} {what}; cancel it: {how} --write allow{account_flag(account)}"
