"""What a command leaves at the API when it ends early: what may still run, and what may have been created."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Protocol

from kosmolua.settings.config import DEFAULT_ACCOUNT

MOST_TOLD = 20  # of each kind
WINDOW = 600  # seconds before now that the list which is named begins

Job = tuple[str, str, str]
"""Kind, id and account."""


class Left(Protocol):
    """The part of a `kosmolua.host.script.Result` that says so."""

    @property
    def running(self) -> list[Job]: ...

    @property
    def not_canceled(self) -> list[tuple[str, str]]: ...

    @property
    def candidates(self) -> list[Job]: ...

    @property
    def unanswered(self) -> int: ...


def tell_left(left: Left, *, canceled: bool) -> None:
    """Say it on standard error. What was ``canceled`` is named only if it could not be."""
    tell_running(() if canceled else left.running, left.not_canceled)
    for kind, identifier, account in left.candidates[:MOST_TOLD]:
        _say(f"{kind} {identifier} may be what was created without an answer; cancel it: ", kind, identifier, account)
    if left.unanswered:
        tell_unanswered(left.unanswered)


def tell_running(running: Sequence[Job], not_canceled: Sequence[tuple[str, str]]) -> None:
    """What was started and not seen to end, and what could not be canceled."""
    from kosmolua.terminal.safe import safe

    for kind, identifier, account in running[:MOST_TOLD]:
        _say(f"{kind} {identifier} may still run; cancel it: ", kind, identifier, account)
    for identifier, why in not_canceled[:MOST_TOLD]:
        print(safe(f"kosmo: could not cancel {identifier}: {why}"), file=sys.stderr)
    more = max(len(running), len(not_canceled)) - MOST_TOLD
    if more > 0:
        print(f"kosmo: and {more} more; look: kosmo integrations:call replicate.list_predictions", file=sys.stderr)


def tell_unanswered(count: int) -> None:
    what = "a prediction or training" if count == 1 else f"{count} predictions or trainings"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - WINDOW))
    how = f"kosmo integrations:call replicate.list_predictions --created_after={since}"
    print(f"kosmo: {what} may have been created without an answer; look: {how}", file=sys.stderr)


def _say(text: str, kind: str, identifier: str, account: str) -> None:
    from kosmolua.terminal.safe import safe

    how = f"kosmo integrations:call replicate.cancel_{kind} --{kind}_id {identifier}"
    where = "" if account == DEFAULT_ACCOUNT else f" --account {account}"
    print(safe(f"kosmo: {text}{how}{where}"), file=sys.stderr)
