"""Waits for jobs of one account on behalf of all runs of a host: reads a few jobs one by one, and many through the list
of predictions, 100 per request.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from kosmolua.errors import ApiError, KosmoError, TransportError, failure_of
from kosmolua.gate.budget import TERMINAL

if TYPE_CHECKING:
    from kosmolua.replicate.answers import Answer

Read = Callable[[str, Mapping[str, Any]], "Answer"]

FIRST, LONGEST, FACTOR = 0.25, 5.0, 1.5  # seconds between two reads of a job: first, maximum, and growth factor
FEW = 3  # maximum number of jobs that are read one by one
PAGES, REFILL = 4.0, 2.1  # pages of the list read in a row, and seconds between later pages: fewer than 30 a minute
UNLISTED = 60.0  # seconds between reads of a job that the list does not show
MOST_READS = 20  # maximum number of such reads in a row
PATIENCE = 6  # failed reads in a row
LINGER = 5.0  # seconds that the thread continues without waits
REMEMBERED = 10_000  # maximum number of ended jobs to remember before anyone waits for them


class Wait:
    """One job that someone waits for, until ``deadline`` in `time.time`. ``ready`` is called once, from any thread,
    when the job has ended, when the deadline has passed, or when the job cannot be read.
    """

    def __init__(
        self, kind: str, identifier: str, read: Read, base_url: str, ready: Callable[[], None], deadline: float | None
    ) -> None:
        self.kind = kind
        self.id = identifier
        self.read = read
        self.base_url = base_url
        self.ready = ready
        self.until = None if deadline is None else time.monotonic() + deadline - time.time()
        self.pause = FIRST
        self.due = time.monotonic() + FIRST
        self.listed = True  # as far as known
        self.ended = False  # according to a source other than a poll

    def rest(self) -> None:
        """Note that the job was read and has not ended."""
        self.due = time.monotonic() + self.pause
        self.pause = min(self.pause * FACTOR, LONGEST)


class Poller:
    """Polls for one account. Thread-safe; its thread runs only while there are waits. ``base_url`` and ``read`` of any
    wait serve all waits.
    """

    def __init__(self, known: Callable[[str], bool] = lambda _: False) -> None:
        self._known = known  # whether a job has ended
        self._changed = threading.Condition()
        self._waits: set[Wait] = set()
        self._thread: threading.Thread | None = None
        self._pages = PAGES  # number of jobs that may be read now
        self._counted = time.monotonic()
        self._cursor: str | None = None  # cursor of the next page of the list
        self._seen: set[Wait] | None = None  # the waits seen in this pass through the list; None between two passes
        self._at_top = False
        self._failures = 0
        self._sleeps_until = inf

    def add(self, wait: Wait) -> None:
        with self._changed:
            wait.ended = self._known(wait.id)
            if not wait.ended:
                self._watch(wait)
        if wait.ended:
            wait.ready()

    def _watch(self, wait: Wait) -> None:
        self._waits.add(wait)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kosmolua-poller", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                self._thread = None
                raise failure_of(error, "cannot start a thread") from None
        if self._next(wait) < self._sleeps_until:  # adding many waits must not wake the thread for each one
            self._changed.notify_all()

    def remove(self, wait: Wait) -> None:
        with self._changed:
            self._waits.discard(wait)

    def look_at(self, job: str) -> bool:
        """End the waits for a job that has ended. False if nobody waits for it."""
        with self._changed:
            found = [wait for wait in self._waits if wait.id == job]
            for wait in found:
                wait.ended, wait.due = True, 0.0
            self._changed.notify_all()
        return bool(found)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waits:
                    self._sleeps_until = inf
                    self._changed.wait(LINGER)
                if not self._waits:
                    self._thread = None
                    return
                self._sleeps_until = min(map(self._next, self._waits))
                left = self._sleeps_until - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                waits = list(self._waits)
            try:
                self._look(waits)
                self._failures = 0
            except Exception as error:  # noqa: BLE001 - reported by the read of each wait
                self._failed(waits, error)

    def _next(self, wait: Wait) -> float:
        """When to read the job next, or the deadline of the wait."""
        return wait.due if wait.until is None else min(wait.due, wait.until)

    def _look(self, waits: list[Wait]) -> None:
        now = time.monotonic()
        for wait in waits:
            if wait.ended or (wait.until is not None and wait.until <= now):
                self._end(wait)
        waits = [wait for wait in waits if wait in self._waits]
        many = [wait for wait in waits if wait.kind == "prediction" and wait.listed]
        apart = set() if len(many) <= FEW else set(many)
        single = [wait for wait in waits if wait not in apart]
        for wait in [wait for wait in single if wait.due <= now][:MOST_READS]:
            self._read(wait)
        if len(many) > FEW and any(wait.due <= now for wait in many):
            self._read_page(many)

    def _read(self, wait: Wait) -> None:
        try:
            data = wait.read(f"get_{wait.kind}", {f"{wait.kind}_id": wait.id}).data
        except ApiError as error:
            if error.status is not None and error.status < 500 and error.status != 429:  # noqa: PLR2004 - HTTP
                self._end(wait)
                return
            raise
        self._take(wait, data)
        if not wait.listed and wait in self._waits:
            wait.due = time.monotonic() + UNLISTED

    def _take(self, wait: Wait, data: Any) -> None:
        if not isinstance(data, dict) or str(data.get("status")) in TERMINAL:
            self._end(wait)
        else:
            wait.rest()

    def _end(self, wait: Wait) -> None:
        with self._changed:
            found = wait in self._waits
            self._waits.discard(wait)
        if found:
            wait.ready()

    def _read_page(self, waits: list[Wait]) -> None:
        """Read the next page of a pass through the list, or, between two passes, the first page, which has new
        predictions.
        """
        from kosmolua.replicate.urls import items_of, next_cursor

        if not self._may_read_page(waits):
            return
        top = self._cursor is None or not self._at_top
        self._at_top = top
        given = {} if top or self._cursor is None else {"cursor": self._cursor}
        page = waits[0].read("list_predictions", given).data
        by_id = {wait.id: wait for wait in waits}
        seen = self._seen = self._seen or set()
        for item in items_of(page):
            wait = by_id.get(str(item.get("id")))
            if wait:
                seen.add(wait)
                self._take(wait, item)
        if not top or self._cursor is None:
            self._walk_on(next_cursor(page, waits[0].base_url), waits, seen)

    def _may_read_page(self, waits: list[Wait]) -> bool:
        now = time.monotonic()
        self._pages = min(PAGES, self._pages + (now - self._counted) / REFILL)
        self._counted = now
        if self._pages >= 1:
            self._pages -= 1
            return True
        soon = now + (1 - self._pages) * REFILL
        for wait in waits:
            wait.due = max(wait.due, soon)
        return False

    def _walk_on(self, cursor: str | None, waits: list[Wait], seen: set[Wait]) -> None:
        """Continue with the next page, unless all jobs were seen or the list has ended."""
        unseen = [wait for wait in waits if wait not in seen and wait in self._waits]
        if unseen and cursor:
            self._cursor = cursor
            return
        for wait in unseen:
            wait.listed = False
        self._cursor, self._seen, self._at_top = None, None, False

    def _failed(self, waits: list[Wait], error: Exception) -> None:
        """Wait longer with each failure. After the last failure the waits end, and their own reads report the
        reason.
        """
        self._failures += 1
        passing = isinstance(error, TransportError) or (
            isinstance(error, ApiError) and (error.status is None or error.status >= 500 or error.status == 429)  # noqa: PLR2004
        )
        if self._failures >= PATIENCE or not (passing and isinstance(error, KosmoError)):
            for wait in waits:
                self._end(wait)
            self._failures = 0
            return
        for wait in waits:
            wait.due = time.monotonic() + min(2.0**self._failures, UNLISTED)


class Pollers:
    """The pollers of a host, one for each account and API."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Poller] = {}
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    def of(self, base_url: str, account: str) -> Poller:
        with self._lock:
            made = self._made.get((base_url, account))
            if made is None:
                made = self._made[base_url, account] = Poller(lambda job: self._take(account, job))
            return made

    def ended(self, account: str, job: str) -> None:
        """Note that something else has seen a job end. All waits for the job end at once, even one that begins
        later.
        """
        with self._lock:
            pollers = [poller for (_, name), poller in self._made.items() if name == account]
            self._ended[account, job] = None
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        found = [poller.look_at(job) for poller in pollers]
        if any(found):
            self._take(account, job)

    def _take(self, account: str, job: str) -> bool:
        """Whether the job is known to have ended. Forgets the job, so that after a wrong message the next wait
        polls.
        """
        with self._lock:
            return self._ended.pop((account, job), job) is None
