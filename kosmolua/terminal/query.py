"""Ask the terminal for its image support, which its environment does not show."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

PATIENCE = 1.0  # seconds to wait for an answer, which may cross a network; a later one is read as typed input
_CELL = (10, 20)  # pixels of a VT340 cell, for terminals that do not report a cell size
_MOST_TYPED = 64 * 1024
_ATTRIBUTES = b"\x1b[c"
_REGISTERS = b"\x1b[?1;1;0S"
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
_REGISTERS_ANSWER = re.compile(rb"\x1b\[\?1;(?:0;([1-9]\d{0,5})|[\d;]*)S")  # a number, or a failure
_SIXEL = b"4"  # the device attribute for sixel support


class Sixel(NamedTuple):
    """A terminal's sixel support: the number of colors, and the size of a cell in pixels."""

    colours: int = 256
    cell: tuple[int, int] = _CELL


class Reply(NamedTuple):
    """The terminal's sixel support, None if it has none, and the text that the user typed meanwhile."""

    sixel: Sixel | None
    typed: bytes


def ask(environment: Mapping[str, str], patience: float = PATIENCE) -> Reply:
    """Ask the controlling terminal for sixel support. Nothing else may read from the terminal meanwhile."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return Reply(None, b"")
    try:
        with _unechoed(terminal):
            attributes, typed = _answered(terminal, _ATTRIBUTES, _ATTRIBUTES_ANSWER, patience)
            if not attributes or _SIXEL not in attributes[1].split(b";") or not _passed_on(environment):
                return Reply(None, typed)
            # Ask for the attributes again, so that a terminal that does not know the registers answers too.
            _, more = _answered(terminal, _REGISTERS + _ATTRIBUTES, _ATTRIBUTES_ANSWER, patience)
        registers = _REGISTERS_ANSWER.search(more)
        colours = int(registers[1]) if registers and registers[1] else Sixel().colours
        return Reply(Sixel(colours, _cell(terminal)), typed + _REGISTERS_ANSWER.sub(b"", more))
    finally:
        os.close(terminal)


@contextmanager
def _unechoed(terminal: int) -> Iterator[None]:
    """Read bytes one by one without echo. Input that was typed before is kept."""
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
    """The answer, None if it does not arrive in time, and the other input that was read meanwhile."""
    os.write(terminal, question)
    received, until = b"", time.monotonic() + patience
    while len(received) < _MOST_TYPED and select.select([terminal], [], [], max(0, until - time.monotonic()))[0]:
        received += os.read(terminal, 4096)
        if found := answer.search(received):
            return found, received[: found.start()] + received[found.end() :]
    return None, received


def _passed_on(environment: Mapping[str, str]) -> bool:
    """Whether images reach the terminal. tmux reports sixel support even if the terminal around it has none."""
    if not environment.get("TMUX"):
        return True
    import subprocess

    command = ["tmux", "display-message", "-p", "#{client_termfeatures}"]
    try:
        run = subprocess.run(  # noqa: S603 - a constant command
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "sixel" in run.stdout.strip().split(",")


def _cell(terminal: int) -> tuple[int, int]:
    """Width and height of a cell in pixels."""
    import fcntl
    import struct
    import termios

    rows, columns, width, height = struct.unpack("4H", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    return (width // columns, height // rows) if 0 < columns <= width and 0 < rows <= height else _CELL
