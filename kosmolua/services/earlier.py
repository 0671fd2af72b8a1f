"""Predictions that were made before, by what they were made of: for runs that may take an earlier answer."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from kosmolua.errors import ArgumentError
from kosmolua.replicate.structs import LocalFile
from kosmolua.settings import ages
from kosmolua.settings.atomic import replace

MOST = 10_000  # that are remembered; those longest ago go first
_MOST_AGE = 7  # characters


def is_whole(prediction: Mapping[str, Any]) -> bool:
    """Whether it succeeded, and the API still has what it made."""
    return (
        prediction.get("status") == "succeeded"
        and not prediction.get("data_removed")
        and prediction.get("output") is not None
    )


def is_made_of(prediction: Mapping[str, Any], origin: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a prediction, as the API tells it, ran this with this input, and its answer is still there. ``origin``
    are the arguments of the function that would create it.
    """
    if not is_whole(prediction) or prediction.get("input") != given:
        return False
    if "version" in origin:
        return prediction.get("version") == str(origin["version"]).rpartition(":")[2]
    kind = "deployment" if "deployment_name" in origin else "model"
    return prediction.get(kind) == f"{origin[f'{kind}_owner']}/{origin[f'{kind}_name']}"


def age_of(text: str) -> float:
    """Seconds of an age such as 90s, 30m, 12h, 7d or 2w. Raises an `ArgumentError` for anything else."""
    seconds = ages.seconds_of(text) if len(text) <= _MOST_AGE else None
    if seconds is None:
        raise ArgumentError(f"run: expected an age such as 30m, 12h or 7d as `cache`, got {text[:60]!r}")
    return seconds


def key_of(origin: Mapping[str, Any], given: Mapping[str, Any], read: Callable[[str], bytes]) -> str:
    """What a prediction is known by: where and of what it is made, and its input, files by their content."""

    def told(value: Any) -> Any:
        match value:
            case LocalFile():
                return {"sha256": hashlib.sha256(read(value.path)).hexdigest()}
            case dict():
                return {name: told(item) for name, item in value.items()}
            case list():
                return [told(item) for item in value]
        return value

    return hashlib.sha256(msgspec.json.encode([origin, told(given)], order="deterministic")).hexdigest()


class Earlier:
    """Ids of predictions by their keys, on disk, a file for each. What cannot be read or written is not there."""

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
