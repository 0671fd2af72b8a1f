"""The modules that runs and calls load on first use.

They are loaded together and in advance if loading them on first use is unsafe: before a fork, and with several threads,
since one thread could find a module half loaded by another, or no file descriptor left to read it.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module

_NEEDED = (
    "kosmolua.replicate.client",
    "kosmolua.settings.credentials",
    "kosmolua.gate.session",
    "kosmolua.gate.audit",
    "kosmolua.gate.ending",
    "kosmolua.host.clients",
    "kosmolua.host.sessions",
    "kosmolua.journal.journal",
    "kosmolua.journal.sqlite",
    "kosmolua.services.keeping",
    "kosmolua.services.services",
    "kosmolua.services.lanes",
    "kosmolua.runtime.lane",
    "kosmolua.runtime.inline",
    "kosmolua.runtime.tape",
    *("encodings.idna", "email.utils", "hashlib", "random", "http"),
)
_OFTEN = (  # further modules that most scripts use
    "kosmolua.services.plan",
    "kosmolua.services.streams",
    "kosmolua.services.texts",
    "kosmolua.settings.pricelist",
    "kosmolua.journal.outputs",
)
_EMULATED = ("kosmolua.emulator.app", "kosmolua.emulator.webhooks", "kosmolua.replicate.in_process")


def load(*, emulate: bool) -> None:
    for name in (*_NEEDED, *(_EMULATED if emulate else ())):
        if name not in sys.modules:
            import_module(name)


def load_often(*, emulate: bool) -> None:
    """Like `load`, but also load what most scripts use: for a program that starts before its scripts."""
    load(emulate=emulate)
    for name in _OFTEN:
        import_module(name)


def load_in_thread(*, emulate: bool) -> None:
    """Like `load`, unless this is the main thread: a program with one thread loads only what its script uses."""
    if threading.current_thread() is not threading.main_thread():
        load(emulate=emulate)
