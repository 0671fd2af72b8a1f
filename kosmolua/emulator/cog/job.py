"""A job on a cog server: its state is what the server has reported so far, not a function of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kosmolua.emulator.cog.values import PREDICTION, Kind, ShownOutput
from kosmolua.emulator.jobs import LONGEST, Job, Moment
from kosmolua.emulator.models import Outcome, Work

MOST_LOGS = 10 * 1024 * 1024  # characters
ENDED = ("succeeded", "failed", "canceled")  # not a set: a server may send a list as the status


def _ignore(_: CogJob) -> None: ...


@dataclass
class CogJob(Job):
    """A job whose state a server reports. All methods are called under the emulator's lock."""

    schema: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kind: Kind = PREDICTION
    grows: bool = False
    by_webhook: bool = False  # a webhook reports the job's end; otherwise the answer to the request does
    began: float | None = None
    ended: float | None = None
    result: str = "failed"
    text: str = ""
    parts: list[Any] = field(default_factory=list)
    pieces: list[tuple[float, str, str]] = field(default_factory=list, repr=False)
    size: int = 0
    freed: bool = False
    reported: bool = False  # the server reported the end
    on_end: Callable[[CogJob], None] = field(default=_ignore, repr=False)

    @property
    def start(self) -> float:
        return math.inf if self.began is None else self.began

    @property
    def end(self) -> float:
        return self.finish()

    def outcome(self) -> Outcome:
        return self._outcome or Outcome(None)

    def at(self, now: float) -> Moment:
        if self.ended is not None and now >= self.ended:
            return Moment(self.result, self.began, self.ended, 1.0)
        return Moment("starting") if now < self.start else Moment("processing", self.began)

    def finish(self) -> float:
        return math.inf if self.ended is None else self.ended

    def stamp(self) -> tuple[float, int]:
        return self.finish(), len(self.pieces)

    def removed(self, now: float) -> bool:
        return self.freed or super().removed(now)

    def free(self) -> None:
        self.freed, self.size = True, 0
        self._outcome = Outcome(None, error=self.outcome().error)
        self.given, self.work, self.text = {}, Work({}, self.work.seed), ""
        self.parts, self.pieces = [], []

    def logs(self, moment: Moment) -> list[str]:
        return [self.text] if self.text and moment.started is not None else []

    def output(self, moment: Moment) -> Any:
        if moment.status in {"succeeded", "failed"}:
            return self.outcome().output
        return list(self.parts) if self.parts else None

    def overdue(self, now: float) -> bool:
        """End the job if its deadline, or a prediction's time limit, has passed. Returns whether the job has ended."""
        if self.ended is None and self.deadline is not None and now >= self.deadline:
            self.close("canceled" if self.began is not None else "aborted", now)
        if self.ended is None and self.kind is PREDICTION and now >= self.start + LONGEST:
            self.fail("Prediction timed out after 30 minutes", now)
        return self.ended is not None

    def cancel(self, now: float) -> None:
        if self.ended is None:
            self.close("canceled", now)

    def begin(self, now: float) -> None:
        if self.began is None and self.ended is None:
            self.began = now

    def progress(self, report: Mapping[str, Any], now: float) -> None:
        """Apply a progress report. Webhooks may arrive out of order: a report with less output than known is old."""
        if self.ended is not None:
            return
        self.begin(now)
        self._log(report.get("logs"), now)
        self._grow(report.get("output"), now)

    def report(self, report: Mapping[str, Any], now: float) -> None:
        """Apply a webhook.

        If the model was quick, the start webhook may already have the final status. A webhook has paths on the server
        instead of files, so its final status counts only if no other message reports the job's end.
        """
        ended = self.by_webhook and report.get("status") in ENDED
        (self.complete if ended else self.progress)(report, now)

    def complete(self, report: Mapping[str, Any], now: float) -> None:
        """Apply the final state of the prediction or training."""
        if self.ended is not None:
            return
        status = report.get("status")
        if status not in ENDED:
            self.fail(f"cog ended the {self.kind.place.removesuffix('s')} with the status {status!r}", now)
            return
        self.progress(report, now)
        self.reported, shown = True, ShownOutput(self.schema, self.kind)
        output = shown.output(report.get("output"))
        error = str(report.get("error") or "the model failed without a message") if status == "failed" else None
        self._outcome, self.size = Outcome(output, shown.files, error), shown.size
        self.billed = _metrics(report.get("metrics"))
        self.close(str(status), now)

    def fail(self, message: str, now: float, logs: str = "") -> None:
        if self.ended is None:
            self.text += logs
            self._outcome = Outcome(list(self.parts) or None, error=message)
            self.close("failed", now)

    def close(self, status: str, now: float) -> None:
        self.result, self.ended = status, now
        if status == "aborted":
            self.began = None
        self.billed = self.billed or {}
        self.on_end(self)

    def _log(self, text: Any, now: float) -> None:
        if isinstance(text, str) and len(self.text) < len(text) <= MOST_LOGS:
            new = text.removeprefix(self.text)
            self.text = text
            self.pieces.append((now, "logs", new))

    def _grow(self, output: Any, now: float) -> None:
        if not self.grows or not isinstance(output, list):
            return
        new = output[len(self.parts) :]
        self.parts += new
        if self.behaviour.streams:
            self.pieces += [(now, "output", str(part)) for part in new]


def _metrics(found: Any) -> dict[str, float]:
    """The time that cog measured, and the metrics that the model recorded."""
    numbers = found if isinstance(found, Mapping) else {}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "total_time"
    }
