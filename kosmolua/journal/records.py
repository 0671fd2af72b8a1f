"""What a journal holds: the facts of its run, requests, attempts at writes, and answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, NotRequired, Protocol, TypedDict

from msgspec import Meta, Struct

from kosmolua.journal.arguments import shown
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings.config import DEFAULT_ACCOUNT

AWAIT = "host.await"  # the request that waits for a job; its answer is what the read `get_…` answers
SPAN = 1 << 32  # at a prompt, each input has this many task numbers
MOST_SECONDS = 1e11  # the latest time that datetime can represent


def uptime() -> tuple[str, float]:
    """The id of this boot, and seconds since it began; an empty id if the system does not provide them."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return "", 0.0


class Lookup(Struct, frozen=True, kw_only=True):
    """How to look for an interrupted write. ``settling`` is how many seconds later such a request may still arrive;
    ``adopt`` is the id that a person named as the write's result; ``again``: a person said that the write never ran.
    ``uptime`` gives the boot and seconds since it began, which do not change when the clock is set.
    """

    settling: float = 30.0
    adopt: str | None = None
    again: bool = False
    sleep: Callable[[float], None] = time.sleep
    uptime: Callable[[], tuple[str, float]] = uptime

    def age(self, attempt: Intent) -> float:
        """Seconds since the attempt."""
        boot, now = self.uptime()
        return max(0.0, now - attempt.uptime if boot and boot == attempt.boot else time.time() - attempt.at)


class Head(Struct, frozen=True, kw_only=True):
    """Which run a journal is for. ``source`` is kept so that a script without a file can be resumed; a ``prompt`` has
    no source. ``account`` is used by calls that name no other. ``named`` are arguments by name instead of ``args``.
    """

    script: str
    source: bytes
    args: list[str] = []
    named: dict[str, Any] | None = None
    account: str = DEFAULT_ACCOUNT
    emulated: bool = False
    prompt: bool = False


class Facts(TypedDict):
    """Facts about the run itself. With ``awaits``, a wait is one request; earlier versions recorded each poll."""

    id: str
    script: str
    source: bytes
    args: list[str]
    named: NotRequired[dict[str, Any] | None]
    account: str
    emulated: int
    prompt: NotRequired[int]
    directory: str
    began: Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
    seed: int
    awaits: NotRequired[int]


class RecordedAnswer(Struct, frozen=True):
    """The ``order``-th answer. ``value`` is None if it is not stored."""

    order: int
    ok: bool
    value: bytes | None


class Intent(Struct, frozen=True):
    """An attempt at a write that has no answer. ``at`` is in Unix seconds, ``uptime`` in seconds of that ``boot``."""

    number: int
    at: float
    essence: bytes
    boot: str
    uptime: float


class CallStart(Struct, frozen=True):
    """A request that is being carried out, or an attempt at one. ``seen`` is the last row that the script had seen."""

    task: int
    request: int
    function: str
    account: str
    digest: bytes
    arguments: bytes
    at: float = 0.0
    seen: int = 0

    def asks_like(self, other: CallStart) -> bool:
        return (self.function, self.account, self.digest) == (other.function, other.account, other.digest)

    def __str__(self) -> str:
        account = f" on account {self.account}" if self.account not in {"", "default"} else ""
        return f"{self.function}{account} {shown(self.arguments)}"


class Request(Protocol):
    """A request from the runtime, as the journal sees it. At a prompt ``input`` is the number of the input."""

    @property
    def task(self) -> int: ...

    @property
    def number(self) -> int: ...

    @property
    def function(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def arguments(self) -> bytes: ...

    @property
    def input(self) -> int: ...


class Row(Struct, frozen=True):
    """An answer in the journal: its number in the file, its place in the order of answers, "ok", "error" or "unsure",
    and the request.
    """

    number: int
    order: int
    state: str
    began: CallStart


class Loaded(Struct, frozen=True):
    """What a resumed run needs from a journal: answers in order, attempts without an answer, and function and value of
    each answer to a call that was sent.
    """

    rows: list[Row]
    attempts: list[tuple[CallStart, Intent]]
    answered: list[tuple[str, bytes]]


class Counts(Struct, frozen=True):
    """A run in numbers: starts, answers, open attempts. ``end`` is when the last run ended, whether it succeeded, and
    its error; ``last`` is when the last answer came.
    """

    runs: int
    answers: int
    open: int
    end: tuple[float, bool, str | None] | None
    last: float | None


class Sent(Struct, frozen=True):
    """A call that any run of the journal sent; ``value`` is the answer if the call succeeded and the answer was
    kept.
    """

    number: int
    function: str
    account: str
    arguments: bytes
    model: str | None
    at: float
    state: str
    value: bytes | None
    cut: bool


class Line(Struct, frozen=True):
    """One entry for people and cassettes: a request with its answer, or an attempt without one (state "open")."""

    began: CallStart
    model: str | None
    state: str
    value: bytes | None = None
    ended: float | None = None


def place_of(task: int, request: int, *, prompt: bool = False) -> str:
    """Where a request was made: task and request; at a prompt, also the input."""
    number, task = divmod(task, SPAN)
    words = [f"input {number + 1}"] * prompt + [f"task {task}"] * (task > 0) + [f"request {request}"]
    return ", ".join(words)


@lru_cache(maxsize=64)
def _custom(name: str) -> Operation:
    return Operation(name=name, operation_id=name, access="write", method="CALL", path="", summary="", returns=None)


def operation_of(function: str) -> Operation | None:
    """The API function whose answer an entry holds, if any. A custom function counts as a write."""
    if function.startswith(catalogue.CUSTOM):
        return _custom(function)
    return catalogue.BY_NAME["get_prediction"] if function == AWAIT else catalogue.find(function)


def is_of_the_api(function: str) -> bool:
    """Whether an entry is a call of the API, rather than one of a host function such as time."""
    return function == AWAIT or not function.startswith("host.")


def is_of_a_prompt(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("prompt"))
