"""Faults that the emulator can simulate: ``KIND[:TARGET][:key=value...]``.

The target is ``*`` (any request, the default), ``read``, ``write``, ``create`` (any operation that starts or creates
something), ``stream``, ``delivery``, or the name of an operation. A fault fires for the first ``times`` requests that
match its target (default 1); ``times=*`` means always.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from werkzeug import Request

from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import OPERATIONS, Operation

HEADER = "X-Emulator-Fault"
TARGETS = ("*", "read", "write", "create", "stream", "delivery")


def _always(_operation: Operation, _request: Request) -> bool:
    return True


def _runs(operation: Operation, _request: Request) -> bool:
    return operation.starts is not None


def _waits(operation: Operation, request: Request) -> bool:
    return operation.blocking and "Prefer" in request.headers


def _pages(operation: Operation, _request: Request) -> bool:
    return operation.paged


def _streams(operation: Operation, _request: Request) -> bool:
    return operation.name == "stream"


def _answers(operation: Operation, _request: Request) -> bool:
    return operation.name != "stream"


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it does, its options with their defaults, and the requests it applies to."""

    help: str
    options: Mapping[str, str] = field(default_factory=dict)
    fits: Callable[[Operation, Request], bool] = _always


KINDS: dict[str, Kind] = {
    "401": Kind("reject the token"),
    "429": Kind("too many requests; retry_after is in seconds", {"retry_after": "1"}),
    "throttle": Kind(
        "too many requests beyond per_minute, after a burst",
        {"per_minute": "6", "burst": "1"},
    ),
    "402": Kind("the account has no credit"),
    "low-credit": Kind("too many requests for an account with little credit", {"retry_after": "10"}),
    "500": Kind("a problem document with status 500"),
    "502-html": Kind("the HTML page of a proxy, status 502"),
    "503": Kind("a problem document with status 503; retry_after is in seconds", {"retry_after": "1"}),
    "empty": Kind("status 500 without a body"),
    "drop": Kind(
        "close the connection without an answer; after=accept: carry out the request first, after=request: do not",
        {"after": "accept"},
    ),
    "cut": Kind("close the connection halfway through the answer", fits=_answers),
    "slow": Kind("wait before processing the request", {"seconds": "1"}),
    "aborted": Kind("the prediction or training ends as aborted before it starts", fits=_runs),
    "stuck": Kind("the prediction or training runs until it times out after 30 minutes", fits=_runs),
    "processing": Kind("a blocking create answers `processing` without output", fits=_waits),
    "early": Kind("a blocking create answers `processing` with the whole output", fits=_waits),
    "stream-cut": Kind("close the connection halfway through an event stream", fits=_streams),
    "next-null": Kind('a page\'s `next` is the string "null"', fits=_pages),
    "http-next": Kind(
        "a page's `next` is an http:// URL on another host", {"host": "api.replicate.invalid"}, fits=_pages
    ),
}
_NUMBERS = frozenset({"retry_after", "seconds", "per_minute", "burst"})
_ALWAYS = frozenset({"throttle"})  # kinds with the default times=*


@dataclass(frozen=True)
class Fault:
    """A requested fault. ``times`` is None if it always fires."""

    kind: str
    target: str = "*"
    times: int | None = 1
    options: Mapping[str, str] = field(default_factory=dict)

    def fits(self, operation: Operation, request: Request) -> bool:
        return self._aims_at(operation) and KINDS[self.kind].fits(operation, request)

    def _aims_at(self, operation: Operation) -> bool:
        if self.target == "create":
            return operation.creates is not None
        return self.target in {"*", operation.name, operation.access}

    def number(self, option: str) -> float:
        return float(self.options[option])


def parse_fault(spec: str) -> Fault:
    """Parse a specification. Raises a UsageError with the known names and the nearest one."""
    name, *parts = [part.strip() for part in spec.strip().split(":")]
    if name not in KINDS:
        raise _unknown("fault", name, KINDS, spec)
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    targets = [part for part in parts if "=" not in part]
    if len(targets) > 1:
        raise UsageError(f"expected one target in fault {spec!r}, found {len(targets)}: {', '.join(targets)}")
    target = _target(targets[0], spec) if targets else "*"
    times = _times(given.pop("times", "*" if name in _ALWAYS else "1"), spec)
    return Fault(name, target, times, {**KINDS[name].options, **_options(name, given, spec)})


def _target(name: str, spec: str) -> str:
    known = [*TARGETS, *(operation.name for operation in OPERATIONS)]
    if name not in known:
        raise _unknown("target", name, known, spec)
    return name


def _times(text: str, spec: str) -> int | None:
    if text == "*":
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"expected times=N or times=* in fault {spec!r}, found times={text}")
    return int(text)


def _options(kind: str, given: dict[str, str], spec: str) -> dict[str, str]:
    for name, value in given.items():
        if name not in KINDS[kind].options:
            raise _unknown("option", name, ["times", *KINDS[kind].options], spec)
        if name in _NUMBERS and not value.replace(".", "", 1).isdecimal():
            what = "a number of seconds" if name in {"retry_after", "seconds"} else "a number"
            raise UsageError(f"expected {what} in fault {spec!r}, found {name}={value}")
        if name == "after" and value not in {"accept", "request"}:
            raise _unknown("value of after", value, ["accept", "request"], spec)
    return given


def _unknown(what: str, name: str, known: Iterable[str], spec: str) -> UsageError:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    suggestion = f"; did you mean {near[0]!r}?" if near else ""
    # Without the operations, which would make the list too long.
    shown = [one for one in names if what != "target" or one in TARGETS]
    more = ", or the name of an operation" if what == "target" else ""
    where = f" in fault {spec!r}" if name != spec else ""
    hint = f"write KIND[:TARGET][:key=value...]; the {what} is one of {', '.join(shown)}{more}; see kosmo help faults"
    return UsageError(f"unknown {what} {name!r}{where}{suggestion}", hint=hint)


class _Bucket:
    """A token bucket: ``burst`` requests at once, then ``per_minute``."""

    def __init__(self, fault: Fault, now: float) -> None:
        self._most = fault.number("burst")
        self._rate = fault.number("per_minute") / 60
        self._held, self._since = self._most, now

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until one is available."""
        now = max(now, self._since)  # requests read the time before they get the lock
        self._held = min(self._most, self._held + (now - self._since) * self._rate)
        self._since = now
        if self._held >= 1:
            self._held -= 1
            return 0.0
        return (1 - self._held) / self._rate if self._rate else math.inf


class FaultBox:
    """The faults of an emulator, and how often each may still fire."""

    def __init__(self, specs: Iterable[str], now: float = 0.0) -> None:
        self._faults: list[Fault] = []
        self._left: list[int | None] = []
        self._buckets: list[_Bucket | None] = []
        self._lock = Lock()
        self.add(specs, now)

    def add(self, specs: Iterable[str], now: float) -> None:
        """Add faults. Raises a UsageError, and adds nothing, if one of them is unknown."""
        faults = [parse_fault(spec) for spec in specs]
        with self._lock:
            self._faults += faults
            self._left += [fault.times for fault in faults]
            self._buckets += [_Bucket(fault, now) if fault.kind == "throttle" else None for fault in faults]

    def pick(self, operation: Operation, request: Request, now: float = 0.0) -> dict[str, Fault]:
        """The faults that fire for this request, by kind; faults in the request's header always fire."""
        asked = [parse_fault(spec) for spec in request.headers.get(HEADER, "").split(",") if spec.strip()]
        with self._lock:
            fired = [self._fired(at, operation, request, now) for at in range(len(self._faults))]
        return {fault.kind: fault for fault in [*fired, *asked] if fault and fault.fits(operation, request)}

    def _fired(self, at: int, operation: Operation, request: Request, now: float) -> Fault | None:
        fault, left, bucket = self._faults[at], self._left[at], self._buckets[at]
        if left == 0 or not fault.fits(operation, request):
            return None
        if bucket:
            seconds = bucket.take(now)
            if not seconds:
                return None
            fault = replace(fault, kind="429", options={"retry_after": str(math.ceil(min(seconds, 3600)))})
        self._left[at] = None if left is None else left - 1
        return fault
