"""Prices by billed metrics give the cost of recorded metrics, and the estimate for an input."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from kosmolua.gate.quotes import amount_of, quote_of
from kosmolua.replicate.prices import PriceError, plain, price_of, prices_of

HARDWARE = {
    "cpu": 0.0001,
    "gpu-t4": 0.000225,
    "gpu-a40-large": 0.000725,
}  # prices from https://replicate.com/docs/billing
BILLED = json.loads((Path(__file__).parent / "billed.json").read_text())
ROW = pytest.mark.parametrize("row", BILLED, ids=[f"{number}-{row['model']}" for number, row in enumerate(BILLED)])


def quoted(row):
    price = price_of(row["price"], "price")
    return quote_of(price, HARDWARE.get(price.hardware), row["input"])


@ROW
def test_recorded_metrics_give_their_cost(row):
    """The cost is exact and decimal; without billed metrics it is unknown."""
    metrics = row["metrics"]
    found = quoted(row).actual(metrics, metrics.get("predict_time"))

    assert (None if row["cost"] is None else Decimal(row["cost"])) == found


@pytest.mark.parametrize("row", [row for row in BILLED if "expected" in row], ids=lambda row: row["source"][:40])
def test_an_input_determines_the_estimate(row):
    """The estimate uses the amounts and the variant in the input, rounded up."""
    assert Decimal(row["expected"]) == quoted(row).expected(60)


@ROW
def test_a_printed_price_can_be_read(row):
    """The output of `kosmo prices list` can be entered again."""
    price = price_of(row["price"], "price")

    assert price == price_of(plain(price), "price")


@pytest.mark.parametrize(
    ("metric", "given", "amount"),
    [
        ("image_output_count", {"num_outputs": 4}, 4),
        ("image_output_count", {"number_of_images": "3"}, 3),
        ("image_output_count", {}, 1),
        ("video_output_duration_seconds", {"duration": "5"}, 5),
        ("video_output_duration_seconds", {"duration": "10s"}, 10),
        ("video_output_duration_seconds", {"num_frames": 81, "fps": 16}, Decimal("5.0625")),
        ("video_output_duration_seconds", {"duration": 5, "num_outputs": 2}, 10),
        ("video_output_duration_seconds", {}, None),
        ("video_output_duration_seconds", {"duration": "long"}, None),
        ("token_output_count", {"max_new_tokens": 512}, 512),
        ("token_output_count", {"prompt": "a"}, None),
        ("token_output_count", {"max_tokens": -1}, None),
        ("token_output_count", {"max_tokens": True}, None),
        ("token_output_count", {"max_tokens": float("inf")}, None),
        ("token_input_count", {"prompt": "abcd", "image": "https://example.com/" + "a" * 1000}, 34),
        ("token_input_count", {"messages": [{"role": "user", "content": "ab"}]}, 35),
        ("character_input_count", {"text": "Grüße", "voice": "en-US"}, 5),
        ("video_output_total_pixel_count", {"width": 10, "height": 10, "duration": 2, "fps": 5}, 1000),
        ("unspecified_billing_metric", {"duration": 5}, None),
    ],
)  # fmt: skip
def test_amounts_of_an_input(metric, given, amount):
    """An unknown amount is None, never zero."""
    assert amount == amount_of(metric, given, {})


def test_a_missing_input_uses_the_expected_amount():
    """An amount in the input takes precedence over the expected amount."""
    assert 500 == amount_of("token_output_count", {}, {"token_output_count": 500})
    assert 7 == amount_of("token_output_count", {"max_tokens": 7}, {"token_output_count": 500})


def test_sums_do_not_drift():
    """The sum of a thousand tenths of a cent is exactly one dollar."""
    quote = quote_of(price_of({"image_output_count": 0.001}, ""), None, {"num_outputs": 1000})

    assert Decimal(1) == quote.expected(60)
    assert Decimal("0.3") == sum(
        quote_of(price_of({"image_output_count": 0.1}, ""), None, {}).expected(60) for _ in range(3)
    )


def test_a_variant_from_an_input():
    """The input gives facts that no metric shows; without a matching variant the price is unknown."""
    price = price_of(
        {"variants": [{"when": {"input.mode": "pro"}, "run": 0.9}, {"when": {"input.mode": "standard"}, "run": 0.5}]},
        "",
    )

    assert [Decimal("0.9"), Decimal("0.5"), None, Decimal("0.9")] == [
        quote_of(price, None, given).expected(60)
        for given in ({"mode": "PRO"}, {"mode": "standard"}, {"mode": "x"}, {})
    ]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 2**60, "7", True, None, [], {}])
def test_invalid_amounts_from_a_server(value):
    """Invalid amounts cost nothing."""
    quote = quote_of(price_of({"image_output_count": 0.1}, ""), None, {})

    assert quote.actual({"image_output_count": value}, None) is None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"models": {"a/b": {"image_output_cuont": 1}}}, "did you mean image_output_count?"),
        ({"models": {"a/b": {"runn": 1}}}, "did you mean run?"),
        ({"models": {"a/b": {"run": -1}}}, "from 0 to"),
        ({"models": {"a/b": {"run": "1"}}}, "expected a number"),
        ({"models": {"a/b": {"run": True}}}, "expected a number"),
        ({"models": {"a/b": {"run": float("nan")}}}, "expected a number"),
        ({"models": {"a/b": 3}}, "expected a table, got 3 - at `prices.models.a/b`"),
        ({"models": {"a": {"run": 1}}}, "expected owner/name"),
        ({"models": {"a/b": {"variants": [{"run": 1}]}}}, "missing `when`"),
        ({"models": {"a/b": {"variants": [{"when": {"with_audio": True}}]}}}, "a variant without a price"),
        ({"models": {"a/b": {"variants": [{"when": {"with_adio": True}, "run": 1}]}}}, "did you mean with_audio?"),
        ({"models": {"a/b": {"variants": [{"when": {"token_input_count": {"over": 1}}, "run": 1}]}}}, "above = N"),
        ({"hardware": {"cpu": "x"}}, "at `prices.hardware.cpu`"),
        ({"hardwares": {}}, "did you mean hardware?"),
        ({"date": "yesterday"}, "expected a date"),
        (7, "expected a table"),
    ],
)
def test_an_invalid_price_table(said, problem):
    """The error names the key, what was found and what was expected."""
    with pytest.raises(PriceError) as caught:
        prices_of(said)

    assert problem in str(caught.value)
