"""Plain data is transferred to Lua and back unchanged, or is refused with its path."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmolua.runtime.run import Script, run

FUNCTIONS = [("give",), ("take",)]
EXACT = 2**53  # beyond this, a Lua number does not represent every integer

text = st.text(max_size=20)
keys = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text
)
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)


class Host:
    """A host that passes a value to the script and keeps the script's result."""

    def __init__(self, value):
        self.value = value
        self.taken = None

    def __call__(self, function, account, arguments):
        if function == "give":
            return {"value": self.value}
        self.taken = msgspec.msgpack.decode(arguments)
        return {}

    def write(self, stream, text):
        raise AssertionError(text)


def through_lua(value, source, isolation="none"):
    host = Host(value)
    script = Script(source=source.encode(), name="trip", functions=FUNCTIONS)
    return host, run(script, host, host, isolation=isolation)


def as_lua_has_it(value):
    """The value with the intended differences: an absent field for null, digits for large integers, 1 for 1.0."""
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if -EXACT <= value <= EXACT else str(value)
        case float():
            return int(value) if value.is_integer() and abs(value) <= EXACT else value
        case list():
            return [as_lua_has_it(item) for item in value]
    return {key: as_lua_has_it(item) for key, item in value.items() if item is not None}


@settings(max_examples=200, deadline=None)
@given(data)
def test_values_return_unchanged(value):
    """Values are unchanged as an argument of a call and as the script's result."""
    host, result = through_lua(value, "local v = integrations.replicate.give{}.value"
                                      " integrations.replicate.take{ value = v } return v")  # fmt: skip
    expected = as_lua_has_it(value)

    assert result.error is None
    assert expected == result.results[0]
    assert ({} if expected is None else {"value": expected}) == host.taken


def test_values_return_unchanged_from_a_child():
    """Values are also unchanged if they are transferred through pipes."""
    value = {"a": [1, 2.5, None, "x\0é", {"b": []}, {}, 2**60, -(2**63), 2**64, True], "": {"c": 1e308}}
    host, result = through_lua(
        value,
        "local v = integrations.replicate.give{}.value integrations.replicate.take{ value = v } return v",
        "standard",
    )

    assert as_lua_has_it(value) == result.results[0] == host.taken["value"]


BAD = {
    "function() end": "function",
    "coroutine.create(print)": "thread",
    "0/0": "nan",
    "math.huge": "inf",
    "-math.huge": "inf",
    "cyclic()": "itself",
    "{ 1, 2, x = 3 }": "key",
    "{ [1.5] = 1 }": "key",
    "{ [true] = 1 }": "key",
}
SOURCE = """
  local function cyclic() local t = {} t.t = { t } return t end
  local path, value = integrations.replicate.give{}.value, %s
  for i = #path, 1, -1 do value = { [path[i]] = value } end
  %s
"""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True) | st.just(1), max_size=6), st.sampled_from(sorted(BAD)))
def test_values_that_are_not_plain_data_are_refused_with_their_path(path, bad):
    """The error has the path of the value, and nothing is sent."""
    host, result = through_lua(path, SOURCE % (bad, "integrations.replicate.take{ value = value }"))
    assert host.taken is None
    assert "invalid_arguments" == result.error.code
    assert BAD[bad] in result.error.message.lower()
    where = "value" + "".join(f"[{step}]" if step == 1 else f".{step}" for step in path)
    assert f"`{where}" in result.error.message.replace("`.", "`")

    host, result = through_lua(path, SOURCE % (bad, "return value"))
    assert "script_error" == result.error.code
    assert "cannot return this value" in result.error.message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_without_a_json_form(value):
    """An API cannot send such a number; if a host sends it, the script gets it."""
    _, result = through_lua(value, "local v = integrations.replicate.give{}.value return tostring(v)")

    assert result.results[0].lstrip("-") in {"nan", "inf"}
