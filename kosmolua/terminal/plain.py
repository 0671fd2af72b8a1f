"""Whether a terminal takes colour and cursor movement. Every part of the program asks here."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself costs time at start
if TYPE_CHECKING:
    from collections.abc import Mapping


def is_dumb(environment: Mapping[str, str]) -> bool:
    """Whether the terminal can only print lines: TERM is dumb, empty or unset."""
    return environment.get("TERM", "") in ("", "dumb")


def is_plain(environment: Mapping[str, str]) -> bool:
    """Whether to write without colour: a dumb terminal, or NO_COLOR is set to anything."""
    return is_dumb(environment) or bool(environment.get("NO_COLOR"))
