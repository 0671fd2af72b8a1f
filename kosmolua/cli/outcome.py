"""Show what `kosmo run` did: text as it comes, files and pictures, errors, and the envelope."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from kosmolua.cli import output
from kosmolua.cli.host import print_notice
from kosmolua.cli.options import Options
from kosmolua.errors import KosmoError, OutputError, UsageError, emulated
from kosmolua.settings.config import account_flag
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.cli.live import Lines, Watch
    from kosmolua.cli.requests import Requests
    from kosmolua.host.result import Result

MAX_PICTURES = 4
_MAX_SHOWN = 120  # characters of a data URL on a terminal
notice = print_notice


class Job(NamedTuple):
    """One run of a model, and the command's start time by `time.perf_counter`."""

    model: str
    options: Options
    began: float
    cost: bool = False


class Pieces:
    """Reads the lines that run.lua prints, each a piece of text as JSON, and writes the text."""

    def __init__(self, shown: output.ScriptOutput) -> None:
        self._shown = shown
        self._rest = b""
        self._last = "\n"

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        if stream != 1:
            self._shown.write(stream, text)
            return
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            piece = msgspec.json.decode(line, type=str)
            self._last = piece[-1:] or self._last
            self._shown.write(1, piece.encode("utf-8", "replace"))

    def finish(self) -> None:
        """End the last line."""
        if self._last != "\n":
            self._shown.write(1, b"\n")


class Pictures:
    """The pictures of an output, which are fetched while the run is open and drawn after it has ended."""

    def __init__(self, *, wanted: bool) -> None:
        from kosmolua.terminal.images import protocol_of

        self._protocol = protocol_of(os.environ) if wanted and sys.stdout.isatty() else "none"
        self._found: list[bytes] = []

    def collect(self, results: list[Any], fetch: Callable[[str, int], bytes]) -> None:
        """Fetch the pictures of a result, and omit those that cannot be fetched."""
        from kosmolua.terminal.images import MAX_BYTES

        if self._protocol == "none" or not results or not isinstance(results[0], dict):
            return
        saved, urls = results[0].get("saved") or [], results[0].get("urls") or []
        for number, url in enumerate(urls[:MAX_PICTURES]):
            try:
                self._found.append(_read(saved[number]["path"]) if saved else fetch(url, MAX_BYTES))
            except (KosmoError, OSError):
                continue

    def draw(self) -> None:
        from kosmolua.terminal import images, query
        from kosmolua.terminal.text import width

        for content in self._found:
            sixel = query.ask(os.environ).sixel if self._protocol == "blocks" else None
            drawn = images.shown(content, self._protocol, min(60, width() - 2), _rows(), sixel=sixel)
            if drawn:
                output.write_text(drawn)


def _rows() -> int:
    """The height of a picture in rows, such that it and the lines around it fit on the screen."""
    try:
        return max(4, min(20, os.get_terminal_size(sys.stdout.fileno()).lines - 4))
    except (OSError, ValueError):
        return 20


def _read(path: str) -> bytes:
    from kosmolua.terminal.images import MAX_BYTES

    with open(path, "rb") as file:
        return file.read(MAX_BYTES)


def watch_of(job: Job) -> Watch | Lines | Requests | None:
    """The watcher that shows the prediction's state on standard error."""
    from kosmolua.cli.live import Lines, Watch
    from kosmolua.cli.requests import Requests
    from kosmolua.terminal.plain import is_plain

    if job.options.dry_run:
        return Requests(quiet=job.options.json)
    if job.options.json and not sys.stderr.isatty():
        return None
    moving = sys.stderr.isatty() and not is_plain(os.environ)
    return Watch(moving=True, keep=False, name=job.model) if moving else Lines(job.model)


# Success ----------------------------------------------------------------------------------------------------------


def show(job: Job, result: Result, pictures: Pictures) -> int:
    """Print the output of a run that succeeded."""
    found: dict[str, Any] = result.results[0]
    if job.options.json:
        output.show_json(envelope(job, result, data=_data(found)))
        return 0
    if "output" not in found:
        output.write_text(f"{found['prediction']['id']}\n")
        if job.options.emulate:
            notice("the emulator ends with this command; to keep predictions, run kosmo emulator:serve")
        else:
            account = account_flag(job.options.account)
            notice(f"show it: kosmo predictions show {quote(found['prediction']['id'])}{account}")
        return 0
    for line in _lines(found):
        output.write_text((safe(line) if sys.stdout.isatty() else line) + "\n")
    pictures.draw()
    if found.get("urls") and not found.get("saved") and sys.stdout.isatty():
        until = "with this command, as the emulator" if job.options.emulate else "after an hour"
        notice(f"output files are deleted {until}; to keep them, add --save DIR/")
    notice(_ending(job, found["prediction"], result))
    return 0


def _data(found: Mapping[str, Any]) -> dict[str, Any]:
    saved = [{"path": one["path"], "size": one["size"]} for one in found.get("saved") or ()]
    return {"output": found.get("output"), "files": saved, "prediction": found["prediction"]}


def _lines(found: Mapping[str, Any]) -> list[str]:
    """The output as lines: unprinted text, paths of saved files, URLs, or JSON."""
    if found.get("streamed"):
        return []
    saved, urls, value = found.get("saved") or [], found.get("urls") or [], found["output"]
    if saved:
        return [one["path"] for one in saved]
    if isinstance(value, str) and not urls:
        return [value.removesuffix("\n")]
    if urls and value in (urls, urls[0]):
        return [_shortened(url) for url in urls]
    return [output.to_json(value, ordered=True)]


def _shortened(url: str) -> str:
    if url.startswith("data:") and len(url) > _MAX_SHOWN and sys.stdout.isatty():
        return f"{url[:_MAX_SHOWN]}… ({len(url)} characters; save it: --save FILE)"
    return url


def _ending(job: Job, prediction: Mapping[str, Any], result: Result) -> str:
    cost = result.spent.get("cost")
    parts = [f"prediction {prediction['id']}", f"{time.perf_counter() - job.began:.1f} s"]
    parts += [f"cost {cost:g}"] if cost else []
    parts += ["emulated"] if job.options.emulate else []
    return f"{job.model} {prediction['status']}: {', '.join(parts)}"


def save_text(found: dict[str, Any], path: str, *, overwrite: bool) -> None:
    """Write an output without files: text unchanged, other values as JSON. Adds the saved file to ``found``."""
    if found.get("urls"):
        return
    value = found["output"]
    content = value if isinstance(value, str) else output.to_json(value, ordered=True) + "\n"
    if path.endswith("/"):
        path = _free(path, "output.txt" if isinstance(value, str) else "output.json")
    try:
        with open(path, "w" if overwrite else "x", encoding="utf-8", errors="replace", newline="") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"cannot write {path!r}: {error.strerror}; the output follows on standard output") from None
    found["saved"] = [{"path": path, "size": os.path.getsize(path)}]


def _free(directory: str, name: str) -> str:
    """A path in the directory that does not exist yet."""
    stem, suffix = os.path.splitext(name)
    path, number = os.path.join(directory, name), 1
    while os.path.lexists(path):
        number += 1
        path = os.path.join(directory, f"{stem}-{number}{suffix}")
    return path


def show_cost(job: Job, amount: float | None) -> int:
    if amount is None:
        message = f"no price is known for {safe(job.model)}"
        hint = "enter the price in config.toml, or import a price file; for both formats: kosmo help budgets"
        return fail(job, KosmoError(message, code="unknown_price", hint=hint))
    if job.options.json:
        output.show_json(envelope(job, None, data={"estimate": amount}))
    else:
        output.write_text(f"at most {amount:.9f}".rstrip("0").rstrip(".") + "\n")
    return 0


def show_requests(job: Job, result: Result, requests: list[Any]) -> int:
    """Show the requests of a dry run. With ``--json`` they are in the envelope; otherwise they are already printed."""
    if result.error:
        return fail(job, result.error, result)
    if job.options.json:
        output.show_json(envelope(job, result, {"requests": requests}))
    return 0


# Failure ----------------------------------------------------------------------------------------------------------


def fail(job: Job, error: KosmoError, result: Result | None = None) -> int:
    """Print the error, or the envelope with it. Returns the exit status."""
    if job.options.emulate:
        emulated(error)
    if not job.options.json or isinstance(error, OutputError):
        output.print_error(error)
        return error.exit_status
    fields = output.failure(error)
    meta = fields.pop("meta")
    try:
        output.show_json(envelope(job, result, meta, **fields))
    except OutputError as lost:
        output.print_error(error)
        output.print_error(lost)
    return error.exit_status


def name_created(job: Job, result: Result, error: KosmoError) -> None:
    """Print the command that shows the prediction, if its output could not be printed; not with the emulator, which has
    ended.
    """
    if isinstance(error, OutputError) and not job.options.emulate:
        output.print_created(each for each in result.created if each not in result.running)


def envelope(job: Job, result: Result | None, more: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    base = {"function": "run", "success": "error" not in fields, "data": None, "error": None, "code": None}
    meta = {
        **(more or {}),
        "model": job.model,
        "account": job.options.account,
        "dry_run": job.options.dry_run,
        "emulated": job.options.emulate,
        **(_about(result) if result else {}),
    }
    return {**base, **fields, "meta": meta, "duration_ms": round((time.perf_counter() - job.began) * 1000, 3)}


def _about(result: Result) -> dict[str, Any]:
    running = [{"kind": kind, "id": identifier, "account": account} for kind, identifier, account in result.running]
    return {
        **({"run": result.run, "spent": result.spent} if result.run else {}),
        **({"running": running} if running else {}),
        "call_log": result.log,
    }
