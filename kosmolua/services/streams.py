"""Followed event streams: their connections, and received events that have not been read yet."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kosmolua.errors import TransportError, UsageError
from kosmolua.replicate.events import Decoder

if TYPE_CHECKING:
    from kosmolua.replicate.transfer import Opened

IDLE = 2.0  # seconds without a read after which a connection is closed; the next read resumes the stream
SILENCE = 45.0  # seconds without an event until a connection counts as ended; the API ends a silent one after 30 s
MAX_OPEN = 64
LARGE, MAX_HELD = 1 << 20, 64 << 20  # maximum bytes of incomplete events: per stream before a check, and in all streams

Open = Callable[[str, str, str | None], "Opened"]
"""Opens a stream: URL, account, and the id of the last received event."""


class Streams:
    """The connections of one run. Thread-safe, with one thread at a time per stream. ``patience`` is in seconds without
    an event.
    """

    def __init__(self, begin: Open, patience: float = SILENCE) -> None:
        self._begin = begin
        self._patience = patience
        self._lock = threading.Lock()
        self._open: dict[int, _Connection] = {}
        self._janitor: threading.Thread | None = None
        self._closed = threading.Event()

    def more(self, number: int, url: str, account: str, after: str | None) -> dict[str, Any]:
        """The next events of a stream, and whether its connection ended: ``{events: [{event, data, id}], over, why}``.

        If the stream has no connection, one is opened that continues after the event with the id ``after``; ``begun``
        is then set.
        """
        taken = self._taken(number, url)
        connection = taken or self._connected(number, url, account, after)
        try:
            events, over, why = connection.read(self._check_room)
        except BaseException:
            self.close(number)
            raise
        self._keep(number, connection, over=over)
        begun = {} if taken else {"begun": True}
        return {"events": events, "over": over, **begun, **({"why": why} if why else {})}

    def close(self, number: int | None = None) -> None:
        """Close one stream, or all permanently."""
        if number is None:
            self._closed.set()
        with self._lock:
            numbers = [number] if number is not None else list(self._open)
            found = [self._open.pop(each) for each in numbers if each in self._open]
        for connection in found:
            connection.close()

    def _check_room(self) -> None:
        """Raise a `TransportError` if incomplete events of all streams use too much memory."""
        with self._lock:
            held = sum(each.held for each in self._open.values())
        if held > MAX_HELD:
            raise TransportError(f"incomplete events of all streams use {held} bytes; the limit is {MAX_HELD}")

    def _taken(self, number: int, url: str) -> _Connection | None:
        with self._lock:
            found = self._open.get(number)
            if found and found.url == url:
                found.since = math.inf  # a thread is reading from it
                return found
        self.close(number)  # at a prompt, numbers restart with each journal
        return None

    def _connected(self, number: int, url: str, account: str, after: str | None) -> _Connection:
        if len(self._open) >= MAX_OPEN:
            raise UsageError(
                f"stream: {MAX_OPEN} streams are open, which is the limit", hint="follow fewer streams at once"
            )
        connection = _Connection(url, self._begin(url, account, after), self._patience)
        with self._lock:
            self._open[number] = connection
        return connection

    def _keep(self, number: int, connection: _Connection, *, over: bool) -> None:
        if over or self._closed.is_set():
            self.close(number)
            return
        with self._lock:
            connection.since = time.monotonic()
            if self._janitor is None:
                self._janitor = threading.Thread(target=self._tidy, name="kosmolua-streams", daemon=True)
                self._janitor.start()

    def _tidy(self) -> None:
        """Close idle connections: the script may have left a loop over a stream."""
        while not self._closed.wait(IDLE / 4):
            with self._lock:
                late = time.monotonic() - IDLE
                old = [self._open.pop(number) for number, each in list(self._open.items()) if each.since < late]
                if not self._open:
                    self._janitor = None
            for connection in old:
                with suppress(Exception):  # the remaining ones are closed even so
                    connection.close()
            if self._janitor is None:
                return


class _Connection:
    def __init__(self, url: str, opened: Opened, patience: float) -> None:
        self._patience = patience
        self.url = url
        self.since = math.inf  # when the last read ended, by the monotonic clock; infinite during a read
        self._opened = opened
        self._pieces: Iterator[bytes] = iter(opened)
        self._decoder = Decoder()

    @property
    def held(self) -> int:
        return self._decoder.held

    def read(self, check_room: Callable[[], None]) -> tuple[list[dict[str, str]], bool, str | None]:
        """The next events; whether the connection ended, and why. A stream that sends only comments counts as
        silent.
        """
        until = time.monotonic() + self._patience
        while True:
            try:
                piece = next(self._pieces, None)
            except TransportError as error:
                return [], True, error.message
            if piece is None:
                return [], True, None
            before = self.held
            events = self._decoder.feed(piece)
            if self.held > LARGE:
                check_room()
            if self.held > before:  # a large event is arriving
                until = time.monotonic() + self._patience
            if events:
                over = any(each.event == "done" for each in events)
                return [{"event": each.event, "data": each.data, "id": each.id} for each in events], over, None

            if time.monotonic() > until:
                return [], True, f"no event for {self._patience:g} s"

    def close(self) -> None:
        self._opened.close()
