"""Webhooks: the events of a job over time, and the thread that sends them.

Sends only to this machine: an emulator must not use the network.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from kosmolua._version import __version__
from kosmolua.emulator.clock import Clock
from kosmolua.emulator.jobs import Job, encode

if TYPE_CHECKING:
    from kosmolua.emulator.world import World

EVENTS = ("start", "output", "logs", "completed")
QUIET = "kosmolua.quiet"  # environ key of a request that sends no webhooks
INTERVAL = 0.5
"""Minimum seconds between two output events, and between two logs events."""
RETRIES = (0.5, 1.0, 2.0)
"""Seconds before each retry of a completed event, if the receiver failed."""
TIMEOUT = 5.0  # seconds for a receiver to answer
GRACE = 1.0  # seconds that `close` may take
# Seconds between checks: a job may be canceled, or the clock advanced, at any time.
LOOK = 0.05
_MILLISECOND = 0.001  # tolerance for rounding errors
_SERVER_FAULT = 500


def is_sent(url: str) -> bool:
    """Whether webhooks are sent to this URL: only plain HTTP to loopback."""
    try:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url
        return plain and parts.scheme == "http" and _is_loopback(parts.hostname or "") and parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Event:
    """An event of a job, and its time."""

    time: float
    name: str


@dataclass
class Feed:
    """The events of one job for one webhook URL. Each event is returned once."""

    url: str
    wanted: frozenset[str]
    job: Job
    show: Callable[[float], dict[str, Any]]
    done: bool = False
    number: int = 0
    _tick: int = 0
    _sent: dict[str, tuple[float, Any]] = field(default_factory=dict, repr=False)

    def due(self, now: float) -> list[Event]:
        """The wanted events since the last call, in order."""
        return [event for event in self._due(now) if event.name in self.wanted]

    def _due(self, now: float) -> Iterator[Event]:
        start, finish = self.job.start, self.job.finish()
        while not self.done and (time := start + self._tick * INTERVAL) < finish and time <= now:
            if self._tick == 0:
                yield Event(time, "start")
            yield from self._changes(time)
            self._tick += 1
        if self.done or now < finish:
            return
        if "completed" in self.wanted:
            self.done = True
            yield from self._changes(finish)
            yield Event(finish, "completed")
        else:
            yield from self._last_changes(finish, now)

    def _last_changes(self, finish: float, now: float) -> Iterator[Event]:
        """The last changes of a job without a completed event, sent as soon as the interval allows."""
        last = max([finish, *(time + INTERVAL for time, _ in self._sent.values())])
        if now >= last:
            self.done = True
            yield from self._changes(finish, at=last)

    def _changes(self, time: float, at: float | None = None) -> Iterator[Event]:
        """Events for new output and logs, if the interval since the last one has passed."""
        moment = self.job.at(time)
        for name, value in (("output", self.job.output(moment)), ("logs", self.job.logs(moment))):
            before, old = self._sent.get(name, (float("-inf"), None))
            when = time if at is None else at
            if value and value != old and when - before > INTERVAL - _MILLISECOND:
                self._sent[name] = (when, value)
                yield Event(when, name)


@dataclass
class Message:
    """A webhook request, with its retries. ``shown`` becomes its body when it is sent."""

    feed: Feed
    id: str
    shown: dict[str, Any]
    retries: list[float]
    due: float


class Courier:
    """Sends the webhooks of all feeds, one after another, in a thread that runs while there are feeds."""

    def __init__(self, world: World, clock: Clock, lock: threading.RLock) -> None:
        self._world = world
        self._clock = clock
        self._lock = lock
        self._messages: list[Message] = []
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._closed = False
        self._connection: http.client.HTTPConnection | None = None

    def wake(self) -> None:
        """Start the thread if there are feeds and it is not running."""
        with self._lock:
            if self._closing.is_set():
                self._world.feeds.clear()
            elif self._world.feeds and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Send the due messages once and stop the thread. Closes the connection to a slow receiver."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is None:
            return
        thread.join(GRACE)
        self._closed = True
        while thread.is_alive():
            with suppress(OSError, AttributeError):  # it may not be connected
                self._connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # as above
            thread.join(LOOK)

    def _work(self) -> None:
        while True:
            closing = self._closing.is_set()
            self._collect()
            for message in [one for one in self._messages if one.due <= self._clock.time()]:
                if not self._closed:
                    self._deliver(message)
            with self._lock:
                if closing or not (self._world.feeds or self._messages):
                    self._thread = None
                    return
            self._closing.wait(LOOK)

    def _collect(self) -> None:
        """Queue messages for new events, and remove feeds that are done."""
        with self._lock:
            now = self._clock.time()
            for feed in self._world.feeds:
                self._messages += [self._message(feed, event, now) for event in feed.due(now)]
            self._world.feeds = [feed for feed in self._world.feeds if not feed.done]

    def _message(self, feed: Feed, event: Event, now: float) -> Message:
        feed.number += 1
        code = self._world.ids.secret(f"webhook {feed.job.id} {feed.number}")
        name = f"msg_{base64.b32encode(code).decode().lower()[:26]}"
        retries = list(RETRIES) if event.name == "completed" else []
        return Message(feed, name, feed.show(event.time), retries, now)

    def _deliver(self, message: Message) -> None:
        if self._accepted(message) or not message.retries or self._closing.is_set():
            self._messages.remove(message)
        else:
            message.due = self._clock.time() + message.retries.pop(0)

    def _accepted(self, message: Message) -> bool:
        """Whether the message needs no retry: only connection failures and 5xx answers are retried."""
        parts = urlsplit(message.feed.url)
        body = encode(message.shown)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
        self._connection = connection
        try:
            connection.request("POST", _target(parts), body, self._headers(message.id, body))
            return connection.getresponse().status < _SERVER_FAULT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock.time()))
        signed = f"{message_id}.{stamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._world.webhook_key, signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"kosmolua-emulator/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{signature}",
        }


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
