"""Whether a terminal supports color and cursor movement. All parts of the program use these functions."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing makes the start slower
if TYPE_CHECKING:
    from collections.abc import Mapping


def is_dumb(environment: Mapping[str, str]) -> bool:
    """Whether the terminal can only print lines: TERM is dumb, empty or unset."""
    return environment.get("TERM", "") in ("", "dumb")


def is_plain(environment: Mapping[str, str]) -> bool:
    """Whether to write without color: the terminal is dumb, or NO_COLOR is set to any value."""
    return is_dumb(environment) or bool(environment.get("NO_COLOR"))
