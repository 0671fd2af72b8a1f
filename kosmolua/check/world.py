"""What is known about the run that a script is checked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.check import names

if TYPE_CHECKING:  # most scripts need none of them to be checked
    from kosmolua.errors import KosmoError
    from kosmolua.gate.needs import Needs
    from kosmolua.replicate.catalogue import Operation
    from kosmolua.replicate.versions import Version


class World(Struct, frozen=True, kw_only=True):
    """``known`` are the sandbox's names. ``accounts`` are the configured ones, and ``readable`` and ``writable`` the
    directories that are open, each None where that is not known before the run. ``version`` finds a model's version
    without a cost, ``refusal`` says why a call would be refused, and ``needs`` is what the script's header declares.
    """

    known: names.Names = names.KNOWN
    accounts: frozenset[str] | None = None
    readable: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    version: Callable[[str], Version | None] = lambda _: None
    refusal: Callable[[Operation, str, Mapping[str, Any]], KosmoError | None] = lambda *_: None
    needs: Needs | None = None
