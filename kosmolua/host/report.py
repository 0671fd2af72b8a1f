"""``--report``: one HTML page about a run. It contains no JavaScript and loads nothing.

Text from models and scripts is escaped. Pictures are embedded up to a total size, since the API deletes outputs after
an hour.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from kosmolua.errors import KosmoError, TransportError, UsageError, failure_of
from kosmolua.page import details
from kosmolua.page.details import Picture
from kosmolua.page.markup import Html, fill, join
from kosmolua.page.styles import stylesheet
from kosmolua.page.timeline import span, timeline
from kosmolua.services.progress_line import amount
from kosmolua.terminal.pictures import kind_of

if TYPE_CHECKING:
    from kosmolua.gate.kept import KeptOutputs
    from kosmolua.gate.session import Session
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.services.progress import Job, Progress

MAX_IMAGES = 40
MAX_IMAGE = 5_000_000  # bytes of one picture
MAX_IMAGES_SIZE = 20_000_000  # bytes of all pictures
MAX_FETCHING = 30.0  # seconds to fetch all pictures
MAX_ASKED_ABOUT = 20  # jobs whose end is unknown
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif")
_PAGE = """<!doctype html>
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
{body}</body>
</html>
"""


class FinishedRun(Struct, frozen=True):
    """A run that ended. ``began`` and ``ended`` are in Unix seconds, measured with the same clock as the times of its
    calls and jobs.

    ``progress`` holds those calls and jobs, or is None if the script made no calls; ``output`` is the last part of the
    text that the script printed and logged.
    """

    script: str
    began: float
    ended: float
    result: Result
    progress: Progress | None
    output: str = ""


def check(path: str) -> None:
    """Raise a `UsageError` if the report cannot be written. Called before the run."""
    directory = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(directory):
        what = "it is a directory" if os.path.isdir(path) else f"directory {directory!r} not found"
    elif not os.access(path if os.path.exists(path) else directory, os.W_OK):
        what = "permission denied"
    else:
        return
    raise UsageError(f"--report: cannot write {path!r}: {what}", hint="specify a file, such as --report run.html")


def attempt(path: str, run: FinishedRun, host: Host, kept: KeptOutputs | None = None) -> KosmoError | None:
    """Write the page, or return the error if that fails, since the result of the run must still be printed."""
    try:
        write(path, run, host, kept)
    except Exception as error:  # noqa: BLE001 - whatever failed, the run itself has ended
        return failure_of(error, "--report")
    return None


def write(path: str, run: FinishedRun, host: Host, kept: KeptOutputs | None = None) -> None:
    """Write the page. Jobs and pictures are fetched through the host. Raises a `UsageError` if the page cannot be
    written.
    """
    jobs = run.progress.jobs if run.progress else []
    pictures: dict[str, Picture] = {}
    if jobs and run.progress:
        with host.session("the report") as session:
            session.kept = kept
            _ask_about_rest(session, run.progress)
            pictures = _pictures(session, jobs)
    page = _page(run, pictures)
    try:
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(page)
    except OSError as error:
        raise UsageError(f"--report: cannot write {path!r}: {error.strerror}") from None


def _ask_about_rest(session: Session, progress: Progress) -> None:
    for job in progress.unreported()[:MAX_ASKED_ABOUT]:
        try:
            reply = session.call(f"get_{job.kind}", {f"{job.kind}_id": job.id}, job.account)
        except KosmoError:
            return  # the page shows the last known state
        progress.update(job, reply.data)


# Pictures ---------------------------------------------------------------------------------------------------------


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
            except KeyboardInterrupt:  # skip the remaining ones
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
    """The picture in this content; its type is detected from the content, not from a file name."""
    kind = kind_of(content)
    if kind is None:
        return Picture(missing="not a picture that browsers show")
    return Picture(source=f"data:{kind};base64,{base64.b64encode(content).decode()}")


# The page ---------------------------------------------------------------------------------------------------------


def _page(run: FinishedRun, pictures: dict[str, Picture]) -> Html:
    progress = run.progress
    if progress and (progress.calls or progress.jobs):
        count = sum(progress.summary().states.values())
        left = len(run.result.log) + run.result.unlogged - len(progress.calls)
        body = [
            timeline(progress.calls, progress.jobs, run.began, run.ended),
            details.jobs(progress.jobs, count - len(progress.jobs), pictures),
            details.calls(progress.calls, run.began, f"and {left} more" if left > 0 else ""),
        ]
    else:
        body = [Html("<p>The script made no calls.</p>\n")]
    if run.output:
        body.append(fill("<section>\n<h2>Output</h2>\n<pre>{}</pre>\n</section>\n", run.output))
    return fill(_PAGE, title=f"{run.script} · kosmolua", style=Html(stylesheet()), body=[_summary(run), *body])


def _summary(run: FinishedRun) -> Html:
    result, error = run.result, run.result.error
    when = datetime.fromtimestamp(run.began).astimezone().isoformat(" ", "seconds")
    spent = details.figures(result.spent, result.guessed) if result.spent else ()
    shown = [when, span(run.ended - run.began), *spent]
    place = getattr(error, "where", None)
    where = f"{place}: " if place else ""
    return fill(
        '<header>\n<h1>{} {}</h1>\n<p class="figures">{}</p>\n{}{}</header>\n',
        run.script,
        details.badge("failed" if error else "succeeded"),
        join(fill("<span>{}</span>", each) for each in shown),
        fill('<pre class="error">{}{}</pre>\n', where, error.message) if error else None,
        fill('<p class="note">{}</p>\n', error.hint) if error and error.hint else None,
    )
