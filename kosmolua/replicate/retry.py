"""Retries: a transport around another one.

After 429 every method is retried, since the server did not execute the request; all requests of the same kind share the
wait that the server asks for (`kosmolua.replicate.pace`). Other failures are retried for safe methods (GET, QUERY), and
for others only if no byte of the request was sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from kosmolua.replicate import problem
from kosmolua.replicate.body import LARGE, MAX_PROBLEM, Garbled, Room, TooMuch, decoded, gathered
from kosmolua.replicate.pace import Pace, Paced, Turn
from kosmolua.replicate.wire import Request, Response, Transport, Whole, WireError

SAFE_METHODS = frozenset({"GET", "QUERY"})
TOO_MANY = 429
TRANSIENT = frozenset({500, 502, 503, 504})
SUCCESS = range(200, 300)
ATTEMPTS = 5
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0  # seconds; doubled with each attempt, times a random factor of 0.5 to 1
_SMALL = min(LARGE, MAX_PROBLEM)  # bytes of a body that any answer may have
LONGEST_WAIT = 60.0  # seconds; if the server asks for more, the error is raised with the requested time


class Clock(Protocol):
    def time(self) -> float:
        """Seconds from any starting point."""

    def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""


class RetryTransport:
    """Sends through ``inner``, retries if that is safe, and reads the bodies of answers that are not ``piecewise``.
    Raises the last `WireError`.

    ``room`` limits large answers to one at a time; ``paces`` returns the rate of a lane, "create" or "other".
    """

    def __init__(
        self,
        inner: Transport,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] | None = None,
        on_retry: Callable[[str, float], None] | None = None,
        room: Room | None = None,
        paces: Callable[[str], Paced] | None = None,
    ) -> None:
        self._inner = inner
        self._room = room
        self._closed = threading.Event()
        self._sleep = clock.sleep if clock else self._closed.wait
        self._jitter = jitter or _jitter
        self._on_retry = on_retry or (lambda _reason, _seconds: None)
        now = clock.time if clock else time.monotonic
        paces = paces or (lambda _: Pace(now))
        self._creates, self._others = paces("create"), paces("other")

    def send(self, request: Request) -> Response:
        safe = request.method in SAFE_METHODS
        pace = self._creates if request.method == "POST" and _creates(request) else self._others
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            turn = pace.turn()
            if turn.wait:
                self._sleep(turn.wait)
            if self._closed.is_set():
                self._check_open()
            try:
                response = self._inner.send(request)
                if not (request.piecewise or (type(response) is Whole and _SMALL >= len(response.body) < request.most)):
                    response = _read_whole(response, request.most + 1, self._room)
            except WireError as error:
                if last or (error.sent and not safe) or error.final:
                    raise
                self._wait(self._delay(attempt), error.reason)
                continue
            if response.status in SUCCESS:
                pace.taken()
                return response
            if not self._again(response, attempt, pace, turn, safe=safe, last=last):
                return response
        raise AssertionError("the last attempt returns or raises")

    def pause(self, seconds: float) -> None:
        """Wait, unless the run ends meanwhile."""
        self._sleep(seconds)
        self._check_open()

    def close(self) -> None:
        """Close connections. Waiting requests are not sent."""
        self._closed.set()
        self._inner.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise WireError("the run has ended", sent=False, final=True)

    def _again(self, response: Response, attempt: int, pace: Paced, turn: Turn, *, safe: bool, last: bool) -> bool:
        """Whether to retry. Waits first, or for 429 notes the wait in ``pace``."""
        status = response.status
        if status != TOO_MANY:
            pace.taken()
        if last or (status != TOO_MANY and not (safe and status in TRANSIENT)):
            return False
        asked = _asked(response)
        if asked is not None and asked > LONGEST_WAIT:
            return False
        response.close()
        seconds = self._delay(attempt) if asked is None else asked
        if status == TOO_MANY:
            pace.refused(turn, seconds)
            self._on_retry(f"the API answered {status}", seconds)
        else:
            self._wait(seconds, f"the API answered {status}")
        return True

    def _delay(self, attempt: int) -> float:
        doubled: float = FIRST_DELAY * 2 ** (attempt - 1)
        return min(doubled, LONGEST_DELAY) * (0.5 + self._jitter() / 2)

    def _wait(self, seconds: float, reason: str) -> None:
        self._on_retry(reason, seconds)
        self._sleep(seconds)


def _jitter() -> float:
    import random

    return random.random()  # noqa: S311 - spreads attempts, protects nothing


def _creates(request: Request) -> bool:
    """Whether a POST starts a prediction or a training: those have a separate rate limit."""
    return request.target.partition("?")[0].endswith(("/predictions", "/trainings"))


def _asked(response: Response) -> float | None:
    """The seconds that the server asks to wait."""
    body = b""
    if response.status == TOO_MANY:
        with suppress(WireError, TimeoutError, Garbled, TooMuch):
            body = gathered(decoded(response.pieces(), response.headers), MAX_PROBLEM, cut=True)
    return problem.retry_after(response.headers, body)


def _read_whole(response: Response, most: int, room: Room | None) -> Whole:
    """Read the whole body, so that a truncated answer counts as a lost connection."""
    most = most if response.status in SUCCESS else MAX_PROBLEM
    if isinstance(response, Whole) and len(response.body) <= min(most, LARGE):
        return response
    try:
        body = gathered(response.pieces(), most, room, cut=True)
    except TimeoutError as error:
        raise WireError(str(error), sent=True) from None
    finally:
        response.close()
    return Whole(response.status, response.headers, body)
