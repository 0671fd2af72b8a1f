"""Predictions and trainings of a run with their inputs and outputs, and the table of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from kosmolua.page.markup import Html, fill, join, text
from kosmolua.page.timeline import outcome, span

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.services.progress import Call, Job


class Picture(Struct, frozen=True):
    """A picture in an output: its content as a data URL, or the reason why it is missing."""

    source: str = ""
    missing: str = ""


def badge(state: str, words: str = "") -> Html:
    """A run's or job's state, in words and a color."""
    return fill('<b class="state {}">{}</b>', state, words or state)


def figures(spent: Mapping[str, float], guessed: Mapping[str, float]) -> Iterator[str]:
    """What a run did and what it cost, in words; each figure says how much of it is estimated."""
    yield _count(spent["calls"], "call")
    yield _count(spent["predictions"], "prediction")
    seconds, cost = guessed.get("seconds_of_compute"), guessed.get("cost")
    yield f"{spent['seconds_of_compute']:g} s of compute" + (f", {seconds:g} of them estimated" if seconds else "")
    if spent["cost"]:
        yield f"cost {spent['cost']:g}" + (f", {cost:g} of it estimated" if cost else "")
    if guessed.get("unpriced"):
        yield f"{guessed['unpriced']:g} of unknown price"


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}" + ("" if number == 1 else "s")


def jobs(found: Sequence[Job], more: int = 0, pictures: Mapping[str, Picture] | None = None) -> Html:
    """The section with the predictions and trainings; empty if there are none. ``more`` is the number of jobs that are
    not shown.
    """
    if not found:
        return Html()
    return fill(
        '<section aria-labelledby="jobs">\n<h2 id="jobs">Predictions and trainings</h2>\n{}{}</section>\n',
        join(_job(number, job, pictures or {}) for number, job in enumerate(found, 1)),
        fill('<p class="note">and {} more</p>\n', more) if more > 0 else None,
    )


def _job(number: int, job: Job, pictures: Mapping[str, Picture]) -> Html:
    error = fill('<h4>error</h4><pre class="error">{}</pre>', job.error) if job.error else Html()
    if job.output is not None:
        error = fill("{}<h4>output</h4>{}", error, _output(job, pictures))
    elif not job.error:
        error = Html('<h4>output</h4><p class="note">none</p>')
    return fill(
        '<article id="job-{}">\n<h3>{} {}</h3>\n<p class="note">{}<span>{}</span></p>\n<div class="sides">\n'
        "<div><h4>input</h4><pre>{}</pre></div>\n<div>{}</div>\n</div>\n</article>\n",
        *(number, job.model or job.kind, badge(job.status), _web(job), _times(job), job.input or "", error),
    )


def _web(job: Job) -> Html:
    shown = fill("<code>{}</code>", job.id)
    if job.web and job.web.startswith("https://replicate.com/"):
        return fill('<a rel="noreferrer" href="{}">{}</a> ', job.web, shown)
    return fill("{} ", shown)


def _times(job: Job) -> str:
    words = [f"on account {job.account}"] if job.account != "default" else []
    words += [f"created {when}"] if (when := _clock_of(job.created)) else []
    if job.started is not None:
        words.append(f"started after {span(job.started - job.created)}")
    if job.ended is not None and job.started is not None:
        words.append(f"ran {span(job.ended - job.started)}")
    if job.seconds is not None:
        words.append(f"{job.seconds:g} s of compute")
    return ", ".join(words)


def _clock_of(seconds: float) -> str:
    """The local time of day; empty if the time is out of range."""
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return ""


def _output(job: Job, pictures: Mapping[str, Picture]) -> Html:
    if not job.files:
        return fill("<pre>{}</pre>", job.output or "")
    shown = join(_file(url, pictures.get(url)) for url in job.files)
    rest = Html() if _is_files_alone(job) else fill("<pre>{}</pre>", job.output or "")
    return fill('<div class="files">{}</div>{}', shown, rest)


def _is_files_alone(job: Job) -> bool:
    """Whether the output contains only its files."""
    left = job.output or ""
    for url in job.files:
        left = left.replace(url, "")
    return not left.strip('[]", \n')


def _file(url: str, picture: Picture | None) -> Html:
    is_data = url.startswith("data:")
    name = "a data URL" if is_data else urlsplit(url).path.rpartition("/")[2] or url
    link = text(name) if is_data else fill('<a rel="noreferrer" href="{}">{}</a>', url, name)
    if picture and picture.source:
        image = Html(picture.source)  # the Base64 text of a checked picture
        return fill('<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>', image, name, link)
    why = fill(' <span class="note">not embedded: {}</span>', picture.missing) if picture else None
    return fill("<p>{}{}</p>", link, why)


# Calls ------------------------------------------------------------------------------------------------------------

_DECIDED = Html('<th scope="col">cost</th><th scope="col">decision</th>')


def calls(found: Sequence[Call], began: float, more: str = "", *, decided: bool = True) -> Html:
    """The section with the table of calls, with the gate's decisions if ``decided``. ``more`` is a remark about calls
    that are not shown.
    """
    return fill(
        '<section aria-labelledby="calls">\n<h2 id="calls">Calls</h2>\n<div class="wide" tabindex="0" role="region" '
        'aria-label="Calls"><table class="calls">\n<thead><tr><th scope="col">at</th><th scope="col">function</th>'
        '<th scope="col">account</th><th scope="col">outcome</th><th scope="col">ms</th>{}<th scope="col">about</th>'
        "</tr></thead>\n<tbody>\n{}</tbody></table></div>\n{}</section>\n",
        _DECIDED if decided else None,
        join(_row(call, began, decided=decided) for call in found),
        fill('<p class="note">{}</p>\n', more) if more else None,
    )


def _row(call: Call, began: float, *, decided: bool) -> Html:
    entry = call.entry
    cells = [f"{entry.at - began:.2f} s", entry.function, entry.account, outcome(call), f"{entry.duration_ms:.0f}"]
    if decided:
        cells += [_cost(entry), f"{entry.decision}: {entry.rule}" if entry.rule else entry.decision]
    about = Html("<br>".join(text(part) for part in (call.job, entry.note, call.error) if part))
    good = entry.outcome in {"ok", "dry_run", "open"}
    shown = join(fill("<td>{}</td>", cell) for cell in cells)
    return fill("<tr{}>{}<td>{}</td></tr>\n", None if good else Html(' class="bad"'), shown, about)


def _cost(entry: Entry) -> str:
    """The cost of the call, or the amount reserved for it."""
    if entry.cost is not None:
        return f"{entry.cost:g}"
    return "" if entry.estimate is None else f"about {entry.estimate:g}"
