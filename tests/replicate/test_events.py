"""Event streams are parsed in pieces of any size: nothing is lost, and the time is linear in the bytes."""

import random
import time

import pytest

from kosmolua.errors import TransportError
from kosmolua.replicate.events import MAX_EVENT, Decoder, Event

PARTS = ["data: a", "data:", "data", "id: 1", "event: x", ": c", "é", "\u2028", "\r", "\n", "\r\n", "\r\n\r\n", "\n\n"]


def decoded(pieces):
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_end_split_between_pieces(end):
    """The two parts end one line, also if the next piece begins with another line end."""
    expected = [Event("message", "a", "")]

    assert expected == decoded(cut(f"data: a{end}{end}".encode(), 1))
    assert expected == decoded([b"data: a\r", b"\n", b"\n"])
    assert expected == decoded([b"data: a\r", b"", b"\n", b"\r", b"\n"])


@pytest.mark.parametrize("seed", range(300))
def test_pieces_make_no_difference(seed):
    """Pieces of any size give the same events."""
    dice = random.Random(seed)
    data = ("\ufeff" * dice.randrange(2) + "".join(dice.choices(PARTS, k=20))).encode()
    whole = decoded([data])

    assert [whole] * 3 == [decoded(cut(data, size)) for size in (1, 2, 5)]


@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b"x" * 10_000_000 + b"\n\n",
        b"x" * 10_000_000,
        b"data:\n" * 500_000,
        b"\n" * 1_000_000,
        b":\r" * 500_000,
    ],
    ids=["one large event", "no line end", "empty data lines", "empty lines", "comments"],
)
@pytest.mark.parametrize("size", [1000, 65536])
def test_time_is_linear(data, size):
    """Ten megabytes take a fraction of a second (a quadratic decoder takes six seconds)."""
    began = time.process_time()
    decoded(cut(data, size))

    assert time.process_time() - began < 2


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000 + b"\n", b"x" * 1000])
def test_an_event_is_bounded(line):
    """Reading stops at an event without an end, and its text is not passed on."""
    decoder = Decoder()

    def feed():
        for _ in range(MAX_EVENT // 1000 + 100):
            decoder.feed(line)

    with pytest.raises(TransportError, match=f"longer than {MAX_EVENT} bytes"):
        feed()

    assert decoder.held < MAX_EVENT + 10_000


def test_a_long_name_is_ignored():
    """A long id or type is ignored, because it would be in every later event."""
    data = b"id: 1\nid: " + b"2" * 1000 + b"\nevent: " + b"e" * 1000 + b"\ndata: a\n\n"

    assert [Event("message", "a", "1")] == decoded([data])
