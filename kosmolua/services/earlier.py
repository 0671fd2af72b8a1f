"""Earlier predictions by their origin, for runs that may reuse an earlier output."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from kosmolua.errors import ArgumentError
from kosmolua.gate.likeness import likeness
from kosmolua.replicate.structs import LocalFile
from kosmolua.settings import ages
from kosmolua.settings.atomic import replace

MOST = 10_000  # predictions to remember; the oldest are deleted first
_MOST_AGE = 7  # characters
_MOST_SECONDS = 100 * 366 * 24 * 3600.0  # maximum, to keep dates in range
_VERSION = re.compile("[0-9a-f]{64}")  # for other models the API shows no version, or "hidden"


def is_whole(prediction: Any) -> bool:
    """Whether a prediction succeeded and the API still has its output. An answer may be of any type."""
    return (
        isinstance(prediction, Mapping)
        and prediction.get("status") == "succeeded"
        and not prediction.get("data_removed")
        and prediction.get("output") is not None
    )


def is_made_of(
    prediction: Any, origin: Mapping[str, Any], given: Mapping[str, Any], version: str | None = None
) -> bool:
    """Whether a prediction, as the API shows it, has this origin and input, and still has its output. ``origin`` are
    the arguments of the function that would create it, ``version`` the model's version if known.
    """
    if not is_whole(prediction):
        return False
    ran = str(prediction.get("version"))
    if version and "version" not in origin and _VERSION.fullmatch(ran) and ran != version:
        return False
    sent = {**origin, "input": _as_sent(given, prediction.get("input"))}
    return likeness("prediction", sent, prediction) == "same"


def _as_sent(given: Any, shown: Any) -> Any:
    """An input with the shown URL instead of each file. File contents are compared elsewhere."""
    match given:
        case LocalFile() if isinstance(shown, str) and shown.startswith(("data:", "https://", "http://")):
            return shown
        case dict() if isinstance(shown, dict):
            return {name: _as_sent(item, shown.get(name)) for name, item in given.items()}
        case list() if isinstance(shown, list) and len(given) == len(shown):
            return [*map(_as_sent, given, shown)]
    return given


def age_of(text: str) -> float:
    """Parse an age such as 90s, 30m, 12h, 7d or 2w, in seconds. Raises an `ArgumentError` if invalid."""
    seconds = ages.seconds_of(text) if len(text) <= _MOST_AGE else None
    if seconds is None or seconds > _MOST_SECONDS:
        raise ArgumentError(f"run: expected an age such as 30m, 12h or 7d as `cache`, got {text[:60]!r}")
    return seconds


def key_of(url: str, account: str, digest: str, version: str | None) -> str:
    """The key of a prediction: a hash of its API, account, origin and version."""
    return hashlib.sha256(msgspec.json.encode([url, account, digest, version])).hexdigest()


class Earlier:
    """Ids of predictions by key, one file each. Unreadable files count as missing; write errors are ignored."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def find(self, key: str, max_age: float) -> str | None:
        path = os.path.join(self._directory, key)
        try:
            with open(path, "rb") as file:
                identifier = file.read(200).decode("ascii")
            age = time.time() - os.stat(path).st_mtime
        except (OSError, UnicodeDecodeError):
            return None
        return identifier if identifier and age <= max_age else None

    def keep(self, key: str, identifier: str) -> None:
        with suppress(OSError, UnicodeEncodeError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            replace(os.path.join(self._directory, key), identifier.encode("ascii"), 0o600)
            self._prune()

    def _prune(self) -> None:
        with os.scandir(self._directory) as entries:
            found = sorted((entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries)
        for _, path in found[:-MOST]:
            os.unlink(path)
