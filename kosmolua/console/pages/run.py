"""The page of one run: its state, possible actions, timeline, calls, outputs, cost and printed text."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kosmolua.console.access import Visitor
from kosmolua.console.layout import basename, cut, duration, facts, form, when
from kosmolua.console.pages import approvals
from kosmolua.gate.budget import Caps
from kosmolua.journal.approvals import Approval
from kosmolua.page import details
from kosmolua.page.markup import Html, Value, fill, join, text
from kosmolua.page.timeline import timeline
from kosmolua.services.progress import Call, Job

CANCELS = ("running", "waiting", "ready", "scheduled")
LONGEST = 2_000  # the maximum characters of the arguments
RESUMES = ("failed", "canceled")
_MEANS = {
    "scheduled": "The run starts at its scheduled time.",
    "ready": "The run is waiting for a worker with a free slot.",
    "running": "A worker is executing the run.",
    "waiting": "The run is waiting without a process.",
    "canceled": "The run was canceled. The answers that it received are kept.",
    "failed": "The run ended with an error. The answers that it received are kept.",
}


class RunView(Struct, frozen=True, kw_only=True):
    """A run as its page shows it. Long texts are truncated; times are in Unix seconds."""

    id: str
    key: str | None
    script: str
    args: list[str]
    account: str
    emulated: bool
    submitted_by: str | None
    state: str
    began: float
    ended: float | None
    wakes: float | None
    waits: int
    worker: str | None
    error: str | None
    results: str | None
    caps: Caps
    calls: list[Call]
    jobs: list[Job]
    more_jobs: int  # the number of jobs that are not shown
    figures: list[str]
    questions: list[Approval]  # only the open questions
    earlier: int  # the number of earlier API calls that are not shown
    prints: list[tuple[int, str]]  # the stream and the text of each print
    skipped: bool  # whether earlier prints are not shown


def content(run: RunView, visitor: Visitor, now: float) -> list[Html]:
    parts = [_head(run, now), _error(run), _actions(run, visitor), _facts(run, now)]
    parts.append(approvals.section(run.questions, visitor, now))
    if run.results is not None:
        parts.append(_section("results", "Results", fill("<pre>{}</pre>", run.results)))
    if run.calls or run.jobs:
        parts.append(timeline(run.calls, run.jobs, run.began, run.ended or now))
        parts.append(details.jobs(run.jobs, run.more_jobs))
        more = f"and {run.earlier} earlier; list them: kosmo runs show {run.id} --database" if run.earlier else ""
        parts.append(details.calls(run.calls, run.began, more, decided=False))
    elif run.state not in ("scheduled", "ready"):
        parts.append(_section("calls", "Calls", Html('<p class="note">The run has made no calls.</p>')))
    parts.append(_printed(run))
    return parts


def _head(run: RunView, now: float) -> Html:
    end = run.ended if run.ended is not None else now
    shown = [when(run.began, now)]
    if run.state not in ("scheduled", "ready"):
        shown.append(fill("{}", duration(end - run.began)))
    shown += [text(each) for each in run.figures]
    return fill(
        '<div class="head"><h1>{} {}</h1></div>\n<p class="figures">{}</p>\n{}',
        cut(basename(run.script), 200),
        details.badge(run.state),
        join(fill("<span>{}</span>", each) for each in shown),
        fill('<p class="note">{}</p>\n', _MEANS[run.state]) if run.state in _MEANS else None,
    )


def _error(run: RunView) -> Html:
    if not run.error:
        return Html()
    return fill('<h2 class="hidden">Error</h2>\n<pre class="error">{}</pre>\n', run.error)


def _facts(run: RunView, now: float) -> Html:
    pairs: list[tuple[str, Value]] = [
        ("Run", fill("<code>{}</code>", run.id)),
        ("Key", run.key),
        ("Script", fill("<code>{}</code>", run.script)),
        ("Arguments", fill("<code>{}</code>", cut(" ".join(run.args), LONGEST)) if run.args else None),
        ("Submitted by", run.submitted_by),
        ("Account", run.account + (", emulated" if run.emulated else "")),
        ("Budget", ", ".join(_caps(run.caps))),
        ("Worker", run.worker),
        ("Waits for", f"{run.waits} prediction{'s' * (run.waits != 1)}" if run.waits else None),
        ("Wakes", when(run.wakes, now) if run.wakes is not None else None),
        ("Ended", when(run.ended, now) if run.ended is not None else None),
    ]
    return fill('<h2 class="hidden">Facts</h2>\n{}', facts(pairs))


def _caps(caps: Caps) -> Iterator[str]:
    for name in Caps.__struct_fields__:
        value = getattr(caps, name)
        if value is not None:
            yield f"{value:g} {name.replace('_', ' ')}"


def _actions(run: RunView, visitor: Visitor) -> Html:
    if run.state not in CANCELS + RESUMES:
        return Html()
    if not visitor.may_approve:
        what = "cancel" if run.state in CANCELS else "resume"
        return fill('<p class="note">Sign in with a secret for the role approve to {} this run.</p>\n', what)
    if run.state in CANCELS:
        button = Html('<button class="danger">Cancel this run</button>')
        sent = form(visitor, f"/runs/{run.id}/cancel", button)
        why = "Canceling ends the run. Predictions that it started continue and are charged."
        return fill('<details class="action" id="cancel"><summary>Cancel…</summary><p>{}</p>{}</details>\n', why, sent)
    button = Html('<button class="main">Resume</button>')
    why = "The run continues from its journal: calls that were already answered are not sent again or paid for again."
    sent = form(visitor, f"/runs/{run.id}/resume", button)
    return fill('<div class="action">{}<p class="note">{}</p></div>\n', sent, why)


def _printed(run: RunView) -> Html:
    if not run.prints:
        return Html()
    pieces = [fill('<span class="logged">{}</span>' if stream == 2 else "{}", piece) for stream, piece in run.prints]  # noqa: PLR2004
    more = f"Only the last part is shown; to see everything: kosmo runs logs {run.id}" if run.skipped else ""
    note = fill('<p class="note">{}</p>', more) if more else Html()
    shown = fill('{}<pre tabindex="0" role="region" aria-label="Printed text">{}</pre>', note, pieces)
    return _section("printed", "Printed", shown)


def _section(name: str, title: str, body: Html) -> Html:
    return fill('<section aria-labelledby="{}">\n<h2 id="{}">{}</h2>\n{}\n</section>\n', name, name, title, body)
