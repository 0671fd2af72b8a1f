"""One request on its way through the emulator, and the two kinds of answers that are not plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

from kosmolua.emulator.jobs import Job
from kosmolua.emulator.world import World
from kosmolua.replicate.catalogue import Operation


class ApiRequest(Request):
    """A request whose parts may be as large as a file: a part without a filename is content all the same."""

    max_form_memory_size = None


@dataclass
class Call:
    """A request that has been matched to an operation; ``arguments`` are path values, query, headers and body."""

    operation: Operation
    request: ApiRequest
    world: World
    now: float
    origin: str
    arguments: dict[str, Any] = field(default_factory=dict)
    faults: frozenset[str] = frozenset()


@dataclass
class Hold:
    """An answer that is held back until the job is done or ``until`` has come.

    ``half_done`` gives it while the job is processing, as the API does at times.
    """

    job: Job
    until: float
    show: Callable[[float], dict[str, Any]]
    half_done: bool = False


Answer = Response | Hold | dict[str, Any] | list[Any] | None
Handler = Callable[[Call], Answer]
