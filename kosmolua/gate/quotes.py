"""The expected cost of a prediction, from its input, and the actual cost, from its metrics.

If a price depends on something unknown, the highest possible price counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec import Struct

from kosmolua.replicate.prices import ALIASES, INPUT, MODIFIERS, Price, Range, Variant, Wanted, exact

NANO = Decimal("0.000000001")  # amounts are rounded up to a multiple of this
_MOST = 2**53  # a server may report any number
_BYTES_PER_TOKEN = 2  # a cautious guess for English, and enough for writing systems with three bytes per character
_TEMPLATE_TOKENS = 32  # tokens that a chat model's template adds
_COUNTS = ("num_outputs", "num_images", "number_of_images", "number_of_outputs", "num_samples", "batch_size", "n")
_VIDEOS = ("num_outputs", "num_videos", "number_of_videos")
_SECONDS = ("duration", "duration_seconds", "seconds", "video_length", "audio_length", "length_seconds", "music_length")
_RATES = ("fps", "frames_per_second", "frame_rate")
# By metric: the inputs that limit the amount of the metric; the first input that is given counts.
_INPUTS = {
    "image_output_count": (*_COUNTS, "max_images"),
    "video_output_count": _VIDEOS,
    "audio_output_count": _COUNTS,
    "generic_output_count": _COUNTS,
    "token_output_count": (
        *("max_tokens", "max_new_tokens", "max_output_tokens", "max_completion_tokens", "max_length"),
    ),
    "training_step_count": ("steps", "max_train_steps", "num_train_steps", "training_steps", "max_steps", "num_steps"),
}
_ONE = frozenset({"image_output_count", "video_output_count", "audio_output_count", "generic_output_count"})
_TEXTS = ("text", "prompt", "input", "script", "lyrics", "ssml", "gen_text", "text_input")
# By modifier: the inputs that choose the modifier.
_CHOICES = {
    "model_variant": ("model_variant", "variant"),
    "motion_mode": ("motion_mode",),
    "resolution_target": ("resolution", "output_resolution", "video_resolution"),
    "resolution_upscale_target": ("target_resolution", "upscale_resolution", "resolution"),
    "with_audio": ("generate_audio", "with_audio", "enable_audio"),
}


class Rates(Struct, frozen=True):
    """The rates of one variant of a price."""

    run: float | None
    second: float | None
    metrics: dict[str, float]


class Quote(Struct, frozen=True):
    """The price of a call. ``facts`` are input values that select the variant, ``amounts`` the requested amount of each
    metric; the input, which may be large, is not kept. ``second`` is the hardware's price per second.
    """

    price: Price
    second: float | None = None
    facts: Mapping[str, Any] = {}
    amounts: Mapping[str, Decimal] = {}

    def expected(self, seconds: float) -> Decimal | None:
        """The highest expected cost for this compute time; None if unknown."""
        return self._dearest({**self.facts, **self.amounts}, self.amounts, None, seconds)

    def actual(self, metrics: Mapping[str, Any], seconds: float | None) -> Decimal | None:
        """The cost by the metrics of a finished prediction; None if they do not determine it."""
        reported = reported_of(metrics)
        modifiers = {name: value for name, value in metrics.items() if name in MODIFIERS}
        amounts = {**self.amounts, **reported}
        return self._dearest({**self.facts, **amounts, **modifiers}, amounts, set(reported), seconds)

    def _dearest(
        self,
        facts: Mapping[str, Any],
        amounts: Mapping[str, Decimal],
        reported: set[str] | None,
        seconds: float | None,
    ) -> Decimal | None:
        costs = [_cost(rates, amounts, reported, seconds) for rates in self._possible(facts)]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None

    def _possible(self, facts: Mapping[str, Any]) -> list[Rates]:
        """The rates of the matching variants with the most conditions, and of variants that may match."""
        certain: list[Variant] = []
        doubtful: list[Variant] = []
        for variant in self.price.variants:
            states = [_holds(wanted, facts.get(name)) for name, wanted in variant.when.items()]
            if False not in states:
                (doubtful if None in states else certain).append(variant)
        most = max((len(each.when) for each in certain), default=0)
        found = [self._rates(each) for each in (*certain, *doubtful) if len(each.when) >= most]
        base = Rates(self.price.run, self._second(), self.price.metrics)
        found += [] if certain else [base]
        return [one for one in found if one != Rates(None, None, {})]

    def _rates(self, variant: Variant) -> Rates:
        run = self.price.run if variant.run is None else variant.run
        second = self._second() if variant.second is None else variant.second
        return Rates(run, second, {**self.price.metrics, **variant.metrics})

    def _second(self) -> float | None:
        return self.second if self.price.second is None else self.price.second


def quote_of(price: Price, second: float | None, inputs: Mapping[str, Any]) -> Quote:
    """The price of a call with that input, which includes the defaults from the schema."""
    conditions = {name for each in price.variants for name in each.when}
    chosen = ((name, _first(inputs, names)) for name, names in _CHOICES.items())
    facts: dict[str, Any] = {name: value for name, value in chosen if isinstance(value, str | bool)}
    for name in conditions:
        if name.startswith(INPUT):
            value = inputs.get(name.removeprefix(INPUT))
            facts[name] = value if isinstance(value, str | bool | int | float) else None
    billed = {*price.metrics, *(name for each in price.variants for name in each.metrics)}
    wanted = sorted((billed | conditions) - set(MODIFIERS))
    found = ((name, amount_of(name, inputs, price.expect)) for name in wanted if not name.startswith(INPUT))
    return Quote(price, second, facts, {name: amount for name, amount in found if amount is not None})


def reported_of(metrics: Mapping[str, Any]) -> dict[str, Decimal]:
    """The amounts that the API reports, under their current names; invalid ones are skipped."""
    found: dict[str, Decimal] = {}
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
            if name in ALIASES:
                found.setdefault(ALIASES[name], exact(value))
            else:
                found[str(name)] = exact(value)
    return found


def rounded(amount: Decimal) -> Decimal:
    """Rounded up to a billionth, so that no cost becomes zero."""
    return amount.quantize(NANO, ROUND_CEILING)


def _cost(
    rates: Rates, amounts: Mapping[str, Decimal], reported: set[str] | None, seconds: float | None
) -> Decimal | None:
    """The cost per run, else by billed metrics, else by compute time."""
    if rates.run is not None:
        return rounded(exact(rates.run))
    priced = rates.metrics.keys()
    if priced and priced <= amounts.keys() and (reported is None or reported & priced):
        return rounded(sum((exact(rate) * amounts[name] for name, rate in rates.metrics.items()), Decimal(0)))
    if rates.second is not None and seconds is not None:
        return rounded(exact(rates.second) * exact(seconds))
    return None


def _holds(wanted: Wanted, value: Any) -> bool | None:
    """Whether a condition holds; None if the value is unknown."""
    if value is None:
        return None
    if isinstance(wanted, Range):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return False
        return (wanted.above is None or value > exact(wanted.above)) and (
            wanted.up_to is None or value <= exact(wanted.up_to)
        )
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, str):
        return wanted.lower() == str(value).lower()
    return _number(value) == exact(wanted)


# How much of a metric an input asks for ---------------------------------------------------------------------------


def amount_of(metric: str, inputs: Mapping[str, Any], expect: Mapping[str, float]) -> Decimal | None:
    """The highest amount of a metric for this input; None if unknown."""
    found = _asked_for(metric, inputs)
    if found is None and metric in expect:
        return exact(expect[metric])
    return Decimal(1) if found is None and metric in _ONE else found


def _asked_for(metric: str, inputs: Mapping[str, Any]) -> Decimal | None:
    if metric in ("video_output_duration_seconds", "audio_output_duration_seconds"):
        seconds = _duration(inputs)
        return None if seconds is None else seconds * (_number(_first(inputs, _VIDEOS)) or 1)
    if metric == "token_input_count":
        size = sum(len(text.encode("utf-8", "replace")) for text in _texts(inputs))
        return Decimal(-(-size // _BYTES_PER_TOKEN) + _TEMPLATE_TOKENS)
    if metric == "character_input_count":
        named = {name: inputs[name] for name in _TEXTS if name in inputs}
        return Decimal(sum(len(text) for text in _texts(named or inputs)))
    if metric in ("image_output_pixel_count", "video_output_total_pixel_count"):
        return _pixels(metric, inputs)
    return _number(_first(inputs, _INPUTS.get(metric, ())))


def _duration(inputs: Mapping[str, Any]) -> Decimal | None:
    seconds = _number(_first(inputs, _SECONDS))
    frames, rate = _number(inputs.get("num_frames")), _number(_first(inputs, _RATES))
    if seconds is None and frames is not None and rate:
        return frames / rate
    return seconds


def _pixels(metric: str, inputs: Mapping[str, Any]) -> Decimal | None:
    width, height = _number(inputs.get("width")), _number(inputs.get("height"))
    if width is None or height is None:
        return None
    if metric == "image_output_pixel_count":
        return width * height
    frames, seconds, rate = _number(inputs.get("num_frames")), _duration(inputs), _number(_first(inputs, _RATES))
    if frames is None and seconds is not None and rate is not None:
        frames = seconds * rate
    return None if frames is None else width * height * frames


def _first(inputs: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)


def _number(value: Any) -> Decimal | None:
    """A non-negative number, also given as text such as "5" or "5s"; None for anything else."""
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?s?", value)
        return Decimal(match[1]) if match else None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        return None
    return exact(value)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """The strings in an input that a model reads as text; URLs are skipped."""
    if isinstance(value, str):
        if not value.startswith(("http://", "https://", "data:")):
            yield value
    elif isinstance(value, Mapping | list | tuple) and depth < 16:  # noqa: PLR2004 - deeper than any real input
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item, depth + 1)
