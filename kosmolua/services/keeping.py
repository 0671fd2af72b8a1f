"""Keeps the outputs of a run with a journal: fetches each in the background once its prediction has ended."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from kosmolua.errors import ApiError, KosmoError, UsageError
from kosmolua.gate.jobs import time_of
from kosmolua.gate.kept import GONE, KeptFile
from kosmolua.replicate.catalogue import Operation
from kosmolua.services.download import Download

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kosmolua.gate.session import Session
    from kosmolua.replicate.transfer import Opened

THREADS = 4
MOST = 100_000  # maximum predictions and URLs that a run remembers
MAX_URLS = 1000  # maximum URLs in the output of one prediction
SAFE_AGE = 50 * 60.0  # seconds in which an output is certainly available; the API removes it after 60 minutes
LONGEST, LONGEST_AFTER_FAILURE = 60.0, 3.0  # maximum seconds to wait for outputs at the end; docker stop allows ten
SILENCE = 5.0  # seconds without a byte until the wait ends
QUIETLY = 1.0  # seconds to wait before showing a message
MAX_INPUT = 100 * 1024 * 1024  # bytes; the API takes no larger file
_TICK = 0.05


class Store(Protocol):
    """The storage of kept files."""

    @property
    def room(self) -> int: ...

    def find(self, url: str) -> Any: ...

    def path_of(self, output: Any) -> str: ...

    def begin(self) -> AbstractContextManager[tuple[BinaryIO, str]]: ...

    def keep(self, part: str, url: str, sha256: str, size: int, kind: str, made: float | None) -> None: ...


class _TooLargeError(UsageError):
    """The file is larger than the remaining room."""


class _Wanted:
    """A URL whose file is to be kept."""

    def __init__(self, url: str, account: str) -> None:
        self.url, self.account = url, account
        self.done = threading.Event()


class Keeping:
    """A `kosmolua.gate.kept.KeptOutputs` for a session. Without a ``store`` it only remembers when outputs were made.

    ``tell`` gets one message if an output cannot be kept.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        store: Store | None,
        tell: Callable[[str], None],
    ) -> None:
        self._session = session
        self._store = store
        self._tell = tell
        self._warned = False
        self._seen: set[str] = set()
        self._made: dict[str, float | None] = {}
        self._live: set[str] = set()
        self._lock = threading.Condition()
        self._queue: deque[_Wanted] = deque()
        self._wanted: dict[str, _Wanted] = {}
        self._threads = 0
        self._received = 0
        self._opened: set[Opened] = set()
        self._over = False

    @property
    def keeps(self) -> bool:
        return self._store is not None

    def note(self, operation: Operation, account: str, data: Any) -> None:
        if operation.job != "prediction":
            return
        if not operation.paged:
            self._note(account, data, live=True)
        elif isinstance(data, dict):
            for item in data.get("results") or ():
                self._note(account, item, live=True)

    def restore(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Add the answers of earlier runs of the journal, each with its account."""
        for account, data in answers:
            self._note(account, data, live=False)

    def find(self, url: str, check: Callable[[], None]) -> tuple[KeptFile, str] | None:
        if self._store is None:
            return None
        wanted = self._wanted.get(url)
        while wanted and not wanted.done.wait(_TICK):
            check()
        output = self._store.find(url)
        return output and (self._file(output), output.type)

    def stand_in(self, url: str, account: str) -> KeptFile | None:
        output = self._store.find(url) if self._store else None
        if output is None or output.size > MAX_INPUT:
            return None
        age = time.time() - min(output.at, output.made or output.at)
        if age < SAFE_AGE and (url in self._live or not self._is_gone(url, account)):
            return None
        return self._file(output)

    def made(self, url: str) -> float | None:
        return self._made.get(url)

    def finish(self, *, failed: bool) -> None:
        """Wait a limited time for pending outputs. Nothing is kept after that."""
        self._wait(LONGEST_AFTER_FAILURE if failed else LONGEST)
        with self._lock:
            left = len(self._queue) + self._threads
            self._over = True
            for wanted in self._queue:
                wanted.done.set()
            self._queue.clear()
        for opened in list(self._opened):
            opened.close()
        if left:
            self._say(f"{left} outputs" if left > 1 else "1 output", "the run ended before the download finished")

    def _wait(self, longest: float) -> None:
        began = quiet = time.monotonic()
        before, announced = -1, False
        while self._threads and (now := time.monotonic()) < min(began + longest, quiet + SILENCE):
            if self._received != before:
                before, quiet = self._received, now
            if now > began + QUIETLY and not announced:
                announced = True
                self._tell("waiting for outputs to keep with the journal")
            with self._lock:
                self._lock.wait(_TICK)

    # ------------------------------------------------------------------------------------------------------------

    def _note(self, account: str, data: Any, *, live: bool) -> None:
        if not isinstance(data, dict) or data.get("status") != "succeeded":
            return
        identifier = data.get("id")
        if not isinstance(identifier, str) or identifier in self._seen or max(len(self._seen), len(self._made)) >= MOST:
            return
        self._seen.add(identifier)
        made, own = time_of(data.get("completed_at")), self._session().budget.knows(identifier)
        for url in urls_in(data.get("output")):
            self._made[url] = made
            if live:
                self._live.add(url)
            if own and self._store and self._store.find(url) is None:
                self._want(_Wanted(url, account))

    def _want(self, wanted: _Wanted) -> None:
        with self._lock:
            if self._over or wanted.url in self._wanted:
                return
            self._wanted[wanted.url] = wanted
            self._queue.append(wanted)
            if self._threads < THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name="outputs", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._over or not self._queue:
                    self._threads -= 1
                    self._lock.notify_all()
                    return
                wanted = self._queue.popleft()
            try:
                self._keep(wanted)
            except KosmoError as error:
                if not (self._over or (isinstance(error, ApiError) and error.status in GONE)):
                    self._say("an output", error.message)
            except Exception as error:  # noqa: BLE001 - the run continues without the output
                self._say("an output", f"{type(error).__name__}: {error}")
            finally:
                wanted.done.set()

    def _keep(self, wanted: _Wanted) -> None:
        store = self._store
        if store is None or not self._session().may_keep(wanted.url, wanted.account):
            return
        room = store.room
        opened: list[Opened] = []

        def begin(part: Mapping[str, str]) -> Opened:
            if self._over:
                raise UsageError("the run has ended", code="interrupted")
            opened.append(self._session().host_calls.open_to_keep(wanted.url, wanted.account, part))
            self._opened.add(opened[-1])
            return opened[-1]

        def progress(received: int, total: int | None) -> None:
            self._received += 1
            if max(received, total or 0) > room:
                raise _TooLargeError(f"it is larger than the remaining {room} bytes")

        try:
            with store.begin() as (file, part):
                fetched = Download(file, progress, attempts=2).fetch(begin)
                file.flush()
                os.fsync(file.fileno())
                made = self._made.get(wanted.url)
                with self._lock:
                    if not self._over:
                        store.keep(part, wanted.url, fetched.sha256, fetched.size, fetched.content_type, made)
        finally:
            for each in opened:
                each.close()
            self._opened.difference_update(opened)

    def _is_gone(self, url: str, account: str) -> bool:
        """Whether the URL has expired. False if that cannot be determined."""
        try:
            self._session().host_calls.open_to_keep(url, account, {}).close()
        except ApiError as error:
            return error.status in GONE
        except KosmoError:
            return False
        return False

    def _file(self, output: Any) -> KeptFile:
        name = os.path.basename(urlsplit(output.url).path) or "output"
        store = self._store
        place = store.path_of(output) if store else ""
        return KeptFile(path=name, place=place, sha256=output.sha256, size=output.size)

    def _say(self, what: str, why: str) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            with suppress(Exception):
                self._tell(f"could not keep {what} of this run: {why}")


def urls_in(output: Any) -> Iterator[str]:
    """The first `MAX_URLS` URLs in an output."""
    left, count = [output], 0
    while left and count < MAX_URLS:
        value = left.pop()
        match value:
            case str() if value.startswith(("https://", "http://")):
                count += 1
                yield value
            case dict():
                left += value.values()
            case list():
                left += reversed(value)
