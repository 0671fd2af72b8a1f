"""What a run's page shows, from the rows of the run's journal: calls, predictions, cost and printed text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kosmolua.console.pages.run import RunView
from kosmolua.errors import KosmoError
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.entry import Entry
from kosmolua.journal.cassette import cleaned
from kosmolua.journal.journal import spent
from kosmolua.journal.records import operation_of
from kosmolua.page.details import figures
from kosmolua.services.progress import Progress, as_text
from kosmolua.worker import approvals, overview
from kosmolua.worker.overview import LIVE, ApiCall, Detail
from kosmolua.worker.store import PostgresStore

if TYPE_CHECKING:
    from kosmolua.replicate.prices import Prices
    from kosmolua.worker.database import Database

MAX_CALLS = 300  # the maximum number of calls on a page
MAX_JOBS = 60  # the maximum number of jobs on a page, with inputs and outputs
MAX_VALUE = 65_536  # arguments and answers of more bytes are not read
MAX_RESULTS = 262_144  # the maximum bytes of results on a page
MAX_QUESTIONS = 20
MAX_PRINTS = 2_000
MAX_PRINTED = 65_536  # the maximum bytes of printed text on a page
_SAME = (
    "id",
    "key",
    "script",
    "account",
    "emulated",
    "submitted_by",
    "state",
    "began",
    "ended",
    "wakes",
    "waits",
    "worker",
    "error",
)
MAX_COSTED = 2_000  # calls whose cost is computed for a page


def shown(database: Database, detail: Detail, prices: Prices, now: float) -> RunView:
    """The run in the form that its page shows."""
    progress = followed(overview.api_calls(database, detail.id, MAX_CALLS, MAX_VALUE), detail.account, now)
    earlier = overview.count_of_calls(database, detail.id) - MAX_CALLS
    prints, skipped = ending(overview.printed(database, detail.id, MAX_PRINTS, MAX_PRINTED))
    same = {name: getattr(detail, name) for name in _SAME}
    return RunView(
        **same,
        args=arguments_of(detail),
        results=results_of(detail),
        caps=caps_of(detail),
        calls=progress.calls,
        jobs=progress.jobs[-MAX_JOBS:],
        more_jobs=max(0, len(progress.jobs) - MAX_JOBS),
        figures=figures_of(database, detail, prices, now),
        questions=approvals.listed(database, run=detail.id, limit=MAX_QUESTIONS) if detail.state in LIVE else [],
        earlier=max(0, earlier),
        prints=prints,
        skipped=skipped,
    )


def followed(calls: list[ApiCall], account: str, now: float) -> Progress:
    """The calls and predictions, as a session would have recorded them. Values that look secret are masked."""
    moment = now
    progress = Progress(keep=True, clock=lambda: moment)
    for call in calls:
        operation = operation_of(call.function)
        if operation is None:
            continue
        moment = call.ended if call.ended is not None else now
        given, answer = _plain(call.arguments), _plain(call.answer)
        error = KosmoError(str(answer.get("message", ""))) if call.state != "ok" else None
        entry = Entry(
            call.function,
            call.account or account,
            operation.access,
            call.at,
            outcome="ok" if call.state == "ok" else call.state,
            code=_code(answer) if error else None,
            duration_ms=max(0.0, moment - call.at) * 1000,
        )
        progress.ended(entry, operation, given, answer, error if error and error.message else None)
    return progress


def _plain(data: bytes | None) -> dict[str, Any]:
    """Decode a table from a journal, without secrets and control characters. Empty if the data is not a table, since
    other programs may have written it.
    """
    try:
        found = cleaned(msgspec.msgpack.decode(data)) if data else None
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _code(answer: dict[str, Any]) -> str | None:
    code = answer.get("code")
    return code[:100] if isinstance(code, str) else None


def arguments_of(detail: Detail) -> list[str]:
    """The script's arguments."""
    if detail.args is None:
        return ["… (too long to show)"]
    try:
        return msgspec.msgpack.decode(detail.args, type=list[str])
    except msgspec.MsgspecError:
        return ["… (not readable)"]


def caps_of(detail: Detail) -> Caps:
    try:
        return msgspec.msgpack.decode(detail.caps, type=Caps) if detail.caps else Caps()
    except (msgspec.MsgspecError, KosmoError):
        return Caps()


def results_of(detail: Detail) -> str | None:
    """The returned values as text; None if there are none."""
    if detail.results_size is None:
        return None
    if detail.results is None:
        return f"{detail.results_size} bytes; to see them: kosmo runs show {detail.id} --database --json"
    try:
        found = cleaned(msgspec.msgpack.decode(detail.results))
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
        return "not readable"
    only = found[0] if isinstance(found, list) and len(found) == 1 else found
    return as_text(only) if found not in ([], None) else "none"


def figures_of(database: Database, detail: Detail, prices: Prices, now: float) -> list[str]:
    """What the run did and what it cost, in words."""
    if not 0 < detail.sent <= MAX_COSTED:
        return [f"{detail.sent} calls"] if detail.sent else []
    until = detail.ended if detail.ended is not None else now
    budget = Budget(prices=None if detail.emulated else prices, clock=lambda: until)
    store = PostgresStore(database, detail.id)
    try:
        with store.hold():
            spent(store, budget, now=until)
    except (KosmoError, msgspec.MsgspecError):
        return [f"{detail.sent} calls", "cost unreadable"]
    return list(figures(budget.spent(), budget.guessed()))


def ending(prints: list[tuple[int, bytes]], most: int = MAX_PRINTED) -> tuple[list[tuple[int, str]], bool]:
    """The last ``most`` bytes of a run's output, and whether earlier output was omitted."""
    found: list[tuple[int, str]] = []
    room = most
    for stream, piece in reversed(prints):
        if room <= 0:
            break
        found.append((stream, piece[-room:].decode(errors="replace")))
        room -= len(piece)
    return found[::-1], room < 0 or len(found) < len(prints) or len(prints) >= MAX_PRINTS
