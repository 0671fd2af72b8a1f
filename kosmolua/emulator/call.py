"""A request as handlers get it, and the kinds of answers that are not plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

from kosmolua.emulator.jobs import Job
from kosmolua.emulator.models import Content
from kosmolua.emulator.world import World
from kosmolua.replicate.catalogue import Operation


class ApiRequest(Request):
    """A request without a size limit for form fields: file content may come in a part without a filename."""

    max_form_memory_size = None


@dataclass
class ApiCall:
    """A request matched to an operation. ``arguments`` come from path, query, headers and body."""

    operation: Operation
    request: ApiRequest
    world: World
    now: float
    origin: str
    arguments: dict[str, Any] = field(default_factory=dict)
    faults: frozenset[str] = frozenset()


@dataclass
class Hold:
    """An answer that is delayed until the job is done or until the time ``until``.

    With ``half_done`` it is returned while the job is processing, and with ``early`` as soon as there is an output,
    with its earlier status, as the API sometimes does.
    """

    job: Job
    until: float
    show: Callable[[float], dict[str, Any]]
    half_done: bool = False
    early: bool = False


@dataclass
class Delivery:
    """A file as an answer."""

    content_type: str
    content: Content


Answer = Response | Hold | Delivery | dict[str, Any] | list[Any] | None
Handler = Callable[[ApiCall], Answer]
