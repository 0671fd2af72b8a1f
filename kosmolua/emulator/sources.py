"""Input files of models: the emulator's outputs and files, and data URLs. Never from the network."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from kosmolua.emulator.models import Content, given

if TYPE_CHECKING:
    from kosmolua.emulator.world import World


def read(world: World, url: str, now: float, origin: str) -> Content | str:
    """The content of a URL, or an error message. Nothing is painted yet."""
    if url.startswith("data:"):
        return _read_data(url)
    if not url.startswith(f"{origin}/"):
        return f"cannot read {url}: the emulator reads only its own outputs and files, and data URLs"
    found = _read_own(world, url[len(origin) + 1 :].partition("?")[0].split("/"), now)
    return f"cannot read {url}: the file does not exist or has expired" if found is None else found


def own(world: World, value: Any, now: float, origin: str) -> dict[str, Content | str]:
    """The content of each URL in a value that is below ``origin``, or an error message."""
    if isinstance(value, str):
        return {value: read(world, value, now, origin)} if value.startswith(f"{origin}/") else {}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {url: found for part in parts for url, found in own(world, part, now, origin).items()}


def _read_own(world: World, path: list[str], now: float) -> Content | None:
    match path:
        case ["delivery", job_id, name]:
            output = delivered(world, job_id, name, now)
            return output[1] if output else None
        case ["v1", "files", file_id] | ["v1", "files", file_id, "download"]:
            file = world.files.get(file_id)
            return given(file.content) if file else None
    return None


def delivered(world: World, job_id: str, name: str, now: float) -> tuple[str, Content] | None:
    """A file of a job's output as (content type, content), unless it was removed."""
    job = world.find_job(job_id)
    if job is None or job.removed(now) or job.at(now).status != "succeeded":
        return None
    return job.outcome().files.get(name)


def _read_data(url: str) -> Content | str:
    head, comma, content = url.partition(",")
    if not comma:
        return "cannot read the data URL: missing comma"
    try:
        plain = unquote_to_bytes(content)
        return given(base64.b64decode(plain, validate=True) if head.endswith(";base64") else plain)
    except binascii.Error:
        return "cannot read the data URL: invalid base64"
