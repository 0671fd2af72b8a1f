"""A child process that sends wrong frames can damage only its own journal."""

import random
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.errors import KosmoError, ScriptError
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))
import fuzz_frames

HEAD = Head(script="flow.lua", source=b"")


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    made = Journal(str(tmp_path_factory.mktemp("hostile") / "x.journal"), HEAD)
    yield made
    made.close()


def take(journal, *frames):
    """How a run with this journal handles the frames: an error code, or "taken"."""
    host = fuzz_frames.Host()

    def handler(*call):
        return host(*call[:3])

    port = Port(handler, host, host, Limits(output=None), journal=journal)
    try:
        for frame in frames:
            port.submit(frame)
            port.take()
    except KosmoError as error:
        return error.code
    finally:
        port.close()
    return "taken"


places = st.none() | st.lists(st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3), max_size=3)
arguments = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data())
def test_invalid_places_are_refused(journal, data):
    """A place consists of two numbers; a frame with any other place is invalid."""
    what = data.draw(st.sampled_from([["call", 1, True, "", "echo", {}], ["sleep", 1, True, 0.0], ["time", 1, True]]))
    at = data.draw(places)
    found = take(journal, msgspec.msgpack.encode([*what, at]))

    good = isinstance(at, list) and len(at) == 2 and all(isinstance(n, int) and 0 <= n < 2**53 for n in at)
    assert ("taken" if good else "script_crashed") == found or (good and found == "journal")


@given(st.booleans(), arguments, st.integers(0, 3), st.integers(0, 3))
def test_arguments_of_every_kind(journal, alone, given_arguments, task, number):
    """Arguments with keys that are not text, or with invalid UTF-8, are digested and decided by the gate like
    others."""
    frame = msgspec.msgpack.encode(["call", 1, alone, "", "echo", given_arguments, [task, number]])

    assert take(journal, frame) in {"taken", "journal", "limit_reached"}


def test_broken_text_in_arguments(journal):
    """Arguments with bytes that are marked as text but are not UTF-8 are accepted."""
    frame = b"\x97\xa4call\x01\xc3\xa0\xa4echo\x81\xa1a\xa2\xff\xfe\x92\xcd\x27\x0f\x01"

    assert "taken" == take(journal, frame)


def test_random_and_damaged_frames(journal):
    """Every random or damaged frame is executed, or refused with an error of this package."""
    for seed in range(3000):
        dice = random.Random(seed)
        assert take(journal, fuzz_frames.frame(dice), msgspec.msgpack.encode(["wait"]))


def test_a_missing_place_is_refused(journal):
    """In a run with a journal, a frame without a place is refused."""
    with pytest.raises(ScriptError, match="without its position"):
        Port(fuzz_frames.Host(), fuzz_frames.Host(), journal=journal).submit(msgspec.msgpack.encode(["time", 1, True]))


def test_a_damaged_journal_can_still_be_read(journal):
    """After all these frames, the journal can be opened and read."""
    path = journal.path
    journal.close()
    again = Journal(path, HEAD)
    assert again.last >= 0
    again.close()
