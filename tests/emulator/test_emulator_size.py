"""An emulator uses little memory when idle, with many predictions at once, and with all public models."""

from __future__ import annotations

import emulator_size
from emulator_size import crowd, serving
from test_official_clients import public_models

__all__ = ["public_models"]


def test_memory_when_idle_and_with_two_hundred_predictions():
    """An emulator uses under 60 MiB when idle, and under 300 MiB with 200 predictions at once whose pictures are
    fetched.
    """
    with serving() as served:
        idle = served.memory()
        crowd(served.url, 128)
        most = served.memory("VmHWM")

    assert (idle < 60, most < 300) == (True, True), (idle, most)


def test_memory_with_all_public_models(public_models):
    """All public models load in under 0.3 s of CPU time and 60 MiB, before any model is requested."""
    seconds, size = min(emulator_size.load(public_models) for _ in range(3))

    assert (seconds < 0.3, size < 60) == (True, True), (seconds, size)
