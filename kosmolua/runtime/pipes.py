"""Pipes to a script's process."""

from __future__ import annotations

import os


def pipes(count: int) -> list[tuple[int, int]]:
    """That many pipes, or none if there are not enough descriptors."""
    made: list[tuple[int, int]] = []
    try:
        for _ in range(count):
            made.append(os.pipe())  # noqa: PERF401 - pipes made before a failure are closed
    except OSError:
        for descriptor in (each for pipe in made for each in pipe):
            os.close(descriptor)
        raise
    return made


def drained(descriptor: int) -> bytes:
    """Everything that a non-blocking pipe holds."""
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""
