"""Feed a run's host with random, mutated and misleading frames, and count how each frame was processed.

    python tests/runtime/fuzz_frames.py [--frames N] [--seed N]

Whatever a child sends, the host executes a typed call, prints, answers, ends the run, or refuses with a `KosmoError`;
anything else is a finding, and so is an answer after more than a second.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import random
import time
from collections import Counter

import msgspec

from kosmolua.errors import KosmoError
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.port import Port
from kosmolua.runtime.run import _outcome

LIMITS = Limits(output=None)
TAGS = ["call", "print", "sleep", "time", "wait", "done", "ready", "ok", "error", "", "Call", "\0"]
ODD = [
    None, True, False, 0, 1, 2, -1, 255, 2**31, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.5, 1e308, float("nan"),
    float("inf"), -float("inf"), "", "echo", "a" * 300, "\x1b[2J", "\ud7ff", "__class__", "../..", "%s{0}", b"",
    b"\xff", b"x" * 5000, [], [1], {}, {"message": "x"}, {"message": 1}, {"message": "m", "code": "limit_reached"},
    {"message": "m", "status": float("inf")}, {"message": "m", "status": 404.0, "retry_after": float("nan")},
    {"code": "permission_denied"}, {1: 2}, {"a": {"b": [None] * 20}}, msgspec.msgpack.Ext(1, b"x"),
]  # fmt: skip
GOOD = [
    ["call", 1, True, "", "echo", {}], ["call", 2**40, False, "default", "echo", {"a": [1, 2.5, None, {"b": "c"}]}],
    ["call", 5, True, "", "echo", {}, [0, 1]], ["sleep", 6, True, 0.0, [1, 2]], ["time", 7, False, [2, 1]],
    ["print", 1, b"text"], ["print", 2, b""], ["sleep", 3, True, 0.0], ["sleep", 3, False, 0.0], ["time", 4, True],
    ["done", True, [1, "two", None, {"three": [4]}], 1e6, "LuaJIT 2.1"],
    ["done", False, {"message": "it failed", "code": "script_error", "where": "x:1", "traceback": "x:1"}, 1e6, "L"],
]  # fmt: skip


class Host:
    """A host that receives the valid frames and checks their types."""

    def __init__(self):
        self.calls = 0

    def __call__(self, function, account, arguments):
        assert type(function) is str, function
        assert type(account) is str, account
        assert type(arguments) is bytes, arguments
        self.calls += 1
        return {}

    def write(self, stream, text):
        assert stream in (1, 2)
        assert type(text) is bytes

    def time(self):
        return 0.0

    def sleep(self, seconds):
        assert 0 <= seconds < float("inf")


def frame(dice):
    """Make one frame: random bytes, odd values instead of valid ones, or a damaged valid frame."""
    kind = dice.randrange(8)
    if kind == 0:
        return dice.randbytes(dice.randrange(64))
    if kind == 1:
        return bytes([dice.choice([0x91, 0x81])]) * dice.randrange(1, 5000) + dice.randbytes(4)
    if kind <= 4:
        return encode([dice.choice(TAGS), *(odd(dice) for _ in range(dice.randrange(7)))])
    good = [*dice.choice(GOOD)]
    if kind == 5:
        good[dice.randrange(1, len(good))] = odd(dice)
        return encode(good)
    return mutated(encode(good), dice)


def odd(dice):
    value = dice.choice(ODD)
    for _ in range(dice.choice([0, 0, 0, 1, 3, 900])):
        value = [value] if dice.random() < 0.5 else {"k": value}
    return value


def encode(value):
    try:
        return msgspec.msgpack.encode(value)
    except (RecursionError, ValueError):
        return b"\xc1"


def mutated(data, dice):
    changed = bytearray(data)
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                changed[at] ^= 1 << dice.randrange(8)
            case 2:
                del changed[at : at + dice.randrange(4)]
            case _:
                changed[at:at] = dice.randbytes(dice.randrange(1, 9))
        changed = changed or bytearray(1)
    return bytes(changed)


def take(data):
    """Give one frame to a new run, and return how it was processed."""
    host = Host()
    port = Port(host, host, host, LIMITS)
    try:
        answer = port.submit(data)
        if port.done:
            return end(port)
    except KosmoError as error:
        return f"refused: {error.code}"
    assert answer is None or type(answer) is bytes
    return "called" if host.calls else "answered" if answer else "printed"


def end(port):
    """Check that a successful run can be shown to machines and people."""
    values, error = _outcome(port, LIMITS)
    msgspec.json.encode([values, error and error.to_dict(), int(port.done.memory), error and error.exit_status])
    return "ended with an error" if error else "ended with results"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    dice, taken, slowest = random.Random(chosen.seed), Counter(), 0.0
    print(f"seed {chosen.seed}")
    for _ in range(chosen.frames):
        data = frame(dice)
        began = time.perf_counter()
        try:
            taken[take(data)] += 1
        except BaseException:
            print(f"a finding: {data[:2000].hex()}")
            raise
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 1, slowest
    for name, count in taken.most_common():
        print(f"{count:>9}  {name}")
    print(f"slowest: {slowest * 1000:.1f} ms")


if __name__ == "__main__":
    main()
