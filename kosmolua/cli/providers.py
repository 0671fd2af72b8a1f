"""The only provider, and the error for other names."""

from __future__ import annotations

from collections.abc import Iterable

from kosmolua.errors import UsageError
from kosmolua.replicate.catalogue import PROVIDER


def check_provider(name: str) -> None:
    """Raise a `UsageError` for an unknown provider."""
    if name != PROVIDER:
        raise UsageError(
            f"unknown provider {name[:100]!r}{near(name, [PROVIDER])}",
            hint="list the providers: kosmo integrations:list",
        )


def near(name: str, names: Iterable[str]) -> str:
    """A suggestion of the nearest name, to end a sentence with; empty if none is near."""
    from kosmolua.replicate.nearest import did_you_mean

    return did_you_mean(name, names)
