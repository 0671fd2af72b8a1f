"""A pytest fixture: Replicate's API on this machine for one test, with models, faults and time under control.

Load it in a ``conftest.py``: ``pytest_plugins = ["kosmolua.testing"]``. It needs pytest and the extra `emulator`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kosmolua.errors import KosmoError, UsageError
from kosmolua.replicate.nearest import did_you_mean

if TYPE_CHECKING:
    from ssl import SSLContext

    from kosmolua.emulator import AdjustableClock, Emulator

__all__ = ["TOKEN", "ReplicateEmulator", "emulating", "replicate_emulator"]
TOKEN = "r8_emulated"  # noqa: S105 - the emulator accepts any token
MARK = "replicate_emulator"
OPTIONS = ("models", "faults", "seed", "speed", "outputs", "streams", "latency", "cogs", "proxy")
"""The options that the mark accepts."""


class ReplicateEmulator:
    """A running emulator: its ``url``, which ends in ``/v1``, and methods that control it."""

    def __init__(self, emulator: Emulator, clock: AdjustableClock, url: str, certificate: str | None = None) -> None:
        self.emulator, self.clock, self.url, self.token = emulator, clock, url, TOKEN
        self._certificate = certificate

    @property
    def environment(self) -> dict[str, str]:
        """The variables that kosmolua and Replicate's Python client read, and with ``proxy`` other programs."""
        address = self.url.removesuffix("/v1")
        variables = {"REPLICATE_URL": self.url, "REPLICATE_BASE_URL": address, "REPLICATE_API_TOKEN": self.token}
        if self._certificate:
            trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), self._certificate)
            variables |= {"HTTPS_PROXY": address, "NODE_USE_ENV_PROXY": "1", **trusted}
        return variables

    def advance(self, seconds: float) -> None:
        """Advance the clock by that time at once: predictions progress, and files expire."""
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
    proxy: bool = False,
    **options: Any,
) -> Iterator[ReplicateEmulator]:
    """Run an emulator on a free port. It takes the options of `kosmolua.emulator.Emulator`, except the clock.

    With ``proxy`` it is also the HTTPS proxy of programs that cannot set the address of the API.
    """
    from kosmolua.emulator import AdjustableClock, Emulator, running

    clock = AdjustableClock()
    emulator = Emulator(clock=clock, models=models, faults=faults, seed=seed, speed=speed, **options)
    with ExitStack() as stack:
        certificate, proxied = stack.enter_context(_certified()) if proxy else (None, None)
        url = stack.enter_context(running(emulator, secure=secure, proxied=proxied))
        yield ReplicateEmulator(emulator, clock, url, certificate)


def _certified() -> AbstractContextManager[tuple[str, SSLContext]]:
    from kosmolua.emulator.certificate import certified
    from kosmolua.emulator.tunnel import HOST

    return certified(HOST)


def _options(mark: pytest.Mark | None) -> dict[str, Any]:
    if mark is None:
        return {}
    if mark.args:
        raise UsageError(f"{MARK}: expected options by name, got {mark.args[0]!r}", hint=f"use {MARK}(models=…)")
    for name in mark.kwargs:
        if name not in OPTIONS:
            near = did_you_mean(name, OPTIONS)
            raise UsageError(f"{MARK}: unknown option {name!r}{near}", hint=f"use one of {', '.join(OPTIONS)}")
    return dict(mark.kwargs)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}({', '.join(OPTIONS)}): options of the fixture {MARK}")


@pytest.fixture
def replicate_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicateEmulator]:
    """A new emulator. During the test, the environment variables of Replicate's clients point to it. The mark
    ``replicate_emulator`` sets its options.
    """
    mark = request.node.get_closest_marker(MARK)
    with ExitStack() as stack:
        try:
            running_ = stack.enter_context(emulating(**_options(mark)))
        except KosmoError as error:
            text = f"{error}\nhint: {error.hint}" if error.hint else str(error)
            raise pytest.fail.Exception(text, pytrace=False) from None
        for name, value in running_.environment.items():
            monkeypatch.setenv(name, value)
        yield running_
