"""A hostile child cannot make the host crash, hang, or do anything that no script could request."""

import os
import random
import time
from contextlib import suppress

import fuzz_frames
import msgspec
import pytest
from confined import child_for, needs, serve
from hypothesis import given
from hypothesis import strategies as st
from waiting import scaled

from kosmolua.errors import KosmoError, LimitError, ScriptError
from kosmolua.runtime import frames, marshal
from kosmolua.runtime import port as port_
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import MAX_FRAME, Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import Script, run

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4),
    max_leaves=20,
)
tags = st.sampled_from(fuzz_frames.TAGS)
spoken = st.lists(plain, max_size=6).flatmap(lambda fields: tags.map(lambda tag: [tag, *fields]))


@given(st.binary(max_size=200))
def test_random_bytes(data):
    """Random bytes are refused with a `KosmoError`, unless they happen to be valid."""
    assert fuzz_frames.take(data)


@given(spoken.map(fuzz_frames.encode))
def test_values_of_the_wrong_kind(data):
    """Well-formed frames with any values are carried out with valid types, or are refused."""
    assert fuzz_frames.take(data)


@given(st.integers())
def test_damaged_frames(seed):
    """A valid frame with a few changed bytes does no harm."""
    assert fuzz_frames.take(fuzz_frames.frame(random.Random(seed)))


@pytest.mark.parametrize(
    "call",
    [
        ["call", 1, True, "", 7, {}],
        ["call", 1, True, None, "echo", {}],
        ["call", 1, True, b"default", "echo", {}],
        ["call", 1, True, "", ["echo"], {}],
        ["call", "1", True, "", "echo", {}],
        ["call", 1.5, True, "", "echo", {}],
        ["call", 1, 1, "", "echo", {}],
        ["call", 1, True, "", "echo"],
        ["call", 1, True, "", "echo", {}, "more"],
        {"type": "call", "id": 1, "alone": True, "account": "", "function": "echo", "arguments": {}},
    ],
    ids=repr,
)
def test_a_malformed_call_is_refused(host, call):
    """A call has a function and an account as text and a fixed number of fields; otherwise it does not reach the
    handler.
    """
    with pytest.raises(ScriptError, match="an invalid frame"):
        Port(host, host).submit(msgspec.msgpack.encode(call))

    assert [] == host.calls


DEEP = b"\x91" * 100_000 + b"\xc0"
DONE = b"\x95\xa4done\xc3%s\xcb\x41\x2e\x84\x80\0\0\0\0\xa1L"


@pytest.mark.parametrize(
    "value",
    [b"\x80", b"\x05", b"\x91\x81\x01\x02", b"\x91\xd4\x05\x01", b"\x91\x81\x80\x01", b"\x91\xa1\xff", DEEP],
    ids=["map", "number", "number as name", "extension", "map as name", "no text", "deep"],
)
def test_results_that_are_not_plain_data(value):
    """A value without a JSON form is refused as a result."""
    assert "refused: script_crashed" == fuzz_frames.take(DONE % value)


@pytest.mark.parametrize("memory", [float("nan"), float("inf"), -1.0], ids=str)
def test_invalid_figures_are_replaced(host, memory):
    """Figures that are shown to people are always valid numbers."""
    with pytest.raises(ScriptError, match=r"\$\[3\]"):
        Port(host, host).submit(msgspec.msgpack.encode(["done", True, [], memory, "LuaJIT"]))


def test_endless_texts_are_truncated(host):
    """A hostile error does not fill the terminal."""
    port = Port(host, host)
    report = {"message": "m" * 10_000_000, "hint": "h" * 10_000_000, "traceback": "t" * 10_000_000}
    port.submit(msgspec.msgpack.encode(["done", False, report, 1.0, "LuaJIT"]))
    error = frames.error(port.done)

    assert [frames.MAX_TEXT] * 3 == [len(error.message), len(error.hint), len(error.traceback)]


# Whole children --------------------------------------------------------------------------------------------------


def test_real_children_that_send_damaged_frames(host):
    """A confined process that sends damaged frames ends its run with an error, in time."""
    limits = Limits(cpu=1.0, silence=0.3, output=10_000)
    for seed in range(15):
        dice = random.Random(seed)
        frames = [fuzz_frames.mutated(fuzz_frames.encode(dice.choice(fuzz_frames.GOOD)), dice) for _ in range(20)]
        child = child_for(f"for frame in {frames!r}: send(frame)\nos._exit(0)", limits=limits)
        began = time.monotonic()
        with suppress(KosmoError):  # some damaged frames are valid end frames
            serve(child, host)

        assert time.monotonic() - began < scaled(2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.write(1, b'\\xff' * 8)", "a message of 4294967295 bytes"),
        (f"os.write(1, ({MAX_FRAME} + 1).to_bytes(4))", "sent a message of"),
        ("os.write(1, b'\\0\\0\\0\\x09abc'); os._exit(0)", "ended with status 0"),
        ("send(b'')", "an invalid frame"),
        ("os._exit(0)", "ended with status 0"),
        ("os.write(2, b'\\xff\\x1b[2J' * 99); os._exit(3)", "ended with status 3"),
    ],
    ids=["huge", "too large", "cut off", "empty", "nothing", "binary last words"],
)
def test_frames_with_a_wrong_length(host, code, words):
    """A wrong length gives an error and uses no memory."""
    with pytest.raises(KosmoError, match=words):
        serve(child_for(code), host)


def test_unread_answers_are_limited(host):
    """The number of unread answers is limited, and so is that of spawned sleeps."""
    ask = "while True: send(bytes.fromhex('93a474696d6501c3'))"
    with pytest.raises(LimitError, match="unread answers"):
        serve(child_for(ask, limits=Limits(cpu=None)), host)


def test_millions_of_values_are_refused(host):
    """One byte may become an object of eighty bytes, so too many values are refused before one is decoded."""
    many = b"\xdd\x01\x00\x00\x00" + b"\x80" * (1 << 24)
    call = b"\x96\xa4call\x01\xc3\xa0\xa4echo"
    answer = msgspec.msgpack.decode(Port(host, host).submit(call + b"\x81\xa1x" + many))
    with pytest.raises(LimitError, match="returned more than") as caught:
        Port(host, host, limits=Limits(output=None)).submit(DONE % many)

    assert ["error", "invalid_arguments", []] == [answer[0], answer[2]["code"], host.calls]
    assert {"limit": "results", "value": port_.MAX_RESULTS} == caught.value.detail


@given(plain, st.integers(0, 30))
def test_the_number_of_values_is_limited(value, most):
    """Names count as values, and data with more values than the limit is recognized."""
    data, count = msgspec.msgpack.encode(value), counted(value)

    assert (len(data) > most and count > most) == marshal.holds_more(data, most)


def counted(value):
    if isinstance(value, list):
        return 1 + sum(map(counted, value))
    if isinstance(value, dict):
        return 1 + sum(1 + counted(item) for item in value.values())
    return 1


@pytest.mark.parametrize("place", [3, 4], ids=["account", "function"])
def test_the_length_of_names_is_limited(host, place):
    """Long names are refused, because searching for similar names would take long."""
    call = ["call", 1, True, "", "echo", {}]
    call[place] = "x" * 201
    with pytest.raises(ScriptError, match="an invalid frame"):
        Port(host, host).submit(msgspec.msgpack.encode(call))


def test_empty_prints_are_counted(host):
    """An empty print counts towards the output limit."""
    port = Port(host, host)
    port.lines = port_.MAX_LINES
    with pytest.raises(LimitError, match="printed 1000000 times"):
        port.submit(msgspec.msgpack.encode(["print", 1, b""]))


def test_results_count_as_output(host):
    """Returned values count like printed ones."""
    script = Script(source=b"print(('x'):rep(600)) return ('x'):rep(600)", name="x")
    result = run(script, host, host, limits=Limits(output=1_000))

    assert {"limit": "output", "value": 1_000} == result.error.detail


def test_a_flood_of_output(host):
    """A child that prints endlessly is stopped at the limit, and its output is truncated there."""
    code = "frame = bytes.fromhex('93a57072696e7401c4ff') + b'x' * 255\nwhile True: send(frame)"
    with pytest.raises(LimitError) as caught:
        serve(child_for(code, limits=Limits(output=5_000)), host)

    assert {"limit": "output", "value": 5_000} == caught.value.detail
    assert len(host.printed) < 5_256


@needs("seccomp")
def test_a_second_greeting_is_invalid(host):
    """The layers are reported once, before a script; a later report is an invalid frame."""
    child = child_for("send(b'ready process rlimits')")
    with pytest.raises(ScriptError, match="an invalid frame"):
        serve(child, host)

    assert "seccomp" in child.layers


@pytest.mark.parametrize("greeting", [b"", b"ready2 seccomp", b"\x93\xa5print\x01\xc4\x00", b"\xff\xff"])
def test_a_child_without_a_greeting_is_an_error(host, greeting):
    """The first frame of a child reports the layers; any other frame means that it did not start correctly."""
    boot = f"import os; os.write(1, {len(greeting).to_bytes(4) + greeting!r}); os.read(0, 100)"
    with pytest.raises(ScriptError, match="did not start correctly"):
        serve(Child(Limits(), boot=boot), host)


def test_unknown_layers_are_ignored(host):
    """Only known layers in a greeting are used."""
    greeting = b"ready seccomp seccomp2 \xff\x1b[2J landlockseccomp"
    boot = f"import os; os.write(1, {len(greeting).to_bytes(4) + greeting!r})"
    child = Child(Limits(), boot=boot)
    with pytest.raises(ScriptError):
        serve(child, host)

    assert ["seccomp"] == child.layers


def test_a_host_continues_after_hostile_children(host):
    """Later runs work, and no descriptor, process or state of earlier runs is left."""
    before = set(os.listdir("/proc/self/fd"))
    for code in ("send(b'\\xc1')", "os.write(1, b'\\xff' * 8)", "os.kill(host, 0)"):
        with pytest.raises(KosmoError):
            serve(child_for(code), host)
    result = run(Script(source=b"return 1", name="x"), host, host)

    assert [1] == result.results
    assert before == set(os.listdir("/proc/self/fd"))
