"""Finds out whether an interrupted write was executed.

The API catalog says how: search a list for an object made by the same request, read a named object back, or just repeat
the call.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.errors import ApiError, JournalError
from kosmolua.gate.likeness import likeness
from kosmolua.gate.lost import listed, time_of
from kosmolua.gate.run import Found
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation, Proof
from kosmolua.replicate.shape import mapping

if TYPE_CHECKING:
    from kosmolua.journal.ticket import Ticket
    from kosmolua.replicate.answers import Answer

_END_OF_TIME = 2.5e11  # seconds; a little less than what datetime can represent
_IN_FLIGHT = 0.5  # seconds between searches while another run sends an equal request
_ON_ITS_WAY = 10.0  # seconds after a run has ended in which the API may still receive its requests
SKEW = 60.0  # seconds by which clocks may differ beyond what the API's dates show
_MOST_WRONG = 10 * 366 * 24 * 3600.0  # seconds; a date that differs by more is ignored
_NOT_FOUND = 404

Read = Callable[[str, Mapping[str, Any]], "Answer"]


def find(read: Read, base_url: str, operation: Operation, given: Mapping[str, Any], ticket: Ticket) -> Found | None:
    """The result of the call, or None if it was not executed and may be sent. Raises a `JournalError` if that cannot be
    determined.
    """
    proof = operation.proof
    if proof is None:
        raise ValueError(f"{operation.name}: a read needs no proof")
    match proof.how:
        case "repeat":
            return None
        case "unknown":
            _check_decided(operation, ticket)
            return None
        case "gone":
            return None if _shown(read, proof.read, _place(proof, given)) else Found(None)
        case "named":
            return _named(read, proof.read, given, _place(proof, given))
        case "released" if proof.list:
            return _deployment(listed(read, base_url, proof.list, {}), given)
        case "released":
            found = _shown(read, proof.read, _place(proof, given))
            return Found(found) if found and _is_released(found, given) else None
        case "listed":
            return _among(read, base_url, operation, proof, given, ticket)


def _check_decided(operation: Operation, ticket: Ticket) -> None:
    """Raise a `JournalError` unless a person has decided what to do: whether the function was executed is unknown."""
    if not ticket.lookup.again:
        raise JournalError(
            f"{operation.name}: a run ended during the call, and whether it was executed is unknown",
            hint=f"{ticket.how} --send-again to call it again",
        )


def _place(proof: Proof, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which the proof's read finds the object of the write."""
    shows = catalogue.BY_NAME[proof.read]
    return {one.name: given[proof.place.get(one.name, one.name)] for one in shows.parameters if one.required}


# Objects that get an id from the API ------------------------------------------------------------------------------


class _Window(Struct, frozen=True):
    """When the API may have received an attempt, by the API's clock. An object made after ``until`` belongs to another
    call if ``until`` is ``certain``; otherwise the object is a candidate if there is no other.
    """

    since: dt.datetime
    until: dt.datetime
    certain: bool


def _among(
    read: Read, base_url: str, operation: Operation, proof: Proof, given: Mapping[str, Any], ticket: Ticket
) -> Found | None:
    how, key = ticket.lookup, f"{operation.creates}_id"
    _, began = how.uptime()
    window = _window(read, ticket)
    while True:
        left = how.settling - max(how.uptime()[1] - began, min(map(how.age, ticket.open)))
        before = ticket.alike()
        same, maybe = _candidates(read, base_url, operation, proof.list, given, ticket, window)
        (alike, in_flight), changed = before, ticket.alike() != before
        if (same or maybe) and (in_flight or changed):
            how.sleep(_IN_FLIGHT)  # one of these may belong to another run, until that run ends or is interrupted too
            continue
        if same and not maybe and len(same) <= alike:
            return Found(read(proof.read, {key: same[-1]["id"]}).data)
        if (same or maybe) and how.adopt and not ticket.claimed(how.adopt):
            return Found(read(proof.read, {key: how.adopt}).data)
        if (same or maybe) and not how.again:
            raise _ambiguous(operation, [*same, *maybe], ticket.how)
        if left <= 0 or how.again:
            return None
        how.sleep(min(left, max(0.05, how.settling / 10)))


def _window(read: Read, ticket: Ticket) -> _Window:
    """From the first attempt to the end of the run that made the last one, corrected by the API's clock."""
    first, last = (choose(ticket.open, key=lambda attempt: attempt.number) for choose in (min, max))
    now, how = time.time(), ticket.lookup
    date = read("get_account", {}).date
    try:
        theirs = parsedate_to_datetime(date).timestamp() if date else now
    except (ValueError, OverflowError):
        date, theirs = "", now
    if abs(theirs - now) > _MOST_WRONG:
        date, theirs = "", now
    ahead = theirs - now
    since = min(first.at, now - how.age(first)) + min(0.0, ahead)
    corrected = now - how.age(last) - last.at  # how many seconds this machine's clock has been set forward since
    certain = bool(date and last.boot) and last.boot == how.uptime()[0]
    until = ticket.ended(last) + max(0.0, corrected) + max(0.0, ahead) + (_ON_ITS_WAY if certain else SKEW)
    return _Window(_utc(since - SKEW), _utc(min(until, _END_OF_TIME)), certain)


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _candidates(
    read: Read,
    base_url: str,
    operation: Operation,
    name: str,
    given: Mapping[str, Any],
    ticket: Ticket,
    window: _Window,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Possible results of this call, newest first: objects that the same request made, and objects that cannot be told
    apart from them.
    """
    found: dict[tuple[bool, str], list[dict[str, Any]]] = {}  # by whether the object was made too late, and by likeness
    dated = catalogue.BY_NAME[name].parameter("created_after")
    asked = {"created_after": window.since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} if dated else {}
    for item in listed(read, base_url, name, asked):
        made = time_of(item.get("created_at"))
        if made and made < window.since:
            break
        identifier = item.get("id")
        if isinstance(identifier, str) and not ticket.claimed(identifier):
            late = made is not None and made > window.until
            found.setdefault((late, likeness(operation.creates, given, item)), []).append(item)
    late = not window.certain and not any(found.get((False, word)) for word in ("same", "maybe"))
    return found.get((late, "same"), []), found.get((late, "maybe"), [])


def _ambiguous(operation: Operation, found: list[dict[str, Any]], how: str) -> JournalError:
    shown = "; ".join(f"{item.get('id')} of {item.get('created_at')}, {item.get('status', '')}" for item in found[:10])
    return JournalError(
        f"{operation.name}: a run ended during the call, and its result may be one of these: "
        f"{shown.replace(', ;', ';')}",
        hint=f"{how} --adopt ID to choose one of them, or {how} --send-again if it is none of them",
        detail={"candidates": [item.get("id") for item in found]},
    )


# Objects that the caller names ------------------------------------------------------------------------------------


def _shown(read: Read, name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return read(name, arguments).data
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _named(read: Read, name: str, given: Mapping[str, Any], place: Mapping[str, Any]) -> Found | None:
    """The object of that name, if it is as requested. Sending again would not create a second one."""
    found = mapping(_shown(read, name, place))
    fits = found and all(found.get(field) == value for field, value in given.items() if field in found)
    return Found(found) if fits else None


def _deployment(listed: Iterator[dict[str, Any]], given: Mapping[str, Any]) -> Found | None:
    return next(
        (Found(item) for item in listed if item.get("name") == given["name"] and _is_released(item, given)), None
    )


def _is_released(shown: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the deployment's current release is as requested."""
    release = mapping(shown.get("current_release"))
    facts = {**release, **mapping(release.get("configuration"))}
    return all(facts.get(name) == given[name] for name in _RELEASED if name in given)


_RELEASED = ("model", "version", "hardware", "min_instances", "max_instances")
