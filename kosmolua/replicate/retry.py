"""Which failure may be sent again, and when: one httpx transport around another.

429 is sent again for every method, since the server says that it did nothing; what it asks to wait is waited by all
who ask the same of it (`kosmolua.replicate.pace`). Other failures are sent again where the method changes nothing (GET,
QUERY), and else only where not a byte of the request had left.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Protocol, cast

import httpx

from kosmolua.replicate import problem
from kosmolua.replicate.body import MAX_ANSWER, MAX_PROBLEM, Garbled, Room, TooMuch, decoded, gathered
from kosmolua.replicate.head import Unframed
from kosmolua.replicate.pace import Pace, Turn
from kosmolua.replicate.transport import Sending

SAFE_METHODS = frozenset({"GET", "QUERY"})
TOO_MANY = 429
TRANSIENT = frozenset({500, 502, 503, 504})
SUCCESS = range(200, 300)
ATTEMPTS = 5
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0  # seconds; doubled with each attempt, then taken between half and whole
LONGEST_WAIT = 60.0  # a server that asks for more is not waited for; the error says how long it asked

# What httpx raises before it has begun to send.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Clock(Protocol):
    def time(self) -> float:
        """Seconds from any moment on."""

    def sleep(self, seconds: float) -> None:
        """Return when that time has passed."""


class Unanswered(httpx.TransportError):
    """No answer began to come. ``sent`` says whether the server may have got the request all the same."""

    def __init__(self, cause: BaseException, *, sent: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.sent = sent


class RetryTransport(httpx.BaseTransport):
    """Sends through ``inner``, again where that is safe. What fails for good is raised as `Unanswered`.

    An answer that is to be read piece by piece (the extension "piecewise") may break off while it is read; of others at
    most so many bytes are read as the extension "most" says. ``room`` is where large ones wait for each other.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        on_retry: Callable[[str, float], None] | None = None,
        room: Room | None = None,
        sending: Sending = nullcontext,
    ) -> None:
        self._inner = inner
        self._room = room
        self._sending = sending
        self._closed = threading.Event()
        self._sleep = clock.sleep if clock else self._closed.wait
        self._jitter = jitter
        self._on_retry = on_retry or (lambda _reason, _seconds: None)
        now = clock.time if clock else time.monotonic
        self._creates, self._others = Pace(now), Pace(now)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        safe = request.method in SAFE_METHODS
        pace = self._creates if _creates(request) else self._others
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            turn = self._await_turn(pace)
            try:
                response = self._inner.handle_request(request)
                if safe and not request.extensions.get("piecewise"):
                    most: int = request.extensions.get("most", MAX_ANSWER)
                    _read_whole(response, most + 1, self._room)  # whoever reads on says that there is too much of it
            except (httpx.HTTPError, OSError) as error:
                sent = not isinstance(error, _NOT_SENT)
                if last or (sent and not safe) or _hopeless(error):
                    raise Unanswered(error, sent=sent) from error
                self._wait(self._delay(attempt), str(error) or type(error).__name__)
                continue
            if not self._again(response, attempt, pace, turn, safe=safe, last=last):
                return response
        raise AssertionError("the last attempt returns or raises")

    def pause(self, seconds: float) -> None:
        """Wait as long, unless the run that asked ends meanwhile."""
        self._sleep(seconds)
        self._check_open()

    def close(self) -> None:
        """Close what is open. Whoever waits to send does so no more."""
        self._closed.set()
        self._inner.close()

    def _await_turn(self, pace: Pace) -> Turn:
        turn = pace.turn()
        if turn.wait:
            self._sleep(turn.wait)
        self._check_open()
        return turn

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unanswered(httpx.ConnectError("the run that asked is over"), sent=False)
        with self._sending():
            pass  # raises where nothing may be sent any more; not every transport looks itself

    def _again(self, response: httpx.Response, attempt: int, pace: Pace, turn: Turn, *, safe: bool, last: bool) -> bool:
        """Whether to send again, after having waited for it, or having taken note how long to."""
        status = response.status_code
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


def _creates(request: httpx.Request) -> bool:
    """Whether the request starts a prediction or a training: those are counted apart."""
    return request.method == "POST" and request.url.path.endswith(("/predictions", "/trainings"))


def _asked(response: httpx.Response) -> float | None:
    """How many seconds the server asks to wait."""
    body = b""
    if response.status_code == TOO_MANY:
        with suppress(httpx.HTTPError, OSError, Garbled, TooMuch):
            _read_whole(response, MAX_PROBLEM)
            stream = cast("Iterable[bytes]", response.stream)
            body = gathered(decoded(stream, response.headers), MAX_PROBLEM, cut=True)
    return problem.retry_after(response.headers, body)


def _read_whole(response: httpx.Response, most: int, room: Room | None = None) -> None:
    """Take the body now: an answer that breaks off in its middle is a lost connection like any other."""
    most = most if response.status_code in SUCCESS else MAX_PROBLEM
    try:
        body = gathered(cast("Iterable[bytes]", response.stream), most, room, cut=True)
    finally:
        response.stream.close()  # type: ignore[union-attr]
    response.stream = httpx.ByteStream(body)


def _hopeless(error: BaseException | None) -> bool:
    """Whether the next attempt would meet the same: a certificate, an unknown name, a proxy, a framing."""
    if is_untrusted(error):
        return True
    while error is not None:
        if isinstance(error, httpx.ProxyError | Unframed):
            return True
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            return True
        error = error.__cause__
    return False


def is_untrusted(error: BaseException | None) -> bool:
    """Whether the server's certificate was not believed."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__
    return False
