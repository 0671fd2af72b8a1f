"""Save the answer of a call: the output of a prediction, the content of a file, or the answer as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Any

from kosmolua.cli import output
from kosmolua.errors import KosmoError, UsageError
from kosmolua.host.host import Host
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.results import TERMINAL

MAX_OUTPUT = 1024 * 1024 * 1024  # the most bytes of one output


def contents(host: Host, operation: Operation | None, data: Any, path: str) -> list[Iterable[bytes]]:
    """The contents to write. For a prediction they are its outputs, unless the path ends in .json."""
    if isinstance(data, bytes):
        return [[data]]
    if operation and operation.returns == "Prediction" and isinstance(data, dict) and not path.endswith(".json"):
        return [[each] for each in _outputs(host, data, path)]
    return [[(data if isinstance(data, str) else output.to_json(data)).encode()]]


def _outputs(host: Host, prediction: Mapping[str, Any], path: str) -> list[bytes]:
    _check_ended(prediction, path)
    value = prediction.get("output")
    parts: list[Any] = value if isinstance(value, list) else [value]
    if parts and all(map(_is_url, parts)):
        return [host.fetch(url, MAX_OUTPUT) for url in parts]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ["".join(value).encode()]
    return [(value if isinstance(value, str) else output.to_json(value)).encode()]


def _check_ended(prediction: Mapping[str, Any], path: str) -> None:
    """Raise an error if the prediction has no output to save."""
    name, status = prediction.get("id"), prediction.get("status")
    if status == "succeeded":
        return
    if status in TERMINAL:
        why = f": {prediction['error']}" if isinstance(prediction.get("error"), str) and prediction["error"] else ""
        raise KosmoError(
            f"prediction {name} {status}{why}; there is no output to save",
            code="prediction_failed",
            hint=f"read it: kosmo predictions show {quote(str(name))}",
        )
    how = f"kosmo integrations:replicate get_prediction --prediction-id {quote(str(name))} --output {quote(path)}"
    raise KosmoError(
        f"prediction {name} is still {status}; there is no output to save yet",
        code="timed_out",
        hint=f"save it later: {how}",
    )


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://", "data:")) and value.isprintable()


def write(path: str, contents: list[Iterable[bytes]]) -> dict[str, Any]:
    """Write the contents to the path; with several, the path of each gets a number before its suffix."""
    if len(contents) == 1:
        return _written(path, contents[0])
    stem, suffix = os.path.splitext(path)
    return {"files": [_written(f"{stem}-{number}{suffix}", each) for number, each in enumerate(contents, 1)]}


def check_target(path: str) -> None:
    """Raise a `UsageError` for a path that cannot be written, before anything is sent."""
    directory = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"cannot write {path!r}: it is a directory", hint=f"name a file: {os.path.join(path, 'out')}")
    target = path if os.path.lexists(path) else directory
    if not os.path.isdir(directory) or not os.access(target, os.W_OK):
        why = "Permission denied" if os.path.isdir(directory) else "No such directory"
        raise UsageError(f"cannot write {path!r}: {why}", hint="choose another path, or create the directory")


def _written(path: str, pieces: Iterable[bytes]) -> dict[str, Any]:
    try:
        with open(path, "wb") as file:
            size = sum(map(file.write, pieces))
    except OSError as error:
        raise UsageError(f"cannot write {path!r}: {error.strerror}") from None
    return {"path": path, "size": size}
