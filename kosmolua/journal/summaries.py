"""Summaries of many journals. Those of ended runs are kept in the cache directory, since opening one takes 1 ms."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from kosmolua._version import __version__
from kosmolua.errors import JournalError
from kosmolua.journal.lock import holder_of
from kosmolua.journal.runs import Summary, found, summary
from kosmolua.replicate.prices import Prices
from kosmolua.settings import atomic, paths

_FILE = "runs.msgpack"
_MAX_SIZE = 64 << 20  # bytes of a cache that is read

Stamp = tuple[int, ...]


class _Kept(Struct, frozen=True, array_like=True):
    stamp: Stamp
    summary: Summary


class _Cache(Struct, frozen=True, array_like=True):
    """``key`` covers what a summary depends on besides its journal: the version and the prices."""

    key: str
    runs: dict[str, _Kept] = {}


def summaries(environment: Mapping[str, str], prices: Prices) -> Iterator[Summary | JournalError]:
    """The summary of each journal that `found` returns, or the error for it."""
    place = os.path.join(paths.cache_directory(environment), _FILE)
    key = hashlib.sha256(f"{__version__} {prices!r}".encode()).hexdigest()
    cache = _read(place)
    before = cache.runs if cache.key == key else {}
    kept: dict[str, _Kept] = {}
    for path in found(environment):
        stamp = _stamp(path)
        known = before.get(path)
        if stamp and known and known.stamp == stamp:
            kept[path] = known
            yield known.summary
            continue
        try:
            made = summary(path, prices, environment=environment)
        except JournalError as error:
            yield error
            continue
        if stamp and stamp == _stamp(path):
            kept[path] = _Kept(stamp, made)
        yield made
    if kept != before:
        _write(place, _Cache(key, kept))


def _stamp(path: str) -> Stamp | None:
    """A value that changes with a journal and the files kept next to it; None if it may be written now."""
    if holder_of(path) is not None or os.path.exists(f"{path}-wal"):
        return None
    try:
        file = os.stat(path)
        outputs = paths.outputs_of(path)
        kept = os.stat(outputs).st_mtime_ns if os.path.isdir(outputs) else 0
    except OSError:
        return None
    return file.st_mtime_ns, file.st_ctime_ns, file.st_size, file.st_ino, kept


def _read(place: str) -> _Cache:
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError), open(place, "rb") as file:
        return msgspec.msgpack.decode(file.read(_MAX_SIZE), type=_Cache)
    return _Cache("")


def _write(place: str, cache: _Cache) -> None:
    with suppress(OSError, UnicodeEncodeError):  # the next listing takes longer then; a path need not be UTF-8
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        atomic.replace(place, msgspec.msgpack.encode(cache), 0o600)
