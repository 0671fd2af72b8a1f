"""Measures what docs/repl.md states about the prompt: the time until it appears, how long a keystroke waits for
completion, and how long it takes to show a large result.

    python tests/bench/repl.py [--rounds N]

Each round compares the first prompt with `python -c "import prompt_toolkit"`, on a terminal that answers queries.
"""

import argparse
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from kosmolua import Host
from kosmolua.cli.options import Options
from kosmolua.repl.calls import Calls
from kosmolua.repl.completion import complete, signature
from kosmolua.repl.models import Models
from kosmolua.repl.render import render
from kosmolua.repl.snapshot import Snapshot
from kosmolua.runtime.interactive import Interpreter, start
from kosmolua.terminal import images
from kosmolua.terminal.images import shown
from kosmolua.terminal.png import SIGNATURE
from kosmolua.terminal.query import Sixel

MODEL = "black-forest-labs/flux-schnell"
INPUTS = f'run("{MODEL}", {{ num'
PROMPT, ASKED, ANSWER = b"in[1]>", b"\x1b[6n", b"\x1b[1;1R"  # the program asks the terminal for its cursor position


def first_prompt(environment):
    """Seconds until the prompt is displayed."""
    master, slave = pty.openpty()
    began = time.perf_counter()
    command = [sys.executable, "-m", "kosmolua", "repl", "--emulate"]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    seen = b""
    while PROMPT not in seen:
        select.select([master], [], [], 30)
        piece = os.read(master, 65536)
        seen += piece
        if ASKED in piece:
            os.write(master, ANSWER)
    took = time.perf_counter() - began
    process.kill()
    process.wait()
    os.close(master)
    return took


def floor(environment):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import prompt_toolkit"], env=environment, check=True)
    return time.perf_counter() - began


def start_up(rounds):
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "KOSMO_STATE_DIR": home, "TERM": "xterm-256color"}
        pairs = [(first_prompt(environment), floor(environment)) for _ in range(rounds + 1)][1:]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    over = statistics.median(prompt - 1.3 * base for prompt, base in pairs)
    print(f"first prompt                {ours * 1000:8.1f} ms   import prompt_toolkit {theirs * 1000:.1f} ms")
    print(f"  beyond 1.3 times that     {over * 1000:8.1f} ms   at most 30")


def timed(action, rounds=20):
    """The median and the maximum time of the given number of calls."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return statistics.median(found) * 1000, max(found) * 1000


def show(title, figures, most):
    print(f"{title:<28}{figures[0]:8.1f} ms   worst {figures[1]:.1f} ms, at most {most}")


class Hosts:
    """The host of an emulator, with the interface of `kosmolua.repl.calls.Hosts`."""

    def __init__(self):
        self._host = Host(emulate=True, prepare=False)
        self.files, self.close = self._host.files, self._host.close

    def session(self, watcher):
        return self._host.session("bench", watcher=watcher)


def interactive():
    state = Interpreter(None, None, lambda: start([]))
    options = Options()
    options.emulate = True
    calls = Calls(options, Hosts())
    models = Models(calls, pause=0)
    known = Snapshot(state, list, models)
    state.evaluate("for i = 1, 2000 do _G['global_' .. i] = i end")

    def first_keystroke():
        known.forget()
        return complete("x = { global_1", "", known)

    show("first keystroke, 2,000 names", timed(first_keystroke), 20)
    show("next keystroke", timed(lambda: complete("x = { global_1", "", known)), 20)
    first = timed(lambda: (complete(INPUTS, "", known), signature(INPUTS, known)), 1)
    show("a model that is not known", first, 20)
    while not models.version(MODEL):
        time.sleep(0.01)
    show("a model's inputs", timed(lambda: (complete(INPUTS, "", known), signature(INPUTS, known))), 20)
    models.note({"results": [{"owner": "owner", "name": f"model-{n}", "description": "x" * 200} for n in range(1000)]})
    show("1,000 names of models", timed(lambda: complete('run("model', "", known)), 20)
    models.close()
    calls.close()
    state.evaluate("big = {} for i = 1, 100000 do big[i] = { id = i, text = ('x'):rep(80) .. i } end")
    show("10 MB of tables", timed(lambda: render(state.evaluate("big").values[0], 100)), 200)
    state.evaluate("text = ('x'):rep(10 * 1024 * 1024)")
    show("10 MB of text", timed(lambda: render(state.evaluate("text").values[0], 100)), 200)
    state.close()


def large_image():
    """A PNG of 1024 by 1024 pixels whose rows all use the Paeth filter, as in most PNG files."""
    noise = random.Random(1)
    packed = b"".join(b"\4" + bytes(noise.choices((0, 0, 0, 1, 255), k=3 * 1024)) for _ in range(1024))
    head = struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def large_images():
    """Measure large images with Pillow, which the extra `images` installs, and without it."""
    data = large_image()
    show("an image, as sixel", timed(lambda: shown(data, "blocks", sixel=Sixel()), 5), 2000)
    show("an image, as blocks", timed(lambda: shown(data, "blocks"), 5), 2000)
    images.needs_pillow = lambda: True
    show("  without Pillow, sixel", timed(lambda: shown(data, "blocks", sixel=Sixel()), 5), 2000)
    show("  without Pillow, blocks", timed(lambda: shown(data, "blocks"), 5), 2000)


def main():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=15)
    start_up(made.parse_args().rounds)
    interactive()
    large_images()


if __name__ == "__main__":
    main()
