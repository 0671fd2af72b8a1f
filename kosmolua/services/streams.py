"""Event streams that are being followed: their connections, and what came over them and was not asked for yet."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kosmolua.errors import TransportError, UsageError
from kosmolua.replicate.events import Decoder

if TYPE_CHECKING:
    from kosmolua.replicate.transfer import Opened

IDLE = 2.0  # seconds in which nobody asks for more, after which a connection is closed; asked again, it is resumed
MAX_OPEN = 64
LARGE, MAX_HELD = 1 << 20, 64 << 20  # bytes of incomplete events: when all are added up, and how many are held

Open = Callable[[str, str, str | None], "Opened"]
"""Begins to follow: URL, account, and the last event that was had."""


class Streams:
    """The connections of one run. For any number of threads, one at a time for each stream."""

    def __init__(self, begin: Open) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._open: dict[int, _Connection] = {}
        self._janitor: threading.Thread | None = None
        self._closed = threading.Event()

    def more(self, number: int, url: str, account: str, after: str | None) -> dict[str, Any]:
        """The next events of a stream, and whether its connection ended: ``{events: [{event, data, id}], over, why}``.

        Where there is no connection, one is made that goes on after the event with the id ``after``; ``begun`` says so.
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
        """Close one, or all and for good."""
        if number is None:
            self._closed.set()
        with self._lock:
            numbers = [number] if number is not None else list(self._open)
            found = [self._open.pop(each) for each in numbers if each in self._open]
        for connection in found:
            connection.close()

    def _check_room(self) -> None:
        """Raise a `TransportError` when events that are not complete take more memory than all streams may."""
        with self._lock:
            held = sum(each.held for each in self._open.values())
        if held > MAX_HELD:
            raise TransportError(f"events of {held} bytes are held for all streams; at most {MAX_HELD} are taken")

    def _taken(self, number: int, url: str) -> _Connection | None:
        with self._lock:
            found = self._open.get(number)
            if found and found.url == url:
                found.since = math.inf  # somebody waits for it
                return found
        self.close(number)  # at a prompt numbers begin anew with a journal
        return None

    def _connected(self, number: int, url: str, account: str, after: str | None) -> _Connection:
        if len(self._open) >= MAX_OPEN:
            raise UsageError(
                f"stream: {MAX_OPEN} streams are open at once, and no more are taken", hint="follow fewer at once"
            )
        connection = _Connection(url, self._begin(url, account, after))
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
        """Close what nobody asks for any more: a loop over a stream may have been left."""
        while not self._closed.wait(IDLE / 4):
            with self._lock:
                late = time.monotonic() - IDLE
                old = [self._open.pop(number) for number, each in list(self._open.items()) if each.since < late]
                if not self._open:
                    self._janitor = None
            for connection in old:
                connection.close()
            if self._janitor is None:
                return


class _Connection:
    def __init__(self, url: str, opened: Opened) -> None:
        self.url = url
        self.since = math.inf  # since when nobody waits for it, in seconds
        self._opened = opened
        self._pieces: Iterator[bytes] = iter(opened)
        self._decoder = Decoder()

    @property
    def held(self) -> int:
        return self._decoder.held

    def read(self, check_room: Callable[[], None]) -> tuple[list[dict[str, str]], bool, str | None]:
        """What the next piece brings; whether the connection ended, and why."""
        while True:
            try:
                piece = next(self._pieces, None)
            except TransportError as error:
                return [], True, error.message
            if piece is None:
                return [], True, None
            events = self._decoder.feed(piece)
            if self.held > LARGE:
                check_room()
            if events:
                over = any(each.event == "done" for each in events)
                return [{"event": each.event, "data": each.data, "id": each.id} for each in events], over, None

    def close(self) -> None:
        self._opened.close()
