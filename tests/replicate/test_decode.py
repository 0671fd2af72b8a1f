"""Paid results remain readable if an answer has invalid JSON."""

import random
import re
import time
from contextlib import suppress

import pytest
from recording_server import Answer
from sending import send

from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.replicate.decode import NOTE, TooDeepError, decode
from kosmolua.settings import config

LOST = "\ufffd"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'"\ud83d"', LOST),
        (rb'"\ude00"', LOST),
        (rb'"\ude00\ud83d"', LOST * 2),
        (rb'"\ud83d\ud83d\ude00"', f"{LOST}\U0001f600"),
        (rb'"\ud83d\u0041"', f"{LOST}A"),
        (rb'"\\ud83d \ud83d"', rf"\ud83d {LOST}"),
        (rb'"\\\ud83d"', f"\\{LOST}"),
        (rb'"\\ud83d\ude00"', rf"\ud83d{LOST}"),
        (rb'{"\uD83D": [1, "a\uDE00b"]}', {LOST: [1, f"a{LOST}b"]}),
        (b'"a\xed\xa0\xbdb"', f"a{LOST}b"),
    ],
)
def test_invalid_unicode_is_replaced(body, expected):
    """The rest of the answer is unchanged, and a note reports the replacement."""
    assert (expected, NOTE) == decode(body)


@pytest.mark.parametrize(
    "body", [rb'"\ud83d\ude00"', rb'"\\ud83d"', b"\xef\xbb\xbf1", b"[1e3, 12345678901234567890123]"]
)
def test_valid_unicode_has_no_note(body):
    """Surrogate pairs, escaped backslashes, a byte order mark and large numbers are valid."""
    assert "" == decode(body)[1]


@pytest.mark.parametrize("body", [b"", b"nope", b"[1e400]", b"[" * 5000, rb'"\ud83d', b"\xff", b'"\xff"', b"1" * 5000])
def test_invalid_json_is_refused(body):
    """Invalid JSON raises a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        decode(body)


@pytest.mark.parametrize("levels", [1, 199, 200, 201, 960, 5000])
@pytest.mark.parametrize(
    ("opens", "closes"), [("[", "]"), ('{"a[[":', "}"), ('[{"a":1},', ',[],"]"]'), ('["[",[],{"a":"}"},', "]")]
)
def test_too_many_levels_are_refused(levels, opens, closes):
    """Brackets in text and brackets next to each other do not count; more than 200 levels are refused."""
    body = (opens * levels + "[1]" + closes * levels).encode()
    if levels < 200:
        assert "" == decode(body)[1]
    else:
        with pytest.raises(TooDeepError):
            decode(body)


def test_escapes_in_any_order():
    """Escapes are decoded from left to right."""
    dice = random.Random(1)
    for _ in range(5000):
        parts = dice.choices(
            [r"\ud83d", r"\ude00", r"\\", "a", r"\u0041", "d83d", r"\n", r"\"", "u"], k=dice.randrange(9)
        )
        text = "".join(parts)
        plain = re.sub(r"\\(?:u(....)|(.))", _meant, text)
        expected = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

        assert expected == decode(f'"{text}"'.encode())[0]


def _meant(match):
    return chr(int(match[1], 16)) if match[1] else {"n": "\n"}.get(match[2], match[2])


def test_a_large_answer_costs_little():
    """Decoding takes linear time, whatever the content."""
    for piece in (rb"\ud83d", rb"\\", b"\\\\\\", rb"\ud83d\ude00", b"\xff", rb"\ud83"):
        began = time.process_time()
        with suppress(ValueError):
            decode(b'"' + piece * (4_000_000 // len(piece)) + b'"')

        assert time.process_time() - began < 1.5


def test_an_output_with_half_a_surrogate_pair(server):
    """The call returns the output, and its log entry says what was replaced."""
    server.default = Answer(200, rb'{"id": "p", "output": "ok \ud83d"}')
    policy = policy_of(config.load({}))
    with Session(lambda _: Client(token="r8_token-of-tests", base_url=server.url), policy) as session:
        reply = session.call("get_prediction", {"prediction_id": "p"})

    assert (f"ok {LOST}", NOTE) == (reply.data["output"], reply.entry.note)


def test_an_error_with_half_a_surrogate_pair(server):
    """A problem document is decoded in the same way as an output."""
    server.default = Answer(422, rb'{"detail": "bad \ud83d"}')
    with (
        Client(token="r8_token-of-tests", base_url=server.url) as client,
        pytest.raises(Exception, match=f"bad {LOST}"),
    ):
        send(client, "get_account", {})
