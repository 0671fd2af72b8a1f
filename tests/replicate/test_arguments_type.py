"""Arguments from Python and from Lua become a Struct, or are refused with the place of the error."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from kosmolua.errors import ArgumentError
from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import OPERATIONS
from kosmolua.replicate.structs import arguments_type, decode_arguments

RUN = {"version": "v", "input": {}}
EVENTS = 'expected a list of "start", "output", "logs", "completed"'
DURATION = "expected a duration of at least 5 seconds, such as 30, 30s, 5m or 1h30m45s"
WAYS = {"mapping": lambda data: data, "msgpack": msgspec.msgpack.encode}


@pytest.fixture(params=WAYS)
def decode(request):
    """Decode a function's arguments from a mapping, or from MessagePack as sent by Lua."""
    return lambda function, given: decode_arguments(catalogue.find(function), WAYS[request.param](given))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_example_is_valid(operation, decode):
    """The catalog's examples are valid and unchanged."""
    decoded = decode(operation.name, operation.example)

    assert operation.example == msgspec.to_builtins(decoded)
    assert isinstance(decoded, arguments_type(operation))


def test_an_alias_of_a_parameter(decode):
    """`lifetime`, used in Replicate's guides, is an alias of the header Cancel-After; null counts as absent."""
    for each in (
        {"lifetime": "5m"},
        {"lifetime": "5m", "cancel_after": None},
        {"cancel_after": "5m", "lifetime": None},
    ):
        assert "5m" == decode("create_prediction", {**RUN, **each}).cancel_after


@pytest.mark.parametrize(
    ("function", "given", "says"),
    [
        ("create_prediction", {**RUN, "lifetime": "5m", "cancel_after": "5m"},
         "`lifetime` is another name of `cancel_after`; give only one of them"),
        ("create_prediction", {**RUN, "lifetime": "4s"}, f'{DURATION}, got string "4s" - at `cancel_after`'),
        ("get_prediction", {"predicton_id": "x"}, "unknown parameter `predicton_id`; did you mean `prediction_id`?"),
        ("get_account", {"zzz": 1}, "unknown parameter `zzz`; it takes none"),
        ("create_deployment", {"hardware": "cpu"},
         "missing `name`, `model`, `version`, `min_instances`, `max_instances`"),
        ("get_prediction", {"prediction_id": None}, "missing `prediction_id`"),
        ("create_prediction", {"version": "v", "input": "x"}, 'expected an object, got string "x" - at `input`'),
        ("create_prediction", {"version": 1, "input": {}}, "expected a string, got integer 1 - at `version`"),
        ("create_prediction", {**RUN, "stream": "yes"}, 'expected a boolean, got string "yes" - at `stream`'),
        ("create_prediction", {**RUN, "webhook_events_filter": ["start", "nope"]},
         f'{EVENTS}, got ["start","nope"] - at `webhook_events_filter[1]`'),
        ("create_prediction", {**RUN, "webhook_events_filter": "start"},
         f'{EVENTS}, got string "start" - at `webhook_events_filter`'),
        ("create_prediction", {**RUN, "prefer": "wait=61"},
         'expected "wait" or "wait=n" with n from 1 to 60, got string "wait=61" - at `prefer`'),
        ("create_prediction", {**RUN, "prefer": "wait\r\nX: y"},
         'expected "wait" or "wait=n" with n from 1 to 60, got string "wait??X: y" - at `prefer`'),
        ("create_prediction", {**RUN, "cancel_after": "4s"},
         f'{DURATION}, got string "4s" - at `cancel_after`'),
        ("list_models", {"sort_direction": "up"},
         'expected one of "asc", "desc", got string "up" - at `sort_direction`'),
        ("search", {"query": "x", "limit": 51}, "expected an integer from 1 to 50, got integer 51 - at `limit`"),
        ("search", {"query": "x", "limit": 1.5}, "expected an integer from 1 to 50, got number 1.5 - at `limit`"),
        ("search", {"query": "x", "limit": True}, "expected an integer from 1 to 50, got true - at `limit`"),
        ("update_deployment", {"deployment_owner": "a", "deployment_name": "b", "min_instances": -1},
         "expected an integer of at least 0, got integer -1 - at `min_instances`"),
        ("get_prediction", {"prediction_id": ""}, "expected a name or an id, got '' - at `prediction_id`"),
        ("get_model", {"model_owner": "..", "model_name": "x"},
         "expected a name or an id, got '..' - at `model_owner`"),
        ("get_model", {"model_owner": "a", "model_name": "."}, "expected a name or an id, got '.' - at `model_name`"),
        ("create_prediction", {"version": "v", "input": {"a": [1, {"b": b"\xff"}]}},
         "string is not UTF-8 - at `input.a[1].b`"),
        ("create_prediction", {"version": b"\xff", "input": {}}, "string is not UTF-8 - at `version`"),
        ("create_prediction", {"version": "v", "input": {"a": [float("nan")]}}, "number is nan - at `input.a[0]`"),
        ("create_prediction", {"version": "v", "input": {"a": float("-inf")}}, "number is -inf - at `input.a`"),
        ("create_prediction", {"version": "v", "input": {"a": {1: 2}}},
         "expected a string as a name, got integer 1 - at `input.a`"),
        ("create_file", {"content": 3}, "expected bytes or text, got integer 3 - at `content`"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_refused_with_their_place(decode, function, given, says):
    """The error has the function, what was expected and found, and where; the hint has the next command."""
    with pytest.raises(ArgumentError) as caught:
        decode(function, given)

    error = caught.value
    assert f"{function}: {says}" == error.message
    assert ("invalid_arguments", function, 2) == (error.code, error.function, error.exit_status)
    assert function in error.hint


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("\ud800", "string is not UTF-8 - at `input.a`"),
        ({"\ud800": 1}, "a name is not UTF-8 - at `input.a`"),
        (2**64, "integer needs more than 64 bits (give it as a string) - at `input.a`"),
        (-(2**63) - 1, "integer needs more than 64 bits (give it as a string) - at `input.a`"),
        ({1, 2}, "expected plain data, got `set` - at `input.a`"),
        (object(), "expected plain data, got `object` - at `input.a`"),
    ],
)
def test_python_values_without_a_json_form_are_refused(value, says):
    """A program that uses the client gets the same errors as a script."""
    with pytest.raises(ArgumentError) as caught:
        decode_arguments(catalogue.find("create_prediction"), {"version": "v", "input": {"a": value}})

    assert f"create_prediction: {says}" == caught.value.message


def test_a_cycle_is_refused():
    """A cycle is refused because it has too many levels."""
    cycle = {}
    cycle["again"] = cycle

    with pytest.raises(ArgumentError, match="more than 200 levels"):
        decode_arguments(catalogue.find("create_prediction"), {"version": "v", "input": cycle})


@pytest.mark.parametrize("levels", [150, 250, 5000])
def test_levels_are_counted_for_both_sources(levels):
    """150 levels are valid; more than 200, and more than the decoder's stack allows, give an error."""
    packed = b"\x82\xa7version\xa1v\xa5input\x81\xa1x" + b"\x91" * levels + b"\x01"
    operation = catalogue.find("create_prediction")
    if levels < 200:
        assert decode_arguments(operation, packed).input
        return

    with pytest.raises(ArgumentError, match="more than 200 levels"):
        decode_arguments(operation, packed)


@pytest.mark.parametrize(
    "value",
    [b"\xd4\x05a", b"\xd6\xff\x00\x00\x00\x01", b"\x81\x91\x01\x01", b"\x81\xc4\x01\xff\x01", b"\x81\xc0\x01",
     b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\x81\xa1\xff\x01", b"\xca\x7f\xc0\x00\x00", b""],
    ids=["extension", "time", "list as a name", "bytes as a name", "nil as a name", "text", "surrogate",
         "text as a name", "single NaN", "cut short"],
)  # fmt: skip
def test_messagepack_without_a_json_form_is_refused(value):
    """Data from a hostile script process gives an error, and never reaches the encoder."""
    packed = b"\x82\xa7version\xa1v\xa5input\x81\xa1x" + value

    with pytest.raises(ArgumentError, match=r"^create_prediction: "):
        decode_arguments(catalogue.find("create_prediction"), packed)


@given(st.binary(max_size=60))
def test_any_bytes_are_arguments_or_an_argument_error(packed):
    """For any bytes from the port, no other type of error is raised."""
    for function in ("create_prediction", "create_file", "search"):
        with contextlib.suppress(ArgumentError):
            decode_arguments(catalogue.find(function), packed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé\u2028", max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=4))
def test_any_json_object_is_an_input(value):
    """Any JSON object passes through decoding and encoding unchanged."""
    operation = catalogue.find("create_prediction")
    arguments = {"version": "v", "input": value}

    assert value == decode_arguments(operation, arguments).input
    assert value == decode_arguments(operation, msgspec.msgpack.encode(arguments)).input


def test_null_counts_as_absent(decode):
    """A null is treated like a field that is nil in Lua."""
    decoded = decode("create_prediction", {**RUN, "webhook": None, "prefer": None})

    assert (UNSET, UNSET) == (decoded.webhook, decoded.prefer)


def test_an_empty_object_is_an_empty_list_where_a_list_is_expected(decode):
    """Lua has one empty table for both; where no list is expected, it is an object."""
    decoded = decode("create_prediction", {**RUN, "webhook_events_filter": {}})

    assert ([], {}) == (decoded.webhook_events_filter, decoded.input)


@pytest.mark.parametrize("content", [b"\xff\x00", "text", b"", ""])
def test_content_is_bytes_or_text(decode, content):
    """Only a file's content can be bytes or text; other values are refused."""
    assert content == decode("create_file", {"content": content}).content


@pytest.mark.parametrize("given", [[], ["x"], "x", 3, None])
def test_arguments_need_names(decode, given):
    """A list or a scalar instead of named arguments is refused."""
    with pytest.raises(ArgumentError, match="expected named arguments"):
        decode("get_account", given)


@pytest.mark.parametrize("value", ["5", "05", "5s", "0m5s", "1m", "1h", "1h30m45s", "90", "1h0m0s"])
def test_valid_durations(decode, value):
    """Durations from five seconds on are accepted in the API's grammar."""
    assert value == decode("create_prediction", {**RUN, "cancel_after": value}).cancel_after


@pytest.mark.parametrize("value", ["", "4", "004", "0m4s", "s", "5 s", "1.5h", "-5", "5\n", "5d", "1s1m"])
def test_invalid_durations(decode, value):
    """Invalid durations are refused before sending."""
    with pytest.raises(ArgumentError, match="expected a duration"):
        decode("create_prediction", {**RUN, "cancel_after": value})


def test_argument_types_load_no_network_code():
    """Checking arguments loads no HTTP client."""
    code = "import kosmolua.replicate.structs, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"httpx", "ssl", "socket", "difflib", "kosmolua.replicate.results"} & set(run.stdout.split())
