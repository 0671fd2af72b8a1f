"""The end of a session: find creations that got no answer, and cancel running jobs on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.errors import KosmoError, failure_of
from kosmolua.gate.budget import TERMINAL
from kosmolua.gate.lost import PAUSE, SETTLED, Found, Sent, find_creations
from kosmolua.replicate import catalogue
from kosmolua.settings.config import account_flag

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.session import Session

MOST_SECONDS = 8.0  # limit of the search: docker stop and systemd kill a few seconds after SIGTERM

PATIENCE_FOR_WRITES, PATIENCE = 5.0, 1.0  # seconds to wait for answers
SILENCE = 0.3  # seconds to wait before showing a message

Tell = Callable[[str], None]


class Waiting:
    """Decides how long to wait for open calls after their run failed. A creation without an answer can be found in
    the account later; other writes cannot, so the wait for them is longer.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._warned = False

    def __call__(self, seconds: float, writes: Sequence[Entry], *, busy: bool = False) -> bool:
        """Whether to keep waiting after this many seconds. ``busy``: other work, such as cleanup, is unfinished."""
        operations = [catalogue.find(entry.function) for entry in writes]
        creations = all(operation is not None and operation.starts for operation in operations)
        patience = PATIENCE if creations else PATIENCE_FOR_WRITES
        if seconds >= patience or not (writes or busy):
            return False
        if writes and seconds >= SILENCE and not self._warned:
            self._warned = True
            names = " and ".join(dict.fromkeys(entry.function for entry in writes))
            self._tell(f"waiting up to {patience:g} s for the answer to {names}")
        return True


class Unfinished(Struct, frozen=True, kw_only=True):
    """What a session leaves behind. ``running`` has kind, id and account of jobs not known to have ended;
    ``not_canceled`` has id and reason; ``found`` has creations whose answer was lost, with what the API shows for them.
    ``candidates`` has kind, id and account of objects that may be such creations; ``unanswered`` counts the creations
    that were not found.
    """

    running: list[tuple[str, str, str]] = []
    unanswered: int = 0
    not_canceled: list[tuple[str, str]] = []
    found: list[tuple[Sent, dict[str, Any]]] = []
    candidates: list[tuple[str, str, str]] = []


def end(session: Session, tell: Tell, *, cancel: bool = False, search: bool = True) -> Unfinished:
    """Cancel known running jobs first, since a second signal may follow; then search for the rest.

    Without ``cancel``, creations lost earlier are not searched for: their errors already reported them.
    """
    tried = session.budget.running() if cancel else []
    not_canceled = session.cancel_running() if cancel else []
    lost = session.creations.unanswered() if cancel else session.creations.pending()
    found = _find_in_time(session, tell, lost) if search and lost else Found([], [])
    if cancel and found.own:
        not_canceled += session.cancel_running(besides=tried)
    candidates = {(kind_of(sent), str(item["id"]), sent.account): None for sent, item in found.candidates}
    return Unfinished(
        running=session.budget.running(),
        unanswered=session.budget.unanswered(),
        not_canceled=not_canceled,
        found=found.own,
        candidates=[*candidates],
    )


def kind_of(sent: Sent) -> str:
    return str(sent.operation.starts)


def _find_in_time(session: Session, tell: Tell, lost: list[Sent]) -> Found:
    """Search on a thread that is abandoned when the time is over: the server may delay any answer."""
    found = Found([], [])
    names = " and ".join(dict.fromkeys(sent.operation.name for sent in lost))
    tell(f"no answer to {names} yet; searching the account for what was created")
    thread = threading.Thread(target=_find, args=(session, tell, lost, found), name="kosmolua-ending", daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    return Found([*found.own], [*found.candidates])


def _find(session: Session, tell: Tell, lost: list[Sent], found: Found) -> None:
    """Search until everything is found, or until the API should have listed it. Adds to ``found``."""
    try:
        _find_all(session, tell, lost, found)
    except Exception as error:  # noqa: BLE001 - reported; what was found so far counts
        tell(f"cannot search for created objects: {failure_of(error, 'searching').message}")


def _find_all(session: Session, tell: Tell, lost: list[Sent], found: Found) -> None:
    asked = max(sent.ended or time.time() for sent in lost)
    over = time.monotonic() + max(0.0, SETTLED - (time.time() - asked))
    while lost := [sent for sent in session.creations.unanswered() if sent in lost]:
        candidates = []
        for group in _groups(lost):
            seen = _look(session, group, tell)
            candidates += seen.candidates
            for sent, item in seen.own:
                if session.adopt(sent, item):
                    found.own.append((sent, item))
                    tell(_report(sent, item))
        found.candidates[:] = candidates
        if time.monotonic() >= over:
            return
        if session.creations.unanswered():
            time.sleep(PAUSE)


def _groups(lost: list[Sent]) -> list[list[Sent]]:
    groups: dict[tuple[str, str], list[Sent]] = {}
    for sent in lost:
        groups.setdefault((sent.account, kind_of(sent)), []).append(sent)
    return [*groups.values()]


def _look(session: Session, group: list[Sent], tell: Tell) -> Found:
    account = group[0].account
    try:
        read = session.host_calls.reader(account, "looked for")
        return find_creations(read, session.base_url(account), group, session.budget.knows)
    except KosmoError as error:
        tell(f"cannot search for created objects: {error.message}")
        return Found([], [])


def _report(sent: Sent, item: dict[str, Any]) -> str:
    kind, identifier, status = kind_of(sent), item["id"], item.get("status")
    text = f"{sent.operation.name} created {kind} {identifier}"
    if str(status) not in TERMINAL:
        return text
    how = f"kosmo integrations:call replicate.get_{kind} --{kind}_id {identifier}"
    return f"{text}, which ended as {status}; read it: {how}{account_flag(sent.account)}"
