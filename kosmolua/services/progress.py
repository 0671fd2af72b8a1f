"""The progress of a run, from the answers that its session sees: the state of its predictions and trainings, and for
a report also its calls with inputs and outputs.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from kosmolua.gate.budget import TERMINAL, starts_compute
from kosmolua.gate.jobs import seconds_of
from kosmolua.gate.policy import model_of
from kosmolua.replicate.catalogue import STREAM, Operation
from kosmolua.replicate.results import STATUSES

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError
    from kosmolua.gate.entry import Entry

MAX_CALLS = 2_000  # maximum calls, kept with their errors
MAX_JOBS = 500  # maximum jobs, kept with inputs and outputs
MAX_TEXT = 6_000  # characters of an input, an output, an error
MAX_STRING = 1_500  # characters of one string in an input or output
MAX_FILES = 16  # maximum files of one output
MAX_DATA_URL = 8_000_000  # characters
_DEEPEST = 12
_MOST_ITEMS = 100
# The same as in output.lua; tests/workflows/progress.json tests both.
_BAR = re.compile(r"(?<![0-9])([0-9]{1,3})%[ \t]*\|[^\r\n|]*\|[ \t]*[0-9]{1,15}/[0-9]{1,15}(?![0-9])")
_LOGS_LOOKED_AT = 4_000  # bytes, from the end of the logs


class Job(Struct, kw_only=True):
    """A prediction or a training. ``own``: created by this run.

    Times are in Unix seconds by this machine's clock; None if the state was not reached or the time is unknown;
    ``seconds`` is the compute time reported by the API. Input and output are kept as truncated text; ``files`` are the
    URLs in its output.
    """

    id: str
    kind: str
    account: str
    own: bool
    created: float
    model: str = ""
    status: str = "starting"
    percent: int | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    seen: float = 0.0  # time of the last answer about the job
    end_reported: bool = False  # whether the API reported the job's end
    input: str | None = None
    output: str | None = None
    files: list[str] = []
    error: str | None = None
    web: str | None = None
    stream: str | None = None


class Call(Struct, frozen=True):
    """A call: when it ended in Unix seconds, the id of its job, and its error."""

    entry: Entry
    ended: float
    job: str | None
    error: str | None


class Summary(Struct, frozen=True):
    """The state of a run: open create requests, jobs by state, the mean percentage of the jobs that report a
    percentage, reported seconds of compute, and downloads as path, bytes received, and total bytes if known. ``model``
    is the model of all jobs, if they have the same one.
    """

    creating: int
    states: dict[str, int]
    percent: int | None
    seconds: float
    downloads: list[tuple[str, int, int | None]]
    model: str = ""


class Progress:
    """A watcher that collects the progress of a session. Thread-safe.

    With ``keep``, for a report, the first calls and jobs are kept with details; without it no texts are kept.
    ``on_state`` is called with a job when its state has changed.
    """

    def __init__(
        self,
        *,
        keep: bool = False,
        clock: Callable[[], float] = time.time,
        on_state: Callable[[Job], None] | None = None,
    ) -> None:
        self.calls: list[Call] = []
        self.jobs: list[Job] = []
        self._keep = keep
        self._clock = clock
        self._on_state = on_state
        self._lock = threading.Lock()
        self._creating: dict[int, str] = {}  # entry -> model
        self._known: dict[tuple[str, str], Job] = {}
        self._running: dict[tuple[str, str], Job] = {}
        self._streams: dict[str, Job] = {}
        self._states: dict[str, int] = {}
        self._models: set[str] = set()  # at most two are kept
        self._spent = 0.0
        self._downloads: dict[str, tuple[int, int | None]] = {}

    def begins(self, entry: Entry, operation: Operation, given: Mapping[str, Any]) -> None:
        if starts_compute(operation):
            with self._lock:
                self._creating[id(entry)] = model_of(given) or ""

    def ended(
        self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, error: KosmoError | None
    ) -> None:
        with self._lock:
            self._creating.pop(id(entry), None)
            job = self._learn(entry, operation, given, data) if entry.outcome == "ok" else None
            if self._keep and len(self.calls) < MAX_CALLS:
                why = cut(error.message) if error else None
                self.calls.append(Call(entry, self._clock(), job.id if job else None, why))

    def followed(self, url: str, event: str, data: str) -> None:
        """An event of a prediction's stream. When the stream ends, the prediction has ended too."""
        if event not in {"done", "error"}:
            return
        with self._lock:
            job = self._streams.get(url)
            if job and job.status not in TERMINAL:
                end = "failed" if event == "error" else "canceled" if '"reason"' in data else "succeeded"
                self._move(job, end)
                job.ended = self._clock()

    def downloading(self, path: str, received: int, total: int | None) -> None:
        """``received`` bytes of a file have arrived; negative when the download has ended."""
        with self._lock:
            if received < 0:
                self._downloads.pop(path, None)
            else:
                self._downloads[path] = received, total

    def summary(self) -> Summary:
        with self._lock:
            running = [job for job in self._running.values() if job.started is not None]
            percents = [job.percent for job in running if job.percent is not None]
            return Summary(
                creating=len(self._creating),
                states={state: count for state, count in self._states.items() if count},
                percent=round(sum(percents) / len(percents)) if percents else None,
                seconds=self._spent + sum(job.seen - (job.started or job.seen) for job in running if job.own),
                downloads=[(path, *rest) for path, rest in self._downloads.items()],
                model=self._model(),
            )

    def _model(self) -> str:
        models = (self._models | set(self._creating.values())) - {""}
        return models.pop() if len(models) == 1 else ""

    def unreported(self) -> list[Job]:
        """The jobs of this run whose end the API has not reported."""
        with self._lock:
            return [job for job in self.jobs if job.own and not job.end_reported]

    def update(self, job: Job, data: Any) -> None:
        """Update a job from further data."""
        with self._lock:
            if isinstance(data, dict):
                self._update(job, data)

    # Learning from answers ------------------------------------------------------------------------------------------

    def _learn(self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any) -> Job | None:
        if operation is STREAM or not isinstance(data, dict):
            return None
        kind = operation.job
        if kind is None:
            return None
        if not operation.paged:
            job = self._known.get((kind, _text(data, "id"))) or self._add(kind, entry, operation, given, data)
            return self._update(job, data) if job else None
        page = data.get("results")
        for item in page if isinstance(page, list) else ():
            known = self._known.get((kind, _text(item, "id"))) if isinstance(item, dict) else None
            if known:  # jobs that others created are not part of this run
                self._update(known, item)
        return None

    def _add(
        self, kind: str, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Mapping[str, Any]
    ) -> Job | None:
        identifier = _text(data, "id")
        if not identifier:
            return None
        own = starts_compute(operation)
        reported = _time(data, "created_at")
        sent = self._clock() - entry.duration_ms / 1000
        made = Job(
            id=identifier,
            kind=kind,
            account=entry.account,
            own=own,
            created=sent if own or reported is None else min(reported, sent),
            model=_text(data, "model") or model_of(given) or _text(data, "version"),
            status="",
        )
        self._known[kind, identifier] = self._running[kind, identifier] = made
        if len(self._models) < 2:  # noqa: PLR2004 - one, or more than one
            self._models.add(made.model)
        urls = data["urls"] if isinstance(data.get("urls"), dict) else {}
        made.stream = _text(urls, "stream", MAX_STRING) or None
        if made.stream:
            self._streams[made.stream] = made
        if self._keep and len(self.jobs) < MAX_JOBS:
            self.jobs.append(made)
            made.input = as_text(data.get("input") or given.get("input"))
            made.web = _text(urls, "web") or None
        return made

    def _update(self, job: Job, data: Mapping[str, Any]) -> Job:
        if job.end_reported:
            return job
        status = _text(data, "status")
        self._move(job, status if status in STATUSES else job.status or "starting")
        self._times(job, data)
        job.percent = percent_of(data.get("logs")) if job.status == "processing" else None
        if status in TERMINAL:
            job.end_reported = True
            job.seconds = seconds_of(data)
            self._spent += job.seconds or 0.0 if job.own else 0.0
            if self._keep:
                job.output = as_text(data.get("output"))
                job.files = list(_files(data.get("output")))
                job.error = as_text(data.get("error"))
        return job

    def _move(self, job: Job, status: str) -> None:
        if job.status != status:
            if job.status:
                self._states[job.status] -= 1
            self._states[status] = self._states.get(status, 0) + 1
            job.status = status
            if self._on_state:
                self._on_state(job)
        if status in TERMINAL:
            self._running.pop((job.kind, job.id), None)
            self._streams.pop(job.stream or "", None)

    def _times(self, job: Job, data: Mapping[str, Any]) -> None:
        """Convert the API's times to this machine's clock: a job of this run was created when its request was sent."""
        now = job.seen = self._clock()
        created = _time(data, "created_at")
        shift = job.created - created if created is not None else 0.0
        started, ended = _time(data, "started_at"), _time(data, "completed_at")
        if started is not None:
            job.started = min(max(started + shift, job.created), now)
        elif job.status == "processing" and job.started is None:
            job.started = now
        if job.status in TERMINAL:
            job.ended = min(max(ended + shift, job.started or job.created), now) if ended is not None else now


# Reading answers, which may have any content ------------------------------------------------------------------------


def _text(data: Mapping[str, Any], name: str, most: int = 200) -> str:
    value = data.get(name)
    return value[:most] if isinstance(value, str) else ""


def _time(data: Mapping[str, Any], name: str) -> float | None:
    try:
        return datetime.fromisoformat(_text(data, name)).timestamp()
    except (ValueError, OverflowError):
        return None


def percent_of(logs: Any) -> int | None:
    """The percentage of the last progress bar in the logs."""
    if not isinstance(logs, str) or "%" not in logs[-_LOGS_LOOKED_AT:]:
        return None
    end = logs[-_LOGS_LOOKED_AT:].encode(errors="replace")[-_LOGS_LOOKED_AT:].decode(errors="replace")
    found = _BAR.findall(end)
    return min(100, int(found[-1])) if found else None


def _files(value: Any, depth: int = 0) -> Iterator[str]:
    """The first URLs in an output."""
    found = 0
    for text in _strings(value, depth):
        if _is_url(text):
            yield text
            found += 1
            if found == MAX_FILES:
                return


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST and isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item, depth + 1)


def _is_url(text: str) -> bool:
    if text.startswith("data:"):
        return len(text) <= MAX_DATA_URL
    if not text.startswith(("https://", "http://")) or len(text) > MAX_STRING or not text.isprintable():
        return False
    try:
        return bool(urlsplit(text).hostname) and " " not in text
    except ValueError:
        return False


def as_text(value: Any) -> str | None:
    """A value for a person: text unchanged, lists of texts joined, other values as JSON; truncated if long."""
    if value is None:
        return None
    if isinstance(value, str):
        return cut(value, MAX_STRING if value.startswith("data:") else MAX_TEXT)
    if isinstance(value, list) and value and all(isinstance(x, str) and not _is_url(x) for x in value):
        return cut("".join(value))
    shown = msgspec.json.encode(_shortened(value), enc_hook=repr, order="sorted")  # values in Lua have no order
    return cut(msgspec.json.format(shown, indent=2).decode())


def _shortened(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return cut(value, 100 if value.startswith("data:") else MAX_STRING)
    if not isinstance(value, dict | list):
        return value
    if depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {cut(str(name), 100): _shortened(item, depth + 1) for name, item in list(value.items())[:_MOST_ITEMS]}
    rest = [f"… and {len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
    return [_shortened(item, depth + 1) for item in value[:_MOST_ITEMS]] + rest


def cut(text: str, length: int = MAX_TEXT) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"
