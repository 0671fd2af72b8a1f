"""Recognizes URLs of API operations in any spelling, since they must not be fetched as files."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import unquote

import httpx

from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER, SERVER, Operation

_PORTS = {"http": 80, "https": 443}
_API = httpx.URL(SERVER)  # this host has no outputs
_MOST_CODINGS = 5  # nested percent-encodings
_SEPARATORS = re.compile(r"[/\\]+")


def check_no_operation(url: httpx.URL, base: httpx.URL, *, function: str) -> None:
    """Raise a `UsageError` for a URL that names an operation of the API, or any address below the API's base.

    Servers and gateways differ in how they read a path. An address that any of them could read as below the base is
    refused: encoded, with dot segments, other case, parameters, repeated or reversed slashes.
    """
    whole = _is_at(url, _API)
    if not whole and not _is_at(url, base):
        return
    prefix = _segments((base if _is_at(url, base) else _API).raw_path.decode("latin-1"))
    readings = _readings(url.raw_path.partition(b"?")[0].decode("latin-1"), function)
    if whole or any(path[: len(prefix)] == prefix for path in readings):
        raise _refusal(function, next(filter(None, (_operation_at(path, prefix) for path in readings)), None))
    if any(segment in {".", ".."} for path in readings for segment in path):
        raise UsageError(
            f"{function}: the URL's path has dot segments", hint="use the URL exactly as the API returned it"
        )


def _is_at(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether both URLs have the same server. http and https on default ports are the same, because of redirects."""
    ports = {_port(url), _port(base)}
    return url.host.rstrip(".") == base.host.rstrip(".") and (len(ports) == 1 or ports == set(_PORTS.values()))


def _port(url: httpx.URL) -> int | None:
    return url.port or _PORTS.get(url.scheme)


def _readings(path: str, function: str) -> list[list[str]]:
    """The segments of a path, raw and percent-decoded, with and without dot segments."""
    found = [_segments(path)]
    while (decoded := unquote(path, errors="replace")) != path:
        if len(found) > _MOST_CODINGS:
            raise UsageError(f"{function}: the URL's path is percent-encoded more than {_MOST_CODINGS} times")
        path = decoded
        found.append(_segments(path))
    return [*found, *map(_without_dots, found)]


def _segments(path: str) -> list[str]:
    """The segments in lower case, without parameters and empty segments."""
    parts = (part.partition(";")[0].strip().lower() for part in _SEPARATORS.split(path))
    return [part for part in parts if part]


def _without_dots(segments: list[str]) -> list[str]:
    found: list[str] = []
    for segment in segments:
        if segment == "..":
            del found[-1:]
        elif segment != ".":
            found.append(segment)
    return found


def _operation_at(segments: list[str], prefix: list[str]) -> Operation | None:
    """The GET operation of that path, else another operation of the same path."""
    start = len(prefix) if segments[: len(prefix)] == prefix else 0
    path = "/" + "/".join(segments[start:])
    found = [operation for pattern, operation in _routes() if pattern.fullmatch(path)]
    return next((operation for operation in found if operation.method == "GET"), found[0] if found else None)


@cache
def _routes() -> list[tuple[re.Pattern[str], Operation]]:
    """The operations, fixed paths before paths with parameters."""
    ordered = sorted(OPERATIONS, key=lambda operation: operation.path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path)), operation) for operation in ordered]


def _refusal(function: str, operation: Operation | None) -> UsageError:
    if operation is None:
        return UsageError(
            f"{function}: the URL is below the API's base URL, which has no files",
            hint=f"call a function of the API instead: kosmo integrations:{PROVIDER}",
        )
    return UsageError(
        f"{function}: the URL is the API operation {operation.name}; it is not fetched as a file",
        hint=f"call {PROVIDER}.{operation.name} instead: kosmo integrations:docs {PROVIDER}.{operation.name}",
    )
