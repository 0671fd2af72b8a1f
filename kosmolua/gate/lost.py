"""Creations without an answer, and the search for them in the account's lists by content and time."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from kosmolua.errors import ApiError, KosmoError
from kosmolua.gate.likeness import likeness
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.ids import id_of

if TYPE_CHECKING:
    from kosmolua.replicate.answers import Answer

SETTLED = 4.0  # seconds until a created prediction is listed
PAUSE = 1.0  # seconds between two searches
MOST_PAGES = 10  # pages to read of one list
MOST_ITEMS = 1000
SKEW = 120.0  # seconds the API's clock may differ from this machine's if the answer has no date
SLACK = 2.0  # the same for an answer with a date

Read = Callable[[str, Mapping[str, Any]], "Answer"]


class ListAnswer(Protocol):
    """The part of an answer that is needed to read lists."""

    @property
    def data(self) -> Any: ...


class Sent(Struct, eq=False):
    """A creation that was sent. ``at`` and ``ended`` (when the wait for its answer ended) are in Unix seconds; ``job``
    is its entry in the budget, ``ticket`` its place in a journal.
    """

    operation: Operation
    arguments: Struct
    account: str
    at: float
    job: Any = None
    ticket: Any = None
    ended: float | None = None

    @property
    def essence(self) -> bytes:
        """Equal for creations that cannot be distinguished in a list."""
        given = {name: value for name, value in self.given.items() if name in _MEANT}
        return msgspec.msgpack.encode((self.operation.name, self.account, given), order="sorted", enc_hook=repr)

    @property
    def given(self) -> dict[str, Any]:
        found = msgspec.structs.asdict(self.arguments)
        return {name: value for name, value in found.items() if value is not msgspec.UNSET}


_MEANT = frozenset(
    {"deployment_name", "deployment_owner", "destination", "input", "model_name", "model_owner", "version"}
    | {"version_id"}
)


class Found(Struct, frozen=True, eq=False):
    """The result of a search: items that are certainly the creations, and candidates for the others."""

    own: list[tuple[Sent, dict[str, Any]]]
    candidates: list[tuple[Sent, dict[str, Any]]]


class Creations:
    """The creations of one session that have no answer yet, or whose answer was lost. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, Sent] = {}

    def begin(self, sent: Sent) -> Sent:
        self._open[id(sent)] = sent
        return sent

    def end(self, sent: Sent | None) -> bool:
        """Forget a creation whose outcome is known. False if another thread did so first."""
        return sent is not None and self._open.pop(id(sent), None) is not None

    def lose(self, sent: Sent | None, *, certain: bool) -> None:
        """Note that the wait for the answer has ended. Unless the outcome is ``certain``, the creation is searched for
        later.
        """
        if sent and not certain:
            sent.ended = time.time()
        else:
            self.end(sent)

    def unanswered(self) -> list[Sent]:
        return list(self._open.values())

    def pending(self) -> list[Sent]:
        """The creations whose answer may still arrive."""
        return [sent for sent in self.unanswered() if sent.ended is None]

    def like(self, operation: Operation, given: Mapping[str, Any]) -> Sent | None:
        """The oldest creation with the same request whose answer was lost."""
        lost = (sent for sent in self.unanswered() if sent.ended is not None and sent.operation is operation)
        return next((sent for sent in lost if _asks_for(sent, given)), None)


def _asks_for(sent: Sent, given: Mapping[str, Any]) -> bool:
    mine = sent.given
    names = (_MEANT & given.keys()) - {"input"}
    return all(mine.get(name) == given[name] for name in names) and len(mine.get("input") or {}) == len(given["input"])


def find_creations(read: Read, base_url: str, sents: Sequence[Sent], claimed: Callable[[str], bool]) -> Found:
    """Search once for creations of one account and one kind. ``claimed`` ids belong to other calls."""
    proof = sents[0].operation.proof
    if proof is None or not proof.list:
        return Found([], [])
    earliest = min(sent.at for sent in sents)
    items, ahead = _recent(read, base_url, proof.list, earliest)
    items = [item for item in items if id_of(item) and not claimed(item["id"])]
    found = Found([], [])
    for _, group in itertools.groupby(sorted(sents, key=lambda sent: sent.essence), key=lambda sent: sent.essence):
        _divide(list(group), items, ahead, found)
    return found


def _divide(group: list[Sent], items: list[dict[str, Any]], ahead: float | None, found: Found) -> None:
    """Match identical creations with items. If more items match than there are creations, all are candidates."""
    in_time = [item for item in items if any(_in_time(item, sent, ahead) for sent in group)]
    judged = [(likeness(group[0].operation.creates, group[0].given, item), item) for item in in_time]
    fitting = [item for word, item in judged if word == "same"] or [item for word, item in judged if word == "maybe"]
    taken = [item["id"] for _, item in found.own]
    fitting = [item for item in fitting if item["id"] not in taken]
    into = found.own if len(fitting) <= len(group) else found.candidates
    sents = sorted(group, key=lambda sent: sent.at)
    into.extend((sents[min(at, len(sents) - 1)], item) for at, item in enumerate(reversed(fitting)))


def _in_time(item: Mapping[str, Any], sent: Sent, ahead: float | None) -> bool:
    made = time_of(item.get("created_at"))
    if made is None:
        return True
    slack, shift = (SKEW, 0.0) if ahead is None else (SLACK, ahead)
    until = time.time() if sent.ended is None else sent.ended
    return sent.at + shift - slack <= made.timestamp() <= until + shift + slack


def _recent(read: Read, base_url: str, name: str, earliest: float) -> tuple[list[dict[str, Any]], float | None]:
    """Items created since ``earliest``, newest first, and how many seconds the API's clock is ahead, if known."""
    after = dt.datetime.fromtimestamp(earliest - SKEW, dt.UTC)
    arguments = (
        {"created_after": f"{after:%Y-%m-%dT%H:%M:%SZ}"} if catalogue.BY_NAME[name].parameter("created_after") else {}
    )
    dates: list[str] = []

    def noted(function: str, given: Mapping[str, Any]) -> Answer:
        answer = read(function, given)
        dates.append(answer.date)
        return answer

    found = []
    for item in itertools.islice(listed(noted, base_url, name, arguments, MOST_PAGES), MOST_ITEMS):
        made = time_of(item.get("created_at"))
        if made and made < after:
            break
        found.append(item)
    return found, _ahead(dates[-1], time.time())


def _ahead(date: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # 10 ms

    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, OverflowError):
        return None


def listed(
    read: Callable[[str, Mapping[str, Any]], ListAnswer],
    base_url: str,
    name: str,
    arguments: Mapping[str, Any],
    most_pages: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The items of a list, across its pages. Raises an `ApiError` for a repeated or invalid page."""
    from kosmolua.replicate.urls import items_of, next_cursor

    cursor, seen = None, set[str]()
    while most_pages is None or len(seen) < most_pages:
        page = read(name, {**arguments, "cursor": cursor} if cursor else arguments).data
        yield from items_of(page)
        cursor = next_cursor(page, base_url)
        if cursor is None:
            return
        if cursor in seen:
            raise circular(name)
        seen.add(cursor)


def circular(name: str) -> KosmoError:
    return ApiError(f"{name}: the pages form a cycle: the next page was already read", status=200, function=name)


def time_of(text: Any) -> dt.datetime | None:
    """Parse an RFC 3339 time of the API; None if invalid."""
    try:
        found = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
