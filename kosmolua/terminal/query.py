"""What the terminal says of itself when it is asked, beyond what its environment tells."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

PATIENCE = 1.0  # seconds for an answer, over a network perhaps; what comes later is taken for typed
_CELL = (10, 20)  # pixels of a VT340's, which those take that have none of their own
_MOST_TYPED = 64 * 1024
_ATTRIBUTES = b"\x1b[c"
_REGISTERS = b"\x1b[?1;1;0S"
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
_REGISTERS_ANSWER = re.compile(rb"\x1b\[\?1;(?:0;([1-9]\d{0,5})|[\d;]*)S")  # a number, or that there is none
_SIXEL = b"4"  # among the attributes


class Sixel(NamedTuple):
    """How a terminal shows sixel images: so many colours at once, and a cell of so many pixels."""

    colours: int = 256
    cell: tuple[int, int] = _CELL


class Asked(NamedTuple):
    """What came of asking: None where it shows no sixel images, and what was typed meanwhile."""

    sixel: Sixel | None
    typed: bytes


def ask(environment: Mapping[str, str], patience: float = PATIENCE) -> Asked:
    """Ask the controlling terminal whether it shows sixel images. Nothing else may read from it meanwhile."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return Asked(None, b"")
    try:
        with _unechoed(terminal):
            attributes, typed = _answered(terminal, _ATTRIBUTES, _ATTRIBUTES_ANSWER, patience)
            if not attributes or _SIXEL not in attributes[1].split(b";") or not _passed_on(environment):
                return Asked(None, typed)
            # The attributes are asked for again, so that there is an answer where the registers are unheard of.
            _, more = _answered(terminal, _REGISTERS + _ATTRIBUTES, _ATTRIBUTES_ANSWER, patience)
        registers = _REGISTERS_ANSWER.search(more)
        colours = int(registers[1]) if registers and registers[1] else Sixel().colours
        return Asked(Sixel(colours, _cell(terminal)), typed + _REGISTERS_ANSWER.sub(b"", more))
    finally:
        os.close(terminal)


@contextmanager
def _unechoed(terminal: int) -> Iterator[None]:
    """Give each byte as it comes, and show none. What was typed before stays to be read."""
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def _answered(
    terminal: int, question: bytes, answer: re.Pattern[bytes], patience: float
) -> tuple[re.Match[bytes] | None, bytes]:
    """The answer, None where there is none in time, and whatever else could be read."""
    os.write(terminal, question)
    came, until = b"", time.monotonic() + patience
    while len(came) < _MOST_TYPED and select.select([terminal], [], [], max(0, until - time.monotonic()))[0]:
        came += os.read(terminal, 4096)
        if found := answer.search(came):
            return found, came[: found.start()] + came[found.end() :]
    return None, came


def _passed_on(environment: Mapping[str, str]) -> bool:
    """Whether an image gets through. tmux says of itself that it shows sixel, whatever the terminal around it does."""
    if not environment.get("TMUX"):
        return True
    import subprocess

    command = ["tmux", "display-message", "-p", "#{client_termfeatures}"]
    try:
        run = subprocess.run(  # noqa: S603 - in whose terminal this is
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "sixel" in run.stdout.strip().split(",")


def _cell(terminal: int) -> tuple[int, int]:
    """The pixels of a cell, in width and height."""
    import fcntl
    import struct
    import termios

    rows, columns, width, height = struct.unpack("4H", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    return (width // columns, height // rows) if 0 < columns <= width and 0 < rows <= height else _CELL
