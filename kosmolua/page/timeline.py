"""The timeline of a run: a lane with the run's calls, and a lane for each prediction and training.

Bars are SVG: a strict Content-Security-Policy allows no style attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kosmolua.page.markup import Html, fill, join
from kosmolua.services.progress_line import clock

if TYPE_CHECKING:
    from kosmolua.services.progress import Call, Job

MINUTE = 60
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_MOST_TICKS = 7
_LEGEND = Html(
    '<p class="legend"><i class="call"></i>a call <i class="wait"></i>starting <i class="work succeeded"></i>succeeded '
    '<i class="work failed"></i>failed <i class="work canceled"></i>canceled '
    '<i class="work processing"></i>still running</p>\n'
)


class Scale:
    """Converts times to positions on the timeline, in percent."""

    def __init__(self, began: float, ended: float) -> None:
        self.began = began
        self.length = max(ended - began, 0.001)

    def at(self, moment: float) -> float:
        return min(100.0, max(0.0, 100 * (moment - self.began) / self.length))

    def bar(self, kind: str, start: float, end: float, title: str = "") -> Html:
        left = self.at(start)
        return fill(
            '<rect class="{}" x="{}%" width="{}%" height="100%"><title>{}</title></rect>',
            *(kind, f"{left:.3f}", f"{self.at(end) - left:.3f}", title),
        )

    def ticks(self) -> Iterator[Html]:
        step = next((step for step in _TICKS if self.length / step <= _MOST_TICKS), self.length / _MOST_TICKS)
        for number in range(int(self.length / step) + 1):
            seconds = number * step
            words = f"{seconds:g} s" if step < MINUTE else clock(seconds)
            yield fill('<text x="{}%" y="75%">{}</text>', f"{100 * seconds / self.length:.3f}", words)


def timeline(calls: Sequence[Call], jobs: Sequence[Job], began: float, ended: float) -> Html:
    """The section with the timeline. The run ``began`` and ``ended`` at these times in Unix seconds."""
    moments = [ended, *(job.ended for job in jobs if job.ended)]
    scale = Scale(min([began, *(job.created for job in jobs if job.own)]), max(moments))
    return fill(
        '<section class="timeline" aria-labelledby="timeline">\n<h2 id="timeline">Timeline</h2>\n<div class="rows">\n'
        '<div class="row axis" aria-hidden="true"><span></span><svg>{}</svg></div>\n'
        '<div class="row"><span>calls</span><svg class="lane" role="img" aria-label="{}">{}</svg></div>\n{}</div>\n{}'
        "</section>\n",
        join(scale.ticks()),
        f"{len(calls)} calls",
        join(_call(scale, call) for call in calls),
        join(_lane(scale, number, job, ended) for number, job in enumerate(jobs, 1)),
        _LEGEND,
    )


def _call(scale: Scale, call: Call) -> Html:
    entry = call.entry
    kind = "call" if entry.outcome in {"ok", "dry_run"} else "call bad"
    sent = call.ended - entry.duration_ms / 1000  # before that, the call may have waited for a person
    return scale.bar(kind, sent, call.ended, f"{entry.function}: {outcome(call)}, {entry.duration_ms:.0f} ms")


def _lane(scale: Scale, number: int, job: Job, ended: float) -> Html:
    end = job.ended or ended
    start = job.started if job.started is not None else end
    bars = [scale.bar("wait", job.created, start, f"starting: {span(start - job.created)}")]
    if job.started is not None:
        bars.append(scale.bar(f"work {job.status}", start, end, f"{job.status}: {span(end - start)}"))
    return fill(
        '<div class="row"><a href="#job-{}">{}</a><svg class="lane" role="img" aria-label="{}">{}</svg></div>\n',
        *(number, job.model or job.id, f"{job.status}, {span(end - job.created)}", bars),
    )


def outcome(call: Call) -> str:
    entry = call.entry
    return " ".join(str(part) for part in (entry.status, entry.code) if part) or entry.outcome


def span(seconds: float) -> str:
    """A length of time for display."""
    seconds = max(0.0, seconds)
    return f"{seconds:.2f} s" if seconds < MINUTE else clock(seconds)
