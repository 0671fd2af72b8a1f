"""``--report``: one HTML page about a run. It contains no JavaScript and loads nothing.

Text of models and scripts is escaped. Pictures are embedded up to a total size, since the API deletes outputs after an
hour.
"""

from __future__ import annotations

import base64
import html
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from kosmolua.errors import KosmoError, TransportError, UsageError, failure_of
from kosmolua.services.progress_line import amount, clock
from kosmolua.terminal.pictures import kind_of
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.kept import KeptOutputs
    from kosmolua.gate.session import Session
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.services.progress import Call, Job, Progress

MAX_IMAGES = 40
MAX_IMAGE = 5_000_000  # bytes
MAX_IMAGES_SIZE = 20_000_000  # bytes in total
MAX_FETCHING = 30.0  # seconds in total
MAX_ASKED_ABOUT = 20  # jobs whose end is unknown
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif")
_TOKEN = re.compile(r"r8_\w{8,}")
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_MOST_TICKS = 9
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
"""


class FinishedRun(Struct, frozen=True):
    """A run that ended. ``began`` and ``ended`` are in Unix seconds, by the same clock as its calls and jobs.

    ``progress`` holds these, if there were any; ``output`` is the end of what it printed and logged.
    """

    script: str
    began: float
    ended: float
    result: Result
    progress: Progress | None
    output: str = ""


def check(path: str) -> None:
    """Raise a `UsageError` before the run if the report cannot be written."""
    directory = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(directory):
        what = "it is a directory" if os.path.isdir(path) else f"directory {directory!r} not found"
    elif not os.access(path if os.path.exists(path) else directory, os.W_OK):
        what = "permission denied"
    else:
        return
    raise UsageError(f"--report: cannot write {path!r}: {what}", hint="name a file, such as --report run.html")


def attempt(path: str, run: FinishedRun, host: Host, kept: KeptOutputs | None = None) -> KosmoError | None:
    """Write the page, or return why it could not be written: the result of the run is printed too."""
    try:
        write(path, run, host, kept)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run itself has ended
        return failure_of(error, "--report")
    return None


def write(path: str, run: FinishedRun, host: Host, kept: KeptOutputs | None = None) -> None:
    """Write the page. Jobs and pictures are fetched through the host. Raises a `UsageError` if it cannot be written."""
    jobs = run.progress.jobs if run.progress else []
    pictures: dict[str, Picture] = {}
    if jobs and run.progress:
        with host.session("the report") as session:
            session.kept = kept
            _ask_about_rest(session, run.progress)
            pictures = _pictures(session, jobs)
    page = "".join(_page(run, pictures))
    try:
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(page)
    except OSError as error:
        raise UsageError(f"--report: cannot write {path!r}: {error.strerror}") from None


def _ask_about_rest(session: Session, progress: Progress) -> None:
    for job in progress.untold()[:MAX_ASKED_ABOUT]:
        try:
            reply = session.call(f"get_{job.kind}", {f"{job.kind}_id": job.id}, job.account)
        except KosmoError:
            return  # the page shows the last known state
        progress.update(job, reply.data)


# Pictures ---------------------------------------------------------------------------------------------------------


class Picture(Struct, frozen=True):
    """A picture of an output: its content as a data URL, or why it is missing."""

    source: str = ""
    missing: str = ""


def _pictures(session: Session, jobs: Iterable[Job]) -> dict[str, Picture]:
    """The pictures among the outputs, by URL."""
    found: dict[str, Picture] = {}
    room, deadline = MAX_IMAGES_SIZE, time.monotonic() + MAX_FETCHING
    for job in jobs:
        for url in job.files:
            if url in found or not _may_be_picture(url):
                continue
            if len(found) >= MAX_IMAGES or room <= 0 or time.monotonic() > deadline:
                return found
            try:
                content = _content(session, job, url, min(MAX_IMAGE, room), deadline)
                found[url] = _picture(content)
                room -= len(content)
            except KosmoError as error:
                found[url] = Picture(missing=error.message)
            except KeyboardInterrupt:  # skip the rest
                return found
    return found


def _may_be_picture(url: str) -> bool:
    if url.startswith("data:"):
        return url.startswith("data:image/")
    return urlsplit(url).path.lower().endswith(_PICTURES)


def _content(session: Session, job: Job, url: str, most: int, deadline: float) -> bytes:
    from kosmolua.replicate import catalogue

    opened = session.open(catalogue.DOWNLOAD, {"url": url}, job.account)
    content = bytearray()
    try:
        for piece in opened:
            content += piece
            if len(content) > most:
                raise TransportError(f"larger than {amount(most)}")
            if time.monotonic() > deadline:
                raise TransportError("timed out")
    finally:
        opened.close()
    return bytes(content)


def _picture(content: bytes) -> Picture:
    """A picture by its content, whatever its name."""
    kind = kind_of(content)
    if kind is None:
        return Picture(missing="not a picture that browsers show")
    return Picture(source=f"data:{kind};base64,{base64.b64encode(content).decode()}")


# The page ---------------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    """Text escaped for the page."""
    return html.escape(_TOKEN.sub("r8_…", safe(text)))


def _page(run: FinishedRun, pictures: dict[str, Picture]) -> Iterator[str]:
    with open(os.path.join(os.path.dirname(__file__), "report.css"), encoding="utf-8") as file:
        style = file.read()
    yield _HEAD.format(title=_text(f"{run.script} · kosmolua"), style=style)
    yield from _summary(run)
    progress = run.progress
    if progress and (progress.calls or progress.jobs):
        yield from _timeline(run, progress.calls, progress.jobs)
        yield from _jobs(progress.jobs, sum(progress.summary().states.values()), pictures)
        yield from _calls(run, progress.calls)
    else:
        yield "<p>The script made no calls.</p>\n"
    if run.output:
        yield f"<section>\n<h2>Output</h2>\n<pre>{_text(run.output)}</pre>\n</section>\n"
    yield "</body>\n</html>\n"


def _summary(run: FinishedRun) -> Iterator[str]:
    result, error = run.result, run.result.error
    when = datetime.fromtimestamp(run.began).astimezone().isoformat(" ", "seconds")
    yield f"<header>\n<h1>{_text(run.script)} {_state('failed' if error else 'succeeded')}</h1>\n<p class=figures>"
    figures = [f"{when}", _span(run.ended - run.began)]
    spent = result.spent
    if spent:
        figures += [_count(spent["calls"], "call"), _count(spent["predictions"], "prediction")]
        figures += _costs(spent, result.guessed)
    yield "".join(f"<span>{_text(figure)}</span>" for figure in figures)
    yield "</p>\n"
    if error:
        where = getattr(error, "where", None)
        yield f"<pre class=error>{_text(f'{where}: ' if where else '')}{_text(error.message)}</pre>\n"
        yield f"<p class=note>{_text(error.hint)}</p>\n" if error.hint else ""
    yield "</header>\n"


def _costs(spent: Mapping[str, float], guessed: Mapping[str, float]) -> Iterator[str]:
    """Seconds and cost, each with the part of it that is estimated."""
    seconds, cost = guessed.get("seconds_of_compute"), guessed.get("cost")
    yield f"{spent['seconds_of_compute']:g} s of compute" + (f", {seconds:g} of them estimated" if seconds else "")
    if spent["cost"]:
        yield f"cost {spent['cost']:g}" + (f", {cost:g} of it estimated" if cost else "")
    if guessed.get("unpriced"):
        yield f"{guessed['unpriced']:g} of unknown price"


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}" + ("" if number == 1 else "s")


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else clock(seconds)  # noqa: PLR2004 - a minute


def _state(status: str) -> str:
    return f"<b class='state {_text(status)}'>{_text(status)}</b>"


class _Scale:
    """Places on the timeline, in percent."""

    def __init__(self, began: float, ended: float) -> None:
        self.began = began
        self.length = max(ended - began, 0.001)

    def at(self, moment: float) -> float:
        return min(100.0, max(0.0, 100 * (moment - self.began) / self.length))

    def bar(self, kind: str, start: float, end: float, title: str = "") -> str:
        left = self.at(start)
        return (
            f"<i class='{kind}' style='left:{left:.3f}%;width:{self.at(end) - left:.3f}%' title='{_text(title)}'></i>"
        )

    def ticks(self) -> Iterator[tuple[float, str]]:
        step = next((step for step in _TICKS if self.length / step <= _MOST_TICKS), self.length / _MOST_TICKS)
        for number in range(int(self.length / step) + 1):
            seconds = number * step
            yield 100 * seconds / self.length, f"{seconds:g} s" if step < 60 else clock(seconds)  # noqa: PLR2004


def _timeline(run: FinishedRun, calls: list[Call], jobs: list[Job]) -> Iterator[str]:
    moments = [run.ended, *(job.ended for job in jobs if job.ended)]
    began = min([run.began, *(job.created for job in jobs if job.own)])
    scale = _Scale(began, max(moments))
    yield "<section class=timeline>\n<h2>Timeline</h2>\n<div class=rows>\n<div class='row axis'><span></span><div>"
    yield "".join(f"<u style='left:{at:.3f}%'>{text}</u>" for at, text in scale.ticks())
    yield "</div></div>\n<div class=row><span>calls</span><div class=lane>"
    for call in calls:
        entry = call.entry
        kind = "call" if entry.outcome in {"ok", "dry_run"} else "call bad"
        sent = call.ended - entry.duration_ms / 1000  # before that it may have waited for an answer
        yield scale.bar(kind, sent, call.ended, f"{entry.function}: {_outcome(call)}, {entry.duration_ms:.0f} ms")
    yield "</div></div>\n"
    for number, job in enumerate(jobs, 1):
        end = job.ended or run.ended
        yield f"<div class=row><a href='#job-{number}'>{_text(job.model or job.id)}</a><div class=lane>"
        start = job.started if job.started is not None else end
        yield scale.bar("wait", job.created, start, f"starting: {_span(max(0.0, start - job.created))}")
        if job.started is not None:
            yield scale.bar(f"work {_text(job.status)}", start, end, f"{job.status}: {_span(max(0.0, end - start))}")
        yield "</div></div>\n"
    yield "</div>\n<p class=legend><i class=call></i>a call <i class=wait></i>starting "
    yield "<i class='work succeeded'></i>succeeded <i class='work failed'></i>failed "
    yield "<i class='work canceled'></i>canceled <i class='work processing'></i>still runs</p>\n</section>\n"


def _jobs(jobs: list[Job], count: int, pictures: dict[str, Picture]) -> Iterator[str]:
    if not jobs:
        return
    yield "<section>\n<h2>Predictions and trainings</h2>\n"
    for number, job in enumerate(jobs, 1):
        yield f"<article id='job-{number}'>\n<h3>{_text(job.model or job.kind)} {_state(job.status)}</h3>\n"
        yield f"<p class=note>{_web(job)}<span>{_text(_times(job))}</span></p>\n<div class=sides>\n"
        yield f"<div><h4>input</h4><pre>{_text(job.input or '')}</pre></div>\n<div>"
        if job.error:
            yield f"<h4>error</h4><pre class=error>{_text(job.error)}</pre>"
        if job.output is not None:
            yield f"<h4>output</h4>{_output(job, pictures)}"
        elif not job.error:
            yield "<h4>output</h4><p class=note>none</p>"
        yield "</div>\n</div>\n</article>\n"
    yield f"<p class=note>and {count - len(jobs)} more</p>\n" if count > len(jobs) else ""
    yield "</section>\n"


def _web(job: Job) -> str:
    shown = f"<code>{_text(job.id)}</code>"
    link = job.web and job.web.startswith("https://replicate.com/")
    return f"<a href='{_text(job.web or '')}'>{shown}</a>" if link else shown


def _times(job: Job) -> str:
    words = [f"on account {job.account}"] if job.account != "default" else []
    words += [f"created {when}"] if (when := _clock_of(job.created)) else []
    if job.started is not None:
        words.append(f"started after {_span(max(0.0, job.started - job.created))}")
    if job.ended is not None and job.started is not None:
        words.append(f"ran {_span(max(0.0, job.ended - job.started))}")
    if job.seconds is not None:
        words.append(f"{job.seconds:g} s of compute")
    return ", ".join(words)


def _clock_of(seconds: float) -> str:
    """The local time of day; empty for a time that is out of range."""
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return ""


def _output(job: Job, pictures: dict[str, Picture]) -> str:
    if not job.files:
        return f"<pre>{_text(job.output or '')}</pre>"
    shown = "".join(_file(url, pictures.get(url)) for url in job.files)
    rest = "" if _is_files_alone(job) else f"<pre>{_text(job.output or '')}</pre>"
    return f"<div class=files>{shown}</div>{rest}"


def _is_files_alone(job: Job) -> bool:
    """Whether the output contains only its files."""
    left = job.output or ""
    for url in job.files:
        left = left.replace(url, "")
    return not left.strip('[]", \n')


def _file(url: str, picture: Picture | None) -> str:
    name = "a data URL" if url.startswith("data:") else urlsplit(url).path.rpartition("/")[2] or url
    link = _text(name) if url.startswith("data:") else f"<a rel=noreferrer href='{_text(url)}'>{_text(name)}</a>"
    if picture and picture.source:
        return f"<figure><img src='{picture.source}' alt='{_text(name)}'><figcaption>{link}</figcaption></figure>"
    why = f" <span class=note>not embedded: {_text(picture.missing)}</span>" if picture else ""
    return f"<p>{link}{why}</p>"


def _calls(run: FinishedRun, calls: list[Call]) -> Iterator[str]:
    yield "<section>\n<h2>Calls</h2>\n<div class=wide><table>\n<tr><th>at<th>function<th>account<th>outcome<th>ms"
    yield "<th>cost<th>decision<th>about</tr>\n"
    for call in calls:
        entry = call.entry
        bad = "" if entry.outcome in {"ok", "dry_run"} else " class=bad"
        about = "<br>".join(_text(text) for text in (call.job, entry.note, call.error) if text)
        cells = [f"{entry.at - run.began:.2f} s", entry.function, entry.account, _outcome(call)]
        cells += [f"{entry.duration_ms:.0f}", _cost(entry)]
        cells += [f"{entry.decision}: {entry.rule}" if entry.rule else entry.decision]
        yield f"<tr{bad}>" + "".join(f"<td>{_text(cell)}" for cell in cells) + f"<td>{about}</tr>\n"
    yield "</table></div>\n"
    more = len(run.result.log) + run.result.unlogged - len(calls)
    yield f"<p class=note>and {more} more</p>\n" if more > 0 else ""
    yield "</section>\n"


def _cost(entry: Entry) -> str:
    """The cost of the call, or what was reserved for it."""
    if entry.cost is not None:
        return f"{entry.cost:g}"
    return "" if entry.estimate is None else f"about {entry.estimate:g}"


def _outcome(call: Call) -> str:
    entry = call.entry
    return " ".join(str(part) for part in (entry.status, entry.code) if part) or entry.outcome
