"""Run workflows against a server that drops, delays, truncates and refuses at random, and count how each operation
ends.

    python tests/workflows/chaos.py [--operations N] [--seed N]

An operation is a run, a stream or a download with a unique input or file. Each has to succeed, or end with an error
that describes its state. No input may create two predictions, and streams and downloads must be complete.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]
from flows import Flow  # noqa: E402 - found by the line above
from waiting import let_pass  # noqa: E402

SCRIPT = """
local kinds, first, last = { "run", "stream", "download" }, tonumber(args[1]), tonumber(args[2])
local numbers = {}
for i = first, last do numbers[#numbers + 1] = i end
local function one(i)
  local kind = kinds[i % 3 + 1]
  if kind == "run" then return { kind, (run("replicate/hello-world", { text = "n" .. i })) } end
  if kind == "stream" then
    return { kind, stream("meta/meta-llama-3-8b-instruct", { prompt = "n" .. i, seed = i, max_tokens = 30 }):text() }
  end
  local images = run("black-forest-labs/flux-schnell", { prompt = "n" .. i, seed = i, width = 32, height = 32 })
  return { kind, download(images[1], i .. ".png").sha256 }
end
return parallel(numbers, function(i)
  local ok, found = pcall(one, i)
  return { i, ok, ok and found or { found.code, tostring(found) } }
end, { limit = 32 })
"""
TROUBLES = ("lost", "unheard", "late", "short", "429", "500", "503")


class Chaos:
    """A WSGI application around another one. One request in this many has a fault; all kinds are equally frequent."""

    def __init__(self, application, dice, one_in):
        self._application, self._dice, self._one_in = application, dice, one_in
        self._lock = threading.Lock()
        self.troubles = Counter()

    def close(self):
        self._application.close()

    def __call__(self, environ, start_response):
        with self._lock:
            trouble = self._dice.choice(TROUBLES) if self._dice.random() * self._one_in < 1 else ""
            part = self._dice.random()
            self.troubles.update([trouble] if trouble else [])
        match trouble:
            case "lost":
                raise ConnectionResetError
            case "unheard":
                self._swallow(environ)
                raise ConnectionResetError
            case "late":
                let_pass(part / 5)
            case "429" | "500" | "503":
                start_response(f"{trouble} Trouble", [("Retry-After", "0"), ("Content-Length", "0")])
                return [b""]
        parts = self._application(environ, start_response)
        return _cut(parts, part) if trouble == "short" else parts

    def _swallow(self, environ):
        parts = self._application(environ, lambda *_: None)
        if "/stream/" not in environ["PATH_INFO"]:
            b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()


def _cut(parts, part):
    """Return the first pieces, or a part of a single piece, and then end the connection."""
    for number, piece in enumerate(parts):
        if number > part * 20 or number == 0:
            yield piece[: int(len(piece) * part)]
            break
        yield piece
    raise ConnectionResetError


def play(directory, operations, seed, one_in=8, speed=10):
    """Run the operations and return the figures. Raises an AssertionError for any violation."""
    dice = random.Random(seed)
    flow, chaos = Flow(directory), []

    def wrap(application):
        chaos.append(Chaos(application, dice, one_in))
        return chaos[0]

    flow.serve(speed=speed, wrap=wrap)
    try:
        began = time.monotonic()
        ended = flow(SCRIPT, args=["1", str(operations)])
        took = time.monotonic() - began
    finally:
        flow.close()
    made = flow.emulator._world.predictions
    check(ended, made, directory, operations, flow.emulator.clock.time())
    codes = Counter(found[0] for _, ok, found in ended if not ok)
    return {"operations": operations, "seconds": round(took, 1), "troubles": dict(chaos[0].troubles),
            "predictions": len(made), "failed": dict(codes)}  # fmt: skip


def check(ended, made, directory, operations, now):
    assert list(range(1, operations + 1)) == [number for number, _, _ in ended]
    inputs = Counter(str(job.given.get("text") or job.given.get("prompt")) for job in made.values())
    assert [] == [(name, count) for name, count in inputs.items() if count > 1], "created twice"
    by_input = {str(job.given.get("text") or job.given.get("prompt")): job for job in made.values()}
    for number, ok, found in ended:
        if not ok:
            assert found[0] in {"uncertain", "unreachable", "server_error", "rate_limited"}, found
            continue
        kind, value = found
        job = by_input[f"n{number}"]
        assert job.at(now + 3600).terminal
        if kind == "run":
            assert f"hello n{number}" == value
        elif kind == "stream":
            assert "".join(job.outcome().output) == value, number
        else:
            content = job.outcome().files["out-0.png"][1].read()
            assert content == (directory / f"{number}.png").read_bytes(), number


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory() as directory:
        print(play(Path(directory), chosen.operations, chosen.seed))


if __name__ == "__main__":
    main()
