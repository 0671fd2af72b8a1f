"""What `:budget` takes and says."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps


def bounded(caps: Caps, text: str) -> Caps:
    """The caps with those that the text names as ``NAME N`` or ``NAME none``."""
    words = text.replace("=", " ").split()
    names = Caps.__struct_fields__
    changed: dict[str, int | float | None] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if name not in names:
            raise UsageError(
                f"no budget is called {name!r}; there are {', '.join(names)}", hint=":budget predictions 5"
            )
        try:
            changed[name] = None if value == "none" else msgspec.convert(value, _kind(name), strict=False)
        except msgspec.ValidationError:
            raise UsageError(f"budget {name}: expected a number of at least 0, or none, got {value!r}") from None
    return msgspec.structs.replace(caps, **changed)


def _kind(name: str) -> object:
    from typing import Annotated

    kind = float if name in ("seconds_of_compute", "cost") else int
    return Annotated[kind, msgspec.Meta(ge=0)]


def told(spent: Mapping[str, float], caps: Caps) -> str:
    """A line for each: what was spent, of how much."""
    rows = []
    for name in Caps.__struct_fields__:
        cap = getattr(caps, name)
        rows.append(f"{name:<20}{spent.get(name, 0):>10g}" + ("" if cap is None else f"  of {cap:g}"))
    return "\n".join(rows)
