"""Prices of models, as configured by the operator: per run, per second, by hardware, or by billed metrics.

The API has no prices. The ``metrics`` of a finished prediction show what is billed, and by which variant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

# Names of billed metrics and of their modifiers, from cog's list and the pages of official models (2026).
METRICS = (
    "audio_output_count",
    "audio_output_duration_seconds",
    "character_input_count",
    "character_output_count",
    "generic_output_count",
    "image_output_count",
    "image_output_pixel_count",
    "token_input_count",
    "token_output_count",
    "training_step_count",
    "unspecified_billing_metric",
    "video_output_count",
    "video_output_duration_seconds",
    "video_output_total_pixel_count",
)
MODIFIERS = ("model_variant", "motion_mode", "resolution_target", "resolution_upscale_target", "with_audio")
ALIASES = {  # old name -> current name
    "input_token_count": "token_input_count",
    "output_token_count": "token_output_count",
    "image_count": "image_output_count",
}
MOST = 1_000_000_000  # maximum of a price, and of a cap
_FIELDS = ("run", "second", "hardware", "seconds", "expect", "variants")
_METRIC = r"[a-z][a-z0-9_]{0,80}_(count|seconds|metric)"
_MODEL = r"(deployments/)?[^/\s:]+/[^/\s:]+|[0-9a-f]{64}"
INPUT = "input."


class Range(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Numbers ``above`` one bound, ``up_to`` and including the other."""

    above: float | None = None
    up_to: float | None = None


Wanted = str | bool | float | Range


class Variant(Struct, frozen=True, omit_defaults=True):
    """Prices that replace those of the model if all conditions in ``when`` hold; each is on a metric or on
    ``input.NAME``.
    """

    when: dict[str, Wanted]
    run: float | None = None
    second: float | None = None
    metrics: dict[str, float] = {}


class Price(Struct, frozen=True, omit_defaults=True):
    """What a model costs: per ``run``, or per ``second`` of compute, or at the rate of its ``hardware``, or by
    ``metrics``.

    ``seconds`` is the assumed run time until it is known. ``expect`` is the assumed amount of a metric that neither the
    input nor the schema determines.
    """

    run: float | None = None
    second: float | None = None
    hardware: str | None = None
    seconds: float = 60.0
    metrics: dict[str, float] = {}
    expect: dict[str, float] = {}
    variants: tuple[Variant, ...] = ()


class Prices(Struct, frozen=True, omit_defaults=True):
    """``hardware`` per second by SKU; ``models``, in lower case, by owner/name, deployments/owner/name or version id.

    ``source`` and ``date`` are the origin of the prices and the day on which they were valid.
    """

    hardware: dict[str, float] = {}
    models: dict[str, Price] = {}
    source: str | None = None
    date: str | None = None


class PriceError(ValueError):
    """An invalid price table; the message has what was found, and the key."""


def exact(number: float) -> Decimal:
    """The exact decimal number: 0.003 is three thousandths, not the nearest binary fraction."""
    return Decimal(repr(number))


def prices_of(said: Any, path: str = "prices") -> Prices:
    """Parse a price table. Raises a `PriceError` if any part is invalid."""
    table = _table(said, path)
    models = {**{key: value for key, value in table.items() if "/" in key}, **_table(table.get("models", {}), path)}
    for key in table:
        if "/" not in key and key not in Prices.__struct_fields__:
            raise PriceError(f"unknown key `{path}.{key}`{_near(key, Prices.__struct_fields__)}")
    hardware = _table(table.get("hardware", {}), f"{path}.hardware")
    return Prices(
        hardware={str(sku): _number(price, f"{path}.hardware.{sku}") for sku, price in hardware.items()},
        models={_model(name, path): price_of(price, f"{path}.models.{name}") for name, price in models.items()},
        source=_text(table, "source", path),
        date=_date(table.get("date"), f"{path}.date"),
    )


def price_of(said: Any, path: str) -> Price:
    """Parse the price of one model. Raises a `PriceError`."""
    table = _table(said, path)
    seconds = _optional(table, "seconds", path)
    return Price(
        run=_optional(table, "run", path),
        second=_optional(table, "second", path),
        hardware=_text(table, "hardware", path),
        seconds=60.0 if seconds is None else seconds,
        metrics=_metrics(table, path, _FIELDS),
        expect=_metrics(_table(table.get("expect", {}), f"{path}.expect"), f"{path}.expect"),
        variants=tuple(_variants(table.get("variants", []), f"{path}.variants")),
    )


def plain(price: Price) -> dict[str, Any]:
    """The price in the form that `price_of` parses."""
    shown: dict[str, Any] = msgspec.to_builtins(price)
    metrics, variants = shown.pop("metrics", {}), shown.pop("variants", [])
    told = [{"when": each.pop("when"), **each.pop("metrics", {}), **each} for each in variants]
    return {**metrics, **shown, **({"variants": told} if told else {})}


def _variants(said: Any, path: str) -> Iterator[Variant]:
    if not isinstance(said, list):
        raise PriceError(f"expected a list of tables, got {_found(said)} - at `{path}`")
    for number, each in enumerate(said, 1):
        where = f"{path}[{number}]"
        table = _table(each, where)
        conditions = _table(table.get("when", {}), f"{where}.when")
        if not conditions:
            raise PriceError(f"missing `when`, such as {{ with_audio = true }} - at `{where}`")
        found = Variant(
            when={name: _wanted(name, value, f"{where}.when.{name}") for name, value in conditions.items()},
            run=_optional(table, "run", where),
            second=_optional(table, "second", where),
            metrics=_metrics(table, where, ("when", "run", "second")),
        )
        if found.run is None and found.second is None and not found.metrics:
            raise PriceError(f"a variant without a price - at `{where}`")
        yield found


def _wanted(name: str, value: Any, path: str) -> Wanted:
    """The value of a condition. A name similar to a known modifier is refused, since it would never match."""
    known = (*MODIFIERS, *METRICS)
    if not name.startswith(INPUT) and name not in known and (near := _near(name, known)):
        raise PriceError(f"unknown metric `{name}`{near} - at `{path}`")
    if isinstance(value, dict):
        bounds = {each: _number(bound, f"{path}.{each}") for each, bound in value.items() if each in ("above", "up_to")}
        if not bounds or len(bounds) < len(value):
            raise PriceError(f"expected {{ above = N }}, {{ up_to = N }} or both - at `{path}`")
        return Range(**bounds)
    if isinstance(value, bool | str):
        return value
    return _number(value, path)


def _metrics(table: Mapping[str, Any], path: str, besides: tuple[str, ...] = ()) -> dict[str, float]:
    return {_metric(key, path, besides): _number(table[key], f"{path}.{key}") for key in table if key not in besides}


def _metric(name: str, path: str, besides: tuple[str, ...]) -> str:
    if name in METRICS:
        return name
    if name in ALIASES:
        return ALIASES[name]
    near = _near(name, (*METRICS, *besides))
    if near or not re.fullmatch(_METRIC, name):
        raise PriceError(f"unknown metric `{name}`{near} - at `{path}`")
    return name


def _model(name: str, path: str) -> str:
    lower = name.lower()
    if not re.fullmatch(_MODEL, lower):
        raise PriceError(
            f"expected owner/name, deployments/owner/name or a version id, got {name[:100]!r} - at `{path}.models`"
        )
    return lower


def _table(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PriceError(f"expected a table, got {_found(value)} - at `{path}`")
    return value


def _optional(table: Mapping[str, Any], name: str, path: str) -> float | None:
    return None if table.get(name) is None else _number(table[name], f"{path}.{name}")


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise PriceError(f"expected a number from 0 to {MOST}, got {_found(value)} - at `{path}`")
    return value


def _text(table: Mapping[str, Any], name: str, path: str) -> str | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value.isprintable()):
        raise PriceError(f"expected text of one line, got {_found(value)} - at `{path}.{name}`")
    return value


def _date(value: Any, path: str) -> str | None:
    """The day as ISO 8601 writes it; TOML has its own dates, JSON has text."""
    import datetime as dt

    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    try:
        return dt.datetime.fromisoformat(value).date().isoformat()
    except (TypeError, ValueError):
        raise PriceError(f"expected a date such as 2026-11-30, got {_found(value)} - at `{path}`") from None


def _found(value: Any) -> str:
    return repr(value)[:100]


def _near(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""
