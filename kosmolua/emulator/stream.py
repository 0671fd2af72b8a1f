"""Event streams: the output of a running prediction as server-sent events, timed by the clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import msgspec

from kosmolua.emulator.clock import Clock
from kosmolua.emulator.cog.job import CogJob
from kosmolua.emulator.jobs import LONGEST, Job
from kosmolua.emulator.misbehaviour import dropped
from kosmolua.emulator.models import log_lines

LONGEST_CONNECTION = 30.0
"""Seconds after which the API closes a stream, even if it is not complete."""
TIMEOUT = b":408: 408 Request Timeout\n\n"
# Seconds between checks: another request may cancel the job.
LOOK = 0.05


@dataclass(frozen=True)
class Event:
    """One event and the time at which it happens."""

    time: float
    name: str
    data: str

    def encode(self, number: int, *, ids: bool = False) -> bytes:
        lines = "".join(f"data: {line}\n" for line in self.data.split("\n"))
        # The last events have no id in the API's guide, but the API has been seen to send one.
        name = f"id: {self.id(number)}\n" if ids or self.name in {"output", "logs"} else ""
        return f"event: {self.name}\n{name}{lines}\n".encode()

    def id(self, number: int) -> str:
        return f"{int(self.time)}:{number}"


def timeline(job: Job) -> list[Event]:
    """All events of a job's stream, in order: those until a stop, and for a job on a cog server those so far."""
    finish = job.finish()
    if isinstance(job, CogJob):
        events = [Event(*piece) for piece in job.pieces]
        return [*events, *_ending(job, finish)] if finish < math.inf else events
    spread = [*_spread(job, "logs", log_lines(job.behaviour, job.work.seed)), *_spread(job, "output", _tokens(job))]
    events = [event for event in sorted(spread, key=lambda event: event.time) if event.time <= finish]
    return [*events, *_ending(job, finish)]


def _tokens(job: Job) -> list[str]:
    return [] if job.runs > LONGEST else list(job.outcome().output)


def _spread(job: Job, name: str, parts: list[str]) -> list[Event]:
    """Events spread over the job's run: the first log line at the start, the last token at the end."""
    length, lead = job.end - job.start, 0 if name == "logs" else 1
    return [Event(job.start + length * (at + lead) / len(parts), name, part) for at, part in enumerate(parts)]


def _ending(job: Job, finish: float) -> list[Event]:
    moment = job.at(finish)
    if moment.status == "succeeded":
        return [Event(finish, "done", "{}")]
    if moment.status in {"canceled", "aborted"}:
        return [Event(finish, "done", '{"reason":"canceled"}')]
    detail = msgspec.json.encode({"detail": job.outcome().error}).decode()
    return [Event(finish, "error", detail), Event(finish, "done", '{"reason":"error"}')]


def resume_at(job: Job, last_event_id: str | None) -> int:
    """The number of events up to and including this id; 0 for an unknown id."""
    ids = [event.id(number) for number, event in enumerate(timeline(job))]
    return ids.index(last_event_id) + 1 if last_event_id in ids else 0


def follow(
    job: Job,
    clock: Clock,
    lock: AbstractContextManager[bool],
    last_event_id: str | None,
    *,
    cut: bool = False,
    ids: bool = False,
) -> Iterator[bytes]:
    """The bytes of the stream. ``cut`` breaks the connection halfway; with ``ids`` the last events have ids too."""
    with lock:
        sent = resume_at(job, last_event_id)
    until = clock.time() + LONGEST_CONNECTION
    stamp, events = None, list[Event]()
    while True:
        with lock:
            if stamp != job.stamp():
                stamp, events = job.stamp(), timeline(job)
            ended = job.finish() < math.inf
        now = clock.time()
        while sent < len(events) and events[sent].time <= now:
            if cut and sent >= len(events) // 2:
                raise dropped()
            yield events[sent].encode(sent, ids=ids)
            sent += 1
        if sent >= len(events) and ended:
            return
        if now >= until:
            yield TIMEOUT
            return
        following = events[sent].time - now if sent < len(events) else LOOK
        clock.sleep(max(0.001, min(LOOK, following, until - now)))
