"""A pytest fixture: Replicate's API on this machine for one test, with models, faults and time under control.

Load it in a ``conftest.py``: ``pytest_plugins = ["kosmolua.testing"]``. It needs pytest and the extra `emulator`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ssl import SSLContext

    from kosmolua.emulator import AdjustableClock, Emulator

__all__ = ["TOKEN", "ReplicateEmulator", "emulating", "replicate_emulator"]
TOKEN = "r8_emulated"  # noqa: S105 - the emulator takes any
MARK = "replicate_emulator"


class ReplicateEmulator:
    """A running emulator: its ``url``, which ends in ``/v1``, and methods that control it."""

    def __init__(self, emulator: Emulator, clock: AdjustableClock, url: str) -> None:
        self.emulator, self.clock, self.url, self.token = emulator, clock, url, TOKEN

    @property
    def environment(self) -> dict[str, str]:
        """The variables that kosmolua and Replicate's Python client read."""
        return {
            "REPLICATE_URL": self.url,
            "REPLICATE_BASE_URL": self.url.removesuffix("/v1"),
            "REPLICATE_API_TOKEN": self.token,
        }

    def advance(self, seconds: float) -> None:
        """Let that much time pass at once: predictions progress, files expire."""
        self.clock.advance(seconds)

    def fail(self, *faults: str) -> None:
        """Add faults, such as ``429:create:retry_after=1``. Raises a UsageError for an unknown one."""
        self.emulator.add_faults(faults)


@contextmanager
def emulating(
    *,
    models: str | os.PathLike[str] | None = None,
    faults: Iterable[str] = (),
    seed: int | str | None = "test",
    speed: float = 10.0,
    secure: SSLContext | None = None,
    **options: Any,
) -> Iterator[ReplicateEmulator]:
    """Run an emulator on a free port. It takes the options of `kosmolua.emulator.Emulator`, except the clock."""
    from kosmolua.emulator import AdjustableClock, Emulator, running

    clock = AdjustableClock()
    emulator = Emulator(clock=clock, models=models, faults=faults, seed=seed, speed=speed, **options)
    with running(emulator, secure=secure) as url:
        yield ReplicateEmulator(emulator, clock, url)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}(models, faults, seed, speed, outputs, streams, latency): options of the fixture {MARK}"
    )


@pytest.fixture
def replicate_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicateEmulator]:
    """A new emulator. During the test, the environment variables of Replicate's clients point to it. The mark
    ``replicate_emulator`` sets its options.
    """
    mark = request.node.get_closest_marker(MARK)
    with emulating(**(mark.kwargs if mark else {})) as running_:
        for name, value in running_.environment.items():
            monkeypatch.setenv(name, value)
        yield running_
