"""The end of a session, however it comes: find creations that got no answer, and cancel what runs if that is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.errors import KosmoError
from kosmolua.gate.budget import TERMINAL
from kosmolua.gate.lost import PAUSE, SETTLED, Found, Sent, look
from kosmolua.replicate import catalogue
from kosmolua.settings.config import DEFAULT_ACCOUNT

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.session import Session

MOST_SECONDS = 8.0  # that looking takes at most: docker stop and systemd kill some seconds after they ask

PATIENCE_FOR_WRITES, PATIENCE = 5.0, 1.0  # seconds in which calls may still be answered
SILENCE = 0.3  # seconds of waiting before it is said what for

Tell = Callable[[str], None]


class Waiting:
    """Says whether to wait on for calls that are under way when their run has failed. A creation whose answer is held
    back is found in the account; other writes are found nowhere, and are waited for longer.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told = False

    def __call__(self, seconds: float, writes: Sequence[Entry], *, busy: bool = False) -> bool:
        """After so many seconds of waiting. ``busy`` is whether something else needs a moment."""
        creations = all(catalogue.BY_NAME[entry.function].starts for entry in writes)
        patience = PATIENCE if creations else PATIENCE_FOR_WRITES
        if seconds >= patience or not (writes or busy):
            return False
        if writes and seconds >= SILENCE and not self._told:
            self._told = True
            names = " and ".join(dict.fromkeys(entry.function for entry in writes))
            self._tell(f"waiting up to {patience:g} s for the answer to {names}")
        return True


class Left(Struct, frozen=True, kw_only=True):
    """What a session leaves. ``running`` has kind, id and account of what nobody has seen end, ``not_canceled`` id and
    reason, ``found`` the creations whose answer was lost with what the API shows of them; ``candidates`` may be such
    creations, and ``unanswered`` counts those that were not found.
    """

    running: list[tuple[str, str, str]] = []
    unanswered: int = 0
    not_canceled: list[tuple[str, str]] = []
    found: list[tuple[Sent, dict[str, Any]]] = []
    candidates: list[tuple[str, str, str]] = []


def end(session: Session, tell: Tell, *, cancel: bool = False, search: bool = True) -> Left:
    """Cancel what is known to run first, since a second signal may follow; then look for the rest.

    Unless it is canceled, what was lost earlier is not looked for again: its error has said so.
    """
    tried = session.budget.running() if cancel else []
    not_canceled = session.cancel_running() if cancel else []
    lost = session.creations.unanswered() if cancel else session.creations.under_way()
    found = _find_in_time(session, tell, lost) if search and lost else Found([], [])
    if cancel and found.own:
        not_canceled += session.cancel_running(besides=tried)
    candidates = {(kind_of(sent), str(item["id"]), sent.account): None for sent, item in found.candidates}
    return Left(
        running=session.budget.running(),
        unanswered=session.budget.unanswered(),
        not_canceled=not_canceled,
        found=found.own,
        candidates=[*candidates],
    )


def kind_of(sent: Sent) -> str:
    return str(sent.operation.starts)


def _find_in_time(session: Session, tell: Tell, lost: list[Sent]) -> Found:
    """Look on a thread that is left to itself when the time is over: a server may hold any answer back."""
    found = Found([], [])
    names = " and ".join(dict.fromkeys(sent.operation.name for sent in lost))
    tell(f"no answer to {names} yet; looking in the account for what it created")
    thread = threading.Thread(target=_find, args=(session, tell, lost, found), name="kosmolua-ending", daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    return Found([*found.own], [*found.candidates])


def _find(session: Session, tell: Tell, lost: list[Sent], found: Found) -> None:
    """Look until everything is found, or has had its time to be listed. ``found`` grows meanwhile."""
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
                    tell(_told(sent, item))
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
        return look(session.reader(account, "looked for"), session.base_url(account), group, session.budget.knows)
    except KosmoError as error:
        tell(f"cannot look for what was created: {error.message}")
        return Found([], [])


def _told(sent: Sent, item: dict[str, Any]) -> str:
    kind, identifier, status = kind_of(sent), item["id"], item.get("status")
    text = f"{sent.operation.name} created {kind} {identifier}"
    if str(status) not in TERMINAL:
        return text
    how = f"kosmo integrations:call replicate.get_{kind} --{kind}_id {identifier}"
    where = "" if sent.account == DEFAULT_ACCOUNT else f" --account {sent.account}"
    return f"{text}, which ended as {status}; read it: {how}{where}"
