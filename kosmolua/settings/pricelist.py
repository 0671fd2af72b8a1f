"""Imported price files, stored in ``prices.json`` next to the user's configuration with their sources and dates.

Prices in config.toml override imported ones; of two imported prices for a model, the one with the later date counts.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate.prices import Price, PriceError, Prices, plain, prices_of
from kosmolua.settings import paths
from kosmolua.settings.atomic import rewrite
from kosmolua.settings.config import Settings

NAME = "prices.json"
MAX_FILE = 16 * 1024 * 1024  # bytes


class Row(Struct, frozen=True):
    """A price of a model or of hardware, with its source and date. Not ``in_force`` if another price overrides it."""

    kind: str
    name: str
    price: dict[str, Any] | float
    source: str
    date: str | None
    age_days: int | None
    in_force: bool


def file_of(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.config_directory(environment), NAME)


def in_force(settings: Settings, environment: Mapping[str, str]) -> Prices:
    """The prices in force: the imported ones, overridden by the prices in the settings."""
    hardware: dict[str, float] = {}
    models: dict[str, Price] = {}
    for prices in (*imported(environment), settings.prices):
        hardware.update(prices.hardware)
        models.update(prices.models)
    return Prices(hardware, models)


def imported(environment: Mapping[str, str]) -> list[Prices]:
    """The imported price files, oldest first. Raises a `ConfigurationError` if the list is invalid."""
    path = file_of(environment)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    return _parsed(path, content)


def import_file(path: str, environment: Mapping[str, str]) -> Prices:
    """Check a price file and store it, replacing an earlier file from the same source.

    Raises a `UsageError` that names the invalid key; nothing is stored then.
    """
    found = _read(path)
    target = file_of(environment)
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)

    def changed(content: bytes) -> bytes:
        others = [each for each in (_parsed(target, content) if content else []) if each.source != found.source]
        lists = sorted((*others, found), key=lambda each: each.date or "")
        return msgspec.json.format(msgspec.json.encode([_plain(each) for each in lists]), indent=2) + b"\n"

    rewrite(target, changed)
    return found


def rows(settings: Settings, environment: Mapping[str, str], today: dt.date) -> list[Row]:
    """All prices with their sources and ages, sorted by name; for each name the price in force comes first."""
    lists = [_dated(settings.prices, settings.priced_in), *reversed(imported(environment))]
    seen: set[tuple[str, str]] = set()
    found = []
    for prices in lists:
        age = (today - dt.date.fromisoformat(prices.date)).days if prices.date else None
        for kind, name, price in _entries(prices):
            found.append(Row(kind, name, price, prices.source or "", prices.date, age, (kind, name) not in seen))
        seen |= {(kind, name) for kind, name, _ in _entries(prices)}
    return sorted(found, key=lambda row: (row.kind, row.name, not row.in_force))


def _dated(own: Prices, path: str) -> Prices:
    """The prices of a configuration file; without a date of their own they get the date of the file."""
    if not path:
        return own
    changed = dt.datetime.fromtimestamp(os.stat(path).st_mtime, dt.UTC).date().isoformat()
    return msgspec.structs.replace(own, source=own.source or path, date=own.date or changed)


def _entries(prices: Prices) -> Iterator[tuple[str, str, dict[str, Any] | float]]:
    for sku, price in prices.hardware.items():
        yield "hardware", sku, price
    for name, entry in prices.models.items():
        yield "model", name, plain(entry)


def _read(path: str) -> Prices:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"{path} is larger than {MAX_FILE} bytes")
    try:
        return _complete(prices_of(_decoded(path, content), "prices"))
    except (PriceError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot import {path}: {error}; nothing was imported",
            hint="correct the file; see its format: kosmo integrations:docs budgets",
        ) from None


def _complete(found: Prices) -> Prices:
    """The prices. Raises a `PriceError` if a required key is missing."""
    if found.source is None or not found.source.strip():
        raise PriceError("missing `source`: the origin of the prices, such as a URL")
    if found.date is None:
        raise PriceError("missing `date`: the day of the prices, such as 2026-11-30")
    if not found.models and not found.hardware:
        raise PriceError("no prices: expected a table `models`, a table `hardware` or both")
    return found


def _decoded(path: str, content: bytes) -> Any:
    """The file's data. JSON begins with a brace, which TOML never does."""
    if path.endswith(".json") or content.lstrip()[:1] == b"{":
        return msgspec.json.decode(content)
    import tomllib

    return tomllib.loads(content.decode())


def _parsed(path: str, content: bytes) -> list[Prices]:
    try:
        return [prices_of(each, f"{path}[{number}]") for number, each in enumerate(msgspec.json.decode(content))]
    except (PriceError, ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"cannot parse {path}: {error}", hint="move it away and import the price files again"
        ) from None


def _plain(prices: Prices) -> dict[str, Any]:
    return {
        "source": prices.source,
        "date": prices.date,
        "hardware": prices.hardware,
        "models": {name: plain(price) for name, price in prices.models.items()},
    }
