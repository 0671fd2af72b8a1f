"""A prediction or training as a pure function of time: its state follows from its creation time."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from kosmolua.emulator.clock import rfc3339
from kosmolua.emulator.models import Behaviour, Content, FileRef, Outcome, Work, log_lines, run

RETENTION = 3600.0
"""Seconds after the end of a job until its input, output, logs and files are removed."""
LONGEST = 1800.0
"""Seconds after which the API times out a run."""
OFFICIAL = "hidden"
"""What the API returns instead of the version of an official model."""
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})


@dataclass(frozen=True)
class Moment:
    """The state of a job at one time. ``fraction`` is the progress, from 0 to 1."""

    status: str
    started: float | None = None
    completed: float | None = None
    fraction: float = 0.0

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass
class Job:
    """A prediction or a training. Times are Unix seconds; ``canceled`` is the time of a cancel."""

    id: str
    model: str
    version: str
    behaviour: Behaviour
    work: Work
    given: Mapping[str, Any]
    created: float
    starts: float
    runs: float
    source: str = "api"
    deployment: str | None = None
    destination: str | None = None
    version_used: str = ""
    deadline: float | None = None
    canceled: float | None = None
    aborted: float | None = None
    kept: bool = False
    settled: bool = False
    inline: bool = False  # the output contains its files, as data URLs
    place: int = 0  # the index in the order of creation
    billed: dict[str, float] | None = None
    _outcome: Outcome | None = field(default=None, repr=False)

    @property
    def start(self) -> float:
        return self.created + self.starts

    @property
    def end(self) -> float:
        """When the job ends if it is not stopped."""
        return self.start + min(self.runs, LONGEST)

    def outcome(self) -> Outcome:
        """The result of the run, computed on first use."""
        if self.runs > LONGEST:
            return Outcome(None, error="Prediction timed out after 30 minutes")
        if self._outcome is None:
            self._outcome = run(self.behaviour, self.work)
        return self._outcome

    def _stop(self) -> tuple[float, str] | None:
        """When the job is stopped before its end, and the status that it gets; None if it is not stopped."""
        times = [(self.canceled, "canceled"), (self.aborted, "aborted"), (self.deadline, "canceled")]
        stops = [(at, status) for at, status in times if at is not None and at < self.end]
        if not stops:
            return None
        at, status = min(stops, key=lambda stop: stop[0])
        # A deadline before the start aborts the job; a later one cancels it.
        return at, "aborted" if at == self.deadline and at < self.start else status

    def at(self, now: float) -> Moment:
        stop = self._stop()
        if stop and now >= stop[0]:
            started = self.start if stop[0] >= self.start else None
            return Moment(stop[1], started, stop[0], self._fraction(stop[0]))
        if now < self.start:
            return Moment("starting")
        if now < self.end:
            return Moment("processing", self.start, None, self._fraction(now))
        status = "failed" if self.outcome().error else "succeeded"
        return Moment(status, self.start, self.end, 1.0)

    def _fraction(self, now: float) -> float:
        return min(1.0, max(0.0, (now - self.start) / (self.end - self.start)))

    def cancel(self, now: float) -> None:
        """Cancel the job, unless it has ended."""
        if not self.at(now).terminal:
            self.canceled = now

    def stamp(self) -> object:
        """A value that changes whenever the job's events do: only a cancel changes events, and it changes the end."""
        return self.finish()

    def finish(self) -> float:
        """When the job ends, stopped or not."""
        stop = self._stop()
        return stop[0] if stop else self.end

    def removed(self, now: float) -> bool:
        return not self.kept and now >= self.finish() + RETENTION

    def free(self) -> None:
        """Drop what is no longer returned: input, output and files."""
        moment = self.at(self.finish())
        self.billed = _billed(self, moment)
        error = self.outcome().error if moment.status == "failed" else None
        self._outcome = Outcome(None, error=error)
        self.given = {}
        self.work = Work({}, self.work.seed)

    def logs(self, moment: Moment) -> list[str]:
        if moment.started is None:
            return []
        lines = log_lines(self.behaviour, self.work.seed)
        return lines[: 1 + int(moment.fraction * (len(lines) - 1))]

    def output(self, moment: Moment) -> Any:
        """The output so far: partial for streaming models, complete or nothing for others."""
        if moment.status == "succeeded":
            return self.outcome().output
        if not self.behaviour.streams or moment.started is None or self.runs > LONGEST:
            return None
        tokens = self.outcome().output
        return tokens[: int(moment.fraction * len(tokens))]


def with_urls(output: Any, url: Callable[[str], object]) -> Any:
    """The output with each file reference replaced by the file's URL, which ``url`` returns for the file's name."""
    if isinstance(output, FileRef):
        return url(output.name)
    if isinstance(output, list):
        return [with_urls(item, url) for item in output]
    if isinstance(output, dict):
        return {name: with_urls(item, url) for name, item in output.items()}
    return output


class DataUrl:
    """A file as a data URL. It is made outside the lock, when the answer is written, since painting takes long."""

    # msgspec would write a dataclass by itself.
    def __init__(self, content_type: str, content: Content) -> None:
        self.content_type, self.content = content_type, content

    def text(self) -> str:
        return f"data:{self.content_type};base64,{base64.b64encode(self.content.read()).decode()}"

    def __str__(self) -> str:
        return f"data:{self.content_type};base64,…"


def encode(document: Any) -> bytes:
    """A document as JSON. Paints the files that it contains as data URLs."""
    return msgspec.json.encode(document, enc_hook=DataUrl.text)


def _url(job: Job, origin: str, name: str) -> str | DataUrl:
    return DataUrl(*job.outcome().files[name]) if job.inline else f"{origin}/delivery/{job.id}/{name}"


def _metrics(job: Job, moment: Moment) -> dict[str, float]:
    if moment.completed is None:
        return {}
    total = {"total_time": round(moment.completed - job.created, 6)}
    if moment.started is None:
        return total
    billed = _billed(job, moment) if job.billed is None else job.billed
    return {"predict_time": round(moment.completed - moment.started, 6), **total, **billed}


def _billed(job: Job, moment: Moment) -> dict[str, float]:
    """The billing metrics of an official model that succeeded: tokens, images, or seconds of video."""
    if moment.status != "succeeded" or job.version != OFFICIAL:
        return {}
    output, units = job.outcome().output, job.outcome().units
    if units is not None:
        return dict(units)
    if job.behaviour.streams:
        return {"token_input_count": len(str(job.given.get("prompt", "")).split()), "token_output_count": len(output)}
    if job.behaviour.seconds:
        return {"video_output_count": 1, "video_output_duration_seconds": job.behaviour.seconds}
    return {"image_output_count": len(output) if isinstance(output, list) else 1}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def _common(job: Job, now: float, origin: str) -> dict[str, Any]:
    moment, removed = job.at(now), job.removed(now)
    finished = moment.status in {"succeeded", "failed"}
    output = None if removed else with_urls(job.output(moment), partial(_url, job, origin))
    return {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "input": {} if removed else dict(job.given),
        "output": output,
        "logs": "" if removed else "".join(job.logs(moment)),
        "error": job.outcome().error if finished else None,
        "status": moment.status,
        "source": job.source,
        "data_removed": removed,
        "created_at": rfc3339(job.created),
        "started_at": _time(moment.started),
        "completed_at": _time(moment.completed),
        "metrics": _metrics(job, moment),
    }


def show_prediction(job: Job, now: float, origin: str) -> dict[str, Any]:
    urls = _urls(origin, "predictions", job)
    if job.behaviour.streams:
        urls["stream"] = f"{origin}/stream/{job.id}"
    shown = {**_common(job, now, origin), "urls": urls}
    if job.deadline is not None:
        shown["deadline"] = rfc3339(job.deadline)
    if job.deployment:
        shown["deployment"] = job.deployment
    return shown


def show_training(job: Job, now: float, origin: str) -> dict[str, Any]:
    shown = _common(job, now, origin)
    if shown["output"]:
        made = shown["output"] if isinstance(shown["output"], dict) else {"weights": shown["output"]}
        shown["output"] = {"version": f"{job.destination}:{job.version_used}", **made}
    return {**shown, "destination": job.destination, "urls": _urls(origin, "trainings", job)}


def _urls(origin: str, family: str, job: Job) -> dict[str, str]:
    get = f"{origin}/v1/{family}/{job.id}"
    return {"get": get, "cancel": f"{get}/cancel", "web": f"{origin}/p/{job.id}"}
