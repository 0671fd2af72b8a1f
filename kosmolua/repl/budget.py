"""The argument and output of `:budget`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps


def changed_caps(caps: Caps, text: str) -> Caps:
    """The caps, with the changes in the text applied: ``NAME N`` or ``NAME none``. Raises a `UsageError`."""
    words = text.replace("=", " ").split()
    names = Caps.__struct_fields__
    changed: dict[str, int | float | None] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if name not in names:
            raise UsageError(
                f"unknown budget {name!r}; expected {', '.join(names)}", hint="for example: :budget predictions 5"
            )
        try:
            changed[name] = None if value == "none" else msgspec.convert(value, _kind(name), strict=False)
        except msgspec.ValidationError:
            raise UsageError(f"budget {name}: expected a number of at least 0 or none, got {value!r}") from None
    return msgspec.structs.replace(caps, **changed)


def _kind(name: str) -> object:
    from typing import Annotated

    kind = float if name in ("seconds_of_compute", "cost") else int
    return Annotated[kind, msgspec.Meta(ge=0)]


def spending(spent: Mapping[str, float], caps: Caps, guessed: Mapping[str, float]) -> str:
    """One line for each cap: the amount spent, the cap, and the guessed part of the amount."""
    rows = []
    for name in Caps.__struct_fields__:
        cap = getattr(caps, name)
        bound = "" if cap is None else f"  of {cap:g}"
        guess = f"  ({guessed[name]:g} guessed)" if guessed.get(name) else ""
        rows.append(f"{name:<20}{spent.get(name, 0):>10g}{bound}{guess}")
    if guessed.get("unpriced"):
        rows.append(f"{'of unknown price':<20}{guessed['unpriced']:>10g}")
    return "\n".join(rows)


def brief(spent: Mapping[str, float], guessed: Mapping[str, float]) -> list[str]:
    """A summary of the amount spent: known and guessed seconds of compute, and the cost."""
    seconds, cost = guessed.get("seconds_of_compute", 0.0), guessed.get("cost", 0.0)
    known = f"{spent['seconds_of_compute'] - seconds:.1f} s compute"
    words = [f"{known} + {seconds:.1f} s guessed" if seconds else known]
    if spent["cost"]:
        words.append(f"cost {spent['cost']:g}" + (" (estimated)" if cost else ""))
    if guessed.get("unpriced"):
        words.append(f"{guessed['unpriced']:g} of unknown price")
    return words
