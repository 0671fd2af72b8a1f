"""A host's connections to the API: one client per account, made for its first call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.host.callbacks import quiet
from kosmolua.host.caller import CALLER
from kosmolua.host.options import HostOptions
from kosmolua.host.shared import Shared
from kosmolua.replicate.body import Room
from kosmolua.replicate.catalogue import PROVIDER
from kosmolua.settings import config

if TYPE_CHECKING:
    from kosmolua.emulator import Emulator
    from kosmolua.replicate.client import Client
    from kosmolua.replicate.wire import ExtraHeader

EMULATOR_URL = "http://emulator.localhost/v1"
EMULATED_BYTES = 512 * 1024 * 1024  # the maximum bytes of uploads to the emulator, which is in the host's process


class Clients:
    """Makes and keeps the clients. Thread-safe.

    The token in the options is for the account in the options. Emulated clients share an emulator in this process.
    ``tell`` gets notices, for example if a callback raises.
    """

    def __init__(self, options: HostOptions, tell: Callable[[str], None], shared: Shared | None = None) -> None:
        self._shared = shared
        self._options = options
        self._on_retry = quiet(options.on_retry, "on_retry", tell) if options.on_retry else None
        self._emulator: Emulator | None = None
        self._lock = threading.RLock()
        self._made: dict[str, Client] = {}
        self.room = Room()

    def get(self, account: str, settings: config.Settings) -> Client:
        """The client of an account, with the settings at its first use."""
        check_enabled(settings)
        with self._lock, CALLER.exempt():
            if account not in self._made:
                make = self._emulated if self._options.emulate else self._make
                self._made[account] = make(account, settings)
            return self._made[account]

    def close(self) -> None:
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

    def abandon(self) -> None:
        """In a forked process: release the connections and the emulator's state, which belong to the parent."""
        for client in self._made.values():
            client.abandon()

    def _make(self, account: str, settings: config.Settings) -> Client:
        from kosmolua.settings import credentials

        options = self._options
        token = options.token if account == options.account else None
        if token is None:
            token = credentials.find(os.environ, settings.accounts, account).reveal()
        from kosmolua.replicate.client import Client
        from kosmolua.replicate.urls import checked_url

        url = config.Value(options.url, "url=") if options.url else settings.url_of(account)
        return Client(
            token=token,
            base_url=checked_url(url.value, insecure_http=options.insecure_http, origin=url.origin),
            clock=_Clock(),
            room=self.room,
            insecure_http=options.insecure_http,
            on_retry=self._on_retry,
            sending=_sending,
            headers=self._headers(account, settings),
            paces=self._shared.paces(account) if self._shared else None,
        )

    def _headers(self, account: str, settings: config.Settings) -> Sequence[ExtraHeader]:
        """The extra headers: from the options if those are for this account, otherwise from the settings."""
        from kosmolua.replicate.wire import ExtraHeader
        from kosmolua.settings import credentials

        given = self._options.headers
        if given is not None and account == self._options.account:
            return [ExtraHeader(name, value) for name, value in given.items()]
        return credentials.headers_of(os.environ, settings.accounts, account)

    def _emulated(self, account: str, _: config.Settings) -> Client:
        from kosmolua.emulator import Emulator
        from kosmolua.replicate.client import Client
        from kosmolua.replicate.in_process import InProcessTransport

        if not account.isascii() or not account.isprintable() or " " in account:
            raise UsageError(
                f"invalid account name {account[:100]!r}: expected letters, digits, _ and -",
                hint="choose another name, such as: --account work",
            )
        self._emulator = self._emulator or Emulator(
            faults=self._options.faults,
            capacity=EMULATED_BYTES,
            models=self._options.models,
            cogs=self._options.cogs,
            speed=self._options.speed,
        )
        return Client(
            token=f"emulated-{account}",
            base_url=EMULATOR_URL,
            transport=InProcessTransport(_WithoutWebhooks(self._emulator), _sending),
            clock=_Clock(),
            room=self.room,
            on_retry=self._on_retry,
            sending=_sending,
        )


def _sending() -> AbstractContextManager[object]:
    """The context in which this thread sends a request. Raises an error if the thread's run was stopped."""
    stop = CALLER.stop
    return stop.sending if stop else _FREELY


_FREELY = nullcontext()


class _WithoutWebhooks:
    """An emulator that sends no webhooks: scripts have no network, not even loopback."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        from kosmolua.emulator.webhooks import QUIET

        if CALLER.meter:  # the call is made by a script
            environ[QUIET] = True
        return self._emulator(environ, start_response)

    def close(self) -> None:
        self._emulator.close()


class _Clock:
    """Waits before a retry. Raises an error if the run is stopped meanwhile."""

    def time(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if CALLER.stop:
            CALLER.stop.sleep(seconds)
        else:
            time.sleep(seconds)


def check_enabled(settings: config.Settings) -> None:
    """Raise a `ConfigurationError` if the provider is disabled."""
    if not settings.enabled.value:
        raise ConfigurationError(
            f"{PROVIDER} is disabled by {settings.enabled.origin}",
            hint=f"enable it: kosmo integrations:configure {PROVIDER} --enable",
        )
