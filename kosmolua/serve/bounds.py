"""Limits on requests from strangers: how large, how often, and how many at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

AT_ONCE, EACH = 64, 32  # the maximum number of concurrent requests, in total and from one address
BODY_SECONDS = 10.0  # seconds in which a body must arrive
_MOST_KEYS = 10_000


class Refusal(Exception):  # noqa: N818 - not only errors
    """Raised to refuse a request with this status. ``retry`` is the number of seconds after which it may be sent
    again.
    """

    def __init__(self, status: int, what: str, retry: float | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.retry = retry


class Rate(Struct, frozen=True):
    """``burst`` events at once, and another one after every ``seconds``."""

    burst: int
    seconds: float


class Buckets:
    """Limits how often each key, such as an address, may do something. Thread-safe. The number of keys is limited."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._full: OrderedDict[str, float] = OrderedDict()  # key -> when its bucket is full again

    def wait(self, key: str) -> float:
        """Seconds until the key is allowed again; 0 if it is allowed now."""
        now = self._clock()
        with self._lock:
            return self._left(self._full.get(key, now), now)

    def take(self, key: str) -> float:
        """Count one event if it is allowed. Returns 0 if it was counted, otherwise the seconds until one is allowed."""
        now = self._clock()
        with self._lock:
            full = max(now, self._full.get(key, now))
            left = self._left(full, now)
            if left > 0:
                return left
            self._full[key] = full + self._rate.seconds
            self._full.move_to_end(key)
            while len(self._full) > _MOST_KEYS:
                self._full.popitem(last=False)
        return 0.0

    def _left(self, full: float, now: float) -> float:
        return max(0.0, full + self._rate.seconds - now - self._rate.burst * self._rate.seconds)


class Slots:
    """Limits the number of concurrent requests, in total and from one address. Further requests are refused, not
    queued.
    """

    def __init__(self, most: int = AT_ONCE, each: int = EACH) -> None:
        self._most = most
        self._each = each
        self._taken = Counter[str]()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        if self._taken[address] >= self._each or self._taken.total() >= self._most:
            raise Refusal(429, "too many requests at once", 1.0)
        self._taken[address] += 1
        try:
            yield
        finally:
            self._taken[address] -= 1
            self._taken += Counter()  # removes addresses without requests


def address_of(request: Request) -> str:
    """The sender's address; for an IPv6 address, its /64 network, since one machine may have a whole /64."""
    host = request.client.host if request.client else ""
    try:
        found = ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"{int(found) >> 64:x}"
    return str(found)


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request. Raises a `Refusal` if the body has more than ``most`` bytes or does not arrive in time."""
    length = request.headers.get("content-length", "0")
    pieces, size = list[bytes](), int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0  # noqa: PLR2004
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if size <= most:
                size = 0
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        break
                    pieces.append(piece)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive in {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the body is incomplete") from None
    if size > most:
        raise Refusal(413, f"the body is longer than {most} bytes")
    return b"".join(pieces)
