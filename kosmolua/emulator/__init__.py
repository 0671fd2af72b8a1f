"""Replicate offline: the same routes, predictions that progress over time, and a few small models that compute.

This package imports no client, and opens connections only to webhooks and cog servers on this machine. The names below
are imported on first use, because werkzeug is only installed with the extra `emulator`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kosmolua.emulator.app import Emulator
    from kosmolua.emulator.cassette import Player
    from kosmolua.emulator.clock import AdjustableClock, Clock, ManualClock, SystemClock
    from kosmolua.emulator.faults import KINDS, Fault, parse_fault
    from kosmolua.emulator.server import running, serve

__all__ = [
    "KINDS",
    "AdjustableClock",
    "Clock",
    "Emulator",
    "Fault",
    "ManualClock",
    "Player",
    "SystemClock",
    "parse_fault",
    "running",
    "serve",
]

_HOMES = {
    "Emulator": "app",
    "Player": "cassette",
    "AdjustableClock": "clock",
    "Clock": "clock",
    "ManualClock": "clock",
    "SystemClock": "clock",
    "Fault": "faults",
    "KINDS": "faults",
    "parse_fault": "faults",
    "running": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return getattr(module, name)


def _missing(error: ModuleNotFoundError) -> Exception:
    if (error.name or "").partition(".")[0] != "werkzeug":
        return error
    from kosmolua.errors import ConfigurationError

    return ConfigurationError(
        "the emulator needs the package werkzeug, which is not installed",
        hint="install it: pip install 'kosmolua[emulator]'",
    )


def __dir__() -> list[str]:
    return __all__
