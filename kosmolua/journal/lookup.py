"""Was it done? Looks for a write that was sent, or was about to be, and of which nobody knows how it ended.

What tells is data: for what the API names itself, a list in which the same request can be found again; for what has a
name, reading it back; and some calls may just be made again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

from kosmolua.errors import ApiError, JournalError
from kosmolua.gate.policy import model_of
from kosmolua.gate.session import Found
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation, Proof
from kosmolua.replicate.client import items_of, next_cursor
from kosmolua.replicate.shape import mapping
from kosmolua.replicate.structs import LocalFile

if TYPE_CHECKING:
    from kosmolua.journal.journal import Ticket
    from kosmolua.replicate.client import Answer

SKEW = 60.0  # seconds by which clocks may differ beyond what the API's answers tell
_MOST_WRONG = 10 * 366 * 24 * 3600.0  # seconds by which no clock is wrong; a date beyond is not one
_NOT_FOUND = 404

Likeness = Literal["same", "maybe", "other"]
Read = Callable[[str, Mapping[str, Any]], "Answer"]


def find(read: Read, base_url: str, operation: Operation, given: Mapping[str, Any], ticket: Ticket) -> Found | None:
    """What came of the call, or None where it was not done and may be sent. Raises a `JournalError` where that is not
    to be told.
    """
    proof = operation.proof
    if proof is None:
        raise ValueError(f"{operation.name}: a read needs no proof")
    match proof.how:
        case "repeat":
            return None
        case "gone":
            return None if _shown(read, proof.read, _place(proof, given)) else Found(None)
        case "named":
            return _named(read, proof.read, given, _place(proof, given))
        case "released" if proof.list:
            return _deployment(_listed(read, base_url, proof.list, {}), given)
        case "released":
            found = _shown(read, proof.read, _place(proof, given))
            return Found(found) if found and _is_released(found, given) else None
        case "listed":
            return _among(read, base_url, operation, proof, given, ticket)


def _place(proof: Proof, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which the proof's read finds what the write was about."""
    shows = catalogue.BY_NAME[proof.read]
    return {one.name: given[proof.place.get(one.name, one.name)] for one in shows.parameters if one.required}


# What the API names itself ----------------------------------------------------------------------------------------


def _among(
    read: Read, base_url: str, operation: Operation, proof: Proof, given: Mapping[str, Any], ticket: Ticket
) -> Found | None:
    how, key = ticket.lookup, f"{operation.creates}_id"
    _, began = how.uptime()
    since = _since(read, ticket)
    while True:
        left = how.settling - max(how.uptime()[1] - began, min(map(how.age, ticket.open)))
        same, maybe = _candidates(read, base_url, operation, proof.list, given, ticket, since)
        if same and not maybe and len(same) <= ticket.alike():
            return Found(read(proof.read, {key: same[-1]["id"]}).data)
        if (same or maybe) and how.adopt and not ticket.claimed(how.adopt):
            return Found(read(proof.read, {key: how.adopt}).data)
        if (same or maybe) and not how.again:
            raise _ambiguous(operation, [*same, *maybe], ticket.how)
        if left <= 0 or how.again:
            return None
        how.sleep(min(left, max(0.05, how.settling / 10)))


def _since(read: Read, ticket: Ticket) -> dt.datetime:
    """The API's time before which the first attempt cannot have been taken, whatever our own clock says or said."""
    first = min(ticket.open, key=lambda attempt: attempt.number)
    now = time.time()
    date = read("get_account", {}).date
    try:
        theirs = parsedate_to_datetime(date).timestamp() if date else now
    except (ValueError, OverflowError):
        theirs = now
    if abs(theirs - now) > _MOST_WRONG:
        theirs = now
    earliest = min(first.at, now - ticket.lookup.age(first)) + min(0.0, theirs - now)
    return dt.datetime.fromtimestamp(earliest - SKEW, dt.UTC)


def _candidates(
    read: Read,
    base_url: str,
    operation: Operation,
    name: str,
    given: Mapping[str, Any],
    ticket: Ticket,
    since: dt.datetime,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What may be this call's, newest first: what is the same, and what cannot be told from it."""
    same: list[dict[str, Any]] = []
    maybe: list[dict[str, Any]] = []
    dated = catalogue.BY_NAME[name].parameter("created_after")
    window = {"created_after": since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} if dated else {}
    for item in _listed(read, base_url, name, window):
        made = _time(item.get("created_at"))
        if made and made < since:
            break
        identifier = item.get("id")
        if not isinstance(identifier, str):
            continue
        likeness = "other" if ticket.claimed(identifier) else _likeness(operation, given, item)
        if likeness != "other":
            (same if likeness == "same" else maybe).append(item)
    return same, maybe


def _listed(read: Read, base_url: str, name: str, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    cursor, seen = None, set[str]()
    while True:
        page = read(name, {**arguments, "cursor": cursor} if cursor else arguments).data
        yield from items_of(page)
        cursor = next_cursor(page, base_url)
        if cursor is None:
            return
        if cursor in seen:
            raise ApiError(f"{name}: the pages go round in a circle", status=200)
        seen.add(cursor)


def _likeness(operation: Operation, given: Mapping[str, Any], item: Mapping[str, Any]) -> Likeness:
    if operation.creates == "file":
        content = given["content"].encode() if isinstance(given["content"], str) else bytes(given["content"])
        checksums = item.get("checksums")
        found = checksums.get("sha256") if isinstance(checksums, dict) else None
        return "maybe" if found is None else "same" if found == hashlib.sha256(content).hexdigest() else "other"
    runs = _runs(operation, given, item)
    if runs == "other":
        return "other"
    if item.get("data_removed"):
        return "maybe"
    return _worse(runs, alike(given["input"], item.get("input")))


def _runs(operation: Operation, given: Mapping[str, Any], item: Mapping[str, Any]) -> Likeness:
    """Whether it runs what the call asked for."""
    if "deployment_name" in given:
        shown, slug = item.get("deployment"), f"{given['deployment_owner']}/{given['deployment_name']}"
        return "maybe" if not shown else "same" if shown == slug else "other"
    if operation.creates == "training":
        wanted, shown = given["destination"], item.get("destination")
        if shown and shown != wanted:
            return "other"
    wanted = str(given.get("version_id") or given.get("version") or model_of(given))
    version = wanted.rpartition(":")[2]
    model = model_of(given)
    if "/" not in version and item.get("version") != "hidden":
        return "same" if item.get("version") == version else "other"
    return "same" if item.get("model") == model else "other" if model else "maybe"


def alike(given: Any, shown: Any) -> Likeness:
    """Whether an input that the API shows is the one that was given: it may hide a value, move a file, add defaults."""
    if isinstance(given, dict) and isinstance(shown, dict):
        found = [alike(value, shown[name]) if name in shown else "other" for name, value in given.items()]
        return _worse("same" if len(shown) == len(given) else "maybe", *found)
    if isinstance(given, list) and isinstance(shown, list) and len(given) == len(shown):
        return _worse("same", *map(alike, given, shown))
    if isinstance(given, LocalFile):
        return "maybe" if isinstance(shown, str) else "other"
    if isinstance(given, bool) or isinstance(shown, bool):
        return "same" if given is shown else "other"
    if given == shown:
        return "same"
    moved = isinstance(given, str) and given.startswith("data:") and isinstance(shown, str) and "://" in shown
    hidden = isinstance(shown, str) and ("redacted" in shown.lower() or (shown and set(shown) == {"*"}))
    return "maybe" if moved or hidden else "other"


def _worse(*found: str) -> Likeness:
    return "other" if "other" in found else "maybe" if "maybe" in found else "same"


def _ambiguous(operation: Operation, found: list[dict[str, Any]], how: str) -> JournalError:
    shown = "; ".join(f"{item.get('id')} of {item.get('created_at')}, {item.get('status', '')}" for item in found[:10])
    return JournalError(
        f"{operation.name}: a run ended while it was under way, and what became of it is not to be told from these: "
        f"{shown.replace(', ;', ';')}",
        hint=f"{how} --adopt ID to take one of them for it, or {how} --send-again if none of them is",
        detail={"candidates": [item.get("id") for item in found]},
    )


# What has a name --------------------------------------------------------------------------------------------------


def _shown(read: Read, name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return read(name, arguments).data
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _named(read: Read, name: str, given: Mapping[str, Any], place: Mapping[str, Any]) -> Found | None:
    """What is there under that name, if it is what was to be made. Sending again would not make a second one."""
    found = mapping(_shown(read, name, place))
    fits = found and all(found.get(field) == value for field, value in given.items() if field in found)
    return Found(found) if fits else None


def _deployment(listed: Iterator[dict[str, Any]], given: Mapping[str, Any]) -> Found | None:
    return next(
        (Found(item) for item in listed if item.get("name") == given["name"] and _is_released(item, given)), None
    )


def _is_released(shown: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether what a deployment runs now is what was given."""
    release = mapping(shown.get("current_release"))
    facts = {**release, **mapping(release.get("configuration"))}
    return all(facts.get(name) == given[name] for name in _RELEASED if name in given)


_RELEASED = ("model", "version", "hardware", "min_instances", "max_instances")


def _time(text: Any) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
