"""The results of tools: data, the data as short text, and pictures. Text is never truncated within a character."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from kosmolua.mcp.hints import fields_of
from kosmolua.terminal import pictures as pictures_

if TYPE_CHECKING:
    from kosmolua.errors import KosmoError, WaitingError
    from kosmolua.host.result import Result

MAX_PICTURES = 4
MAX_ATTEMPTS = 8  # the maximum number of pictures to try to fetch
MAX_PICTURE = 3 * 1024 * 1024  # the maximum bytes of a picture; clients refuse larger ones
MAX_ENTRIES = 50  # the maximum number of entries from the log of calls
MAX_SHOWN = 400  # the maximum characters of one question's arguments
MAX_ERROR = 20_000  # the maximum characters of a failure outside a script
_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]+={0,2})")
_UNSUPPORTED = "image/avif"  # clients cannot show it
_JOINER = "\u200d"
_MARKS = {"Mn", "Me", "Mc"}

_PICTURE_URL = re.compile(pictures_.URL, re.IGNORECASE)

Pictures = list[dict[str, Any]]
Fetch = Callable[[str, int], bytes]
"""Fetches a URL, up to a number of bytes. Raises a `KosmoError`."""


def of_answer(data: Any, limit: int, fetch: Fetch | None = None) -> dict[str, Any]:
    """The result of a tool that called the API. ``fetch`` downloads pictures."""
    pictures: Pictures = []
    plain = _without_pictures(data, pictures)
    if fetch:
        add_outputs(pictures, plain, fetch)
    text = plain if isinstance(plain, str) else _json(plain)
    structured = {"success": True, "data": plain}
    if len(text) > limit:
        structured = {"success": True, "data": None, "cut": _excerpt(text, limit)}
    return _result(structured, cut(text, limit), pictures)


def of_error(error: KosmoError, limit: int, *, code: bool) -> dict[str, Any]:
    """The result of a failed tool, worded for an agent in ``code`` mode or for one with single tools."""
    fields = fields_of(error, code=code)
    message, hint = fields.pop("message"), fields.get("hint")
    structured = {"success": False, "error": message, **fields}
    text = f"{message}\nhint: {hint}" if hint else message
    return {**_result(_bounded(structured, limit), cut(text, limit), []), "isError": True}


def of_run(result: Result, limit: int, outputs: Pictures) -> dict[str, Any]:
    """The result of a script: its values, printed output, calls, and the error if it failed.

    ``outputs`` are pictures that the run itself fetched.
    """
    pictures: Pictures = []
    values = _without_pictures(result.results, pictures)
    pictures += outputs[: MAX_PICTURES - len(pictures)]
    error = fields_of(result.error, code=True) if result.error else None
    structured = {
        "success": error is None,
        "result": values[0] if values else None,
        **({"results": values} if len(values) > 1 else {}),
        "output": cut(result.output, limit // 2),
        "error": error,
        "call_log": msgspec.to_builtins(result.log[-MAX_ENTRIES:]),
        "calls": len(result.log) + result.unlogged,
        "spent": result.spent,
        **({"guessed": result.guessed} if result.guessed else {}),
        "running": [identifier for _, identifier, _ in result.running],
        "duration_ms": round(result.duration * 1000, 1),
    }
    text = _json(values[0] if len(values) == 1 else values) if values else ""
    if len(text) > limit // 2:
        structured |= {"result": None, "results": [], "cut": _excerpt(text, limit // 2)}
    parts = [
        cut(result.output.rstrip("\n"), limit // 2),
        f"result: {cut(text, limit // 2)}" if text else "",
        cut(f"error: {_words(error)}", limit // 2) if error else "",
        _summary(result),
    ]
    return {**_result(structured, "\n".join(filter(None, parts)), pictures), "isError": error is not None}


def of_running(identifier: str, seconds: int) -> dict[str, Any]:
    """The result of a script that is still running."""
    how = f'runs {{"id": "{identifier}"}}'
    text = f"Still running after {seconds} s. Wait for its result with {how}; do not start it again."
    return _result({"success": False, "status": "running", "id": identifier, "seconds": seconds}, text, [])


def of_waiting(identifier: str, error: WaitingError, limit: int, tool: str) -> dict[str, Any]:
    """The result of a script that waits for a person: the questions, and the commands with which the person decides.
    The tool named ``tool`` continues the script.
    """
    asked = error.detail["approvals"]
    structured = {
        "success": False,
        "status": "waiting",
        "id": identifier,
        "approvals": [{**each, "arguments": cut(each["arguments"], limit // (2 * len(asked)))} for each in asked],
    }
    lines = [
        f"{each['function']} {cut(each['arguments'], MAX_SHOWN)}, estimated cost "
        f"{'unknown' if each['estimate'] is None else each['estimate']}: {each['approve']}"
        for each in asked[:MAX_ENTRIES]
    ]
    head = "Waiting for the approval of a person. Nothing was sent for:"
    then = "Report this to the person, who decides with that command; you cannot. Continue afterwards with"
    text = "\n".join([head, *lines, f'{then} {tool} {{"id": "{identifier}"}}.'])
    return _result(structured, cut(text, limit), [])


def cut(text: str, limit: int) -> str:
    """The text, or as much of it as fits together with a note. Characters are not separated from their combining
    marks.
    """
    if len(text) <= limit:
        return text
    at = limit
    while at > 0 and (unicodedata.category(text[at]) in _MARKS or _JOINER in text[at - 1 : at + 1]):
        at -= 1
    return f"{text[:at]}… (cut: {at} of {len(text)} characters; request less, or filter in a script)"


def _excerpt(text: str, limit: int) -> dict[str, Any]:
    return {"characters": len(text), "shown": limit, "text": cut(text, limit)}


def _bounded(structured: dict[str, Any], limit: int) -> dict[str, Any]:
    return {name: cut(value, limit) if isinstance(value, str) else value for name, value in structured.items()}


def _result(structured: Mapping[str, Any], text: str, pictures: Pictures) -> dict[str, Any]:
    shown = [{"type": "text", "text": text or "done"}, *pictures]
    return {"content": shown, "structuredContent": structured, "isError": False}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _words(error: Mapping[str, Any]) -> str:
    where, hint = error.get("where"), error.get("hint")
    return f"{f'{where}: ' if where else ''}{error['message']}{f'{chr(10)}hint: {hint}' if hint else ''}"


def _summary(result: Result) -> str:
    """The calls on one line; equal calls are counted."""
    counts: dict[str, int] = {}
    for entry in result.log:
        word = f"{entry.function} {entry.code or entry.outcome}"
        counts[word] = counts.get(word, 0) + 1
    calls = ", ".join(f"{count} x {word}" if count > 1 else word for word, count in counts.items())
    return f"calls: {calls}" if calls else ""


# Pictures ---------------------------------------------------------------------------------------------------------


def _without_pictures(value: Any, pictures: Pictures) -> Any:
    """The value as plain JSON data, with a placeholder for each picture."""
    match value:
        case str():
            found = _DATA_URL.fullmatch(value)
            return _picture(found[1], found[2], pictures) or value if found else value
        case bytes():
            return _bytes(value, pictures)
        case Mapping():
            return {name: _without_pictures(item, pictures) for name, item in value.items()}
        case Sequence():
            return [_without_pictures(item, pictures) for item in value]
    return value


def add_outputs(pictures: Pictures, value: Any, fetch: Fetch) -> None:
    """Add the pictures whose URLs are in an output. The URLs remain in the output; pictures that cannot be fetched are
    skipped.
    """
    for url in islice(dict.fromkeys(_urls(value)), MAX_ATTEMPTS):
        if len(pictures) >= MAX_PICTURES:
            return
        with suppress(Exception):  # the answer is not lost because of a picture
            content = fetch(url, MAX_PICTURE)
            kind = _kind(content)
            if kind:
                _picture(kind, base64.b64encode(content).decode(), pictures)


def _urls(value: Any) -> Iterator[str]:
    match value:
        case str() if _PICTURE_URL.fullmatch(value):
            yield value
        case Mapping():
            for name, item in value.items():
                if name not in ("input", "urls"):  # inputs and web pages are not outputs
                    yield from _urls(item)
        case list():
            for item in value:
                yield from _urls(item)


def _kind(content: bytes) -> str | None:
    kind = pictures_.kind_of(content)
    return kind if kind != _UNSUPPORTED else None


def _bytes(content: bytes, pictures: Pictures) -> Any:
    encoded, kind = base64.b64encode(content).decode(), _kind(content)
    return (_picture(kind, encoded, pictures) if kind else None) or {"base64": encoded, "size": len(content)}


def _picture(kind: str, encoded: str, pictures: Pictures) -> str | None:
    """Add a picture and return its placeholder; None if the picture is invalid or too large, or if there are enough."""
    if len(pictures) >= MAX_PICTURES or len(encoded) * 3 // 4 > MAX_PICTURE:
        return None
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        return None
    pictures.append({"type": "image", "data": encoded, "mimeType": kind})
    return f"[picture {len(pictures)}: {kind}, {size} bytes]"
