"""The one provider there is, and what is said to those who mean another."""

from __future__ import annotations

from collections.abc import Iterable

from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import PROVIDER


def check_provider(name: str) -> None:
    """Raises a `UsageError` for a provider there is not."""
    if name != PROVIDER:
        raise UsageError(
            f"no provider is called {name[:100]!r}{near(name, [PROVIDER])}",
            hint="see them all: kosmo integrations:list",
        )


def near(name: str, names: Iterable[str]) -> str:
    """What the name may have meant, as the end of a sentence."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""
