"""Webhooks: what one is told of a job as time passes, and the thread that tells it, on this machine alone.

Nothing is sent to any other machine: an emulator has no business on the network.
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

import msgspec

from kosmolua._version import __version__
from kosmolua.emulator.clock import Clock
from kosmolua.emulator.jobs import Job

if TYPE_CHECKING:
    from kosmolua.emulator.world import World

EVENTS = ("start", "output", "logs", "completed")
QUIET = "kosmolua.quiet"  # in the environ of a request for which nothing is to be sent
INTERVAL = 0.5
"""Seconds that pass at least between two events of output, and between two of logs."""
RETRIES = (0.5, 1.0, 2.0)
"""Seconds after which the end of a job is told again, where the receiver failed."""
TIMEOUT = 5.0  # seconds for a receiver to answer
GRACE = 1.0  # seconds for closing
# Somebody may cancel a job, or move the clock, at any time: look at least this often.
LOOK = 0.05
_MILLISECOND = 0.001  # what sums of seconds may be off by
_SERVER_FAULT = 500


def is_sent(url: str) -> bool:
    """Whether a webhook is sent there: plain HTTP, to loopback."""
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
    """Something that happened to a job, and when."""

    time: float
    name: str


@dataclass
class Feed:
    """What one webhook is told of one job. Asked again and again as time passes, it tells each event once."""

    url: str
    wanted: frozenset[str]
    job: Job
    show: Callable[[float], dict[str, Any]]
    done: bool = False
    number: int = 0
    _tick: int = 0
    _said: dict[str, tuple[float, Any]] = field(default_factory=dict, repr=False)

    def due(self, now: float) -> list[Event]:
        """What has happened since it was asked last, of what is wanted, in order."""
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
        """Nobody hears of the end: what changed with it is told as soon as it may be."""
        last = max([finish, *(time + INTERVAL for time, _ in self._said.values())])
        if now >= last:
            self.done = True
            yield from self._changes(finish, at=last)

    def _changes(self, time: float, at: float | None = None) -> Iterator[Event]:
        """Whether there is more output, and more logs; too early after the last time it waits for the next."""
        moment = self.job.at(time)
        for name, value in (("output", self.job.output(moment)), ("logs", self.job.logs(moment))):
            before, old = self._said.get(name, (float("-inf"), None))
            when = time if at is None else at
            if value and value != old and when - before > INTERVAL - _MILLISECOND:
                self._said[name] = (when, value)
                yield Event(when, name)


@dataclass
class Message:
    """One request to make, as often as it takes."""

    feed: Feed
    id: str
    body: bytes
    retries: list[float]
    due: float


class Courier:
    """Sends what the world's feeds have to tell, one after the other, in a thread that is there while any has."""

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
        """Start sending, if there is something to be sent and nobody at it."""
        with self._lock:
            if self._closing.is_set():
                self._world.feeds.clear()
            elif self._world.feeds and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Send what is due, once, and end. A receiver that takes its time is hung up on."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is None:
            return
        thread.join(GRACE)
        self._closed = True
        while thread.is_alive():
            with suppress(OSError, AttributeError):  # it may not be connected yet, or not any more
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
        """Turn what has happened into messages, and forget the feeds that have told all."""
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
        return Message(feed, name, msgspec.json.encode(feed.show(event.time)), retries, now)

    def _deliver(self, message: Message) -> None:
        if self._taken(message) or not message.retries or self._closing.is_set():
            self._messages.remove(message)
        else:
            message.due = self._clock.time() + message.retries.pop(0)

    def _taken(self, message: Message) -> bool:
        """Whether the receiver has it, or will never want it: only its own faults are reason to try again."""
        parts = urlsplit(message.feed.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
        self._connection = connection
        try:
            connection.request("POST", _target(parts), message.body, self._headers(message))
            return connection.getresponse().status < _SERVER_FAULT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _headers(self, message: Message) -> dict[str, str]:
        stamp = str(int(self._clock.time()))
        signed = f"{message.id}.{stamp}.".encode() + message.body
        signature = base64.b64encode(hmac.digest(self._world.webhook_key, signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"kosmolua-emulator/{__version__}",
            "webhook-id": message.id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{signature}",
        }


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
