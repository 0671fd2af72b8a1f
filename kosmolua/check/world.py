"""What is known about the run for which a script is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.check import names

if TYPE_CHECKING:  # not imported at run time: the check of most scripts does not need them
    from kosmolua.errors import KosmoError
    from kosmolua.gate.needs import Needs
    from kosmolua.replicate.catalogue import Operation
    from kosmolua.replicate.versions import Version


class World(Struct, frozen=True, kw_only=True):
    """``known`` are the sandbox's names. ``accounts`` are the configured accounts, ``readable`` and ``writable`` the
    allowed directories; None if unknown before the run. ``version`` finds a model's version without a request that
    costs money, ``refusal`` returns why a call would be refused, and ``needs`` is the script's header.
    """

    known: names.Names = names.KNOWN
    accounts: frozenset[str] | None = None
    readable: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    version: Callable[[str], Version | None] = lambda _: None
    refusal: Callable[[Operation, str, Mapping[str, Any]], KosmoError | None] = lambda *_: None
    needs: Needs | None = None
