"""A problem at a place in a script."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ``error`` certainly fails when its line runs, a ``warning`` may fail, a ``note`` says what the run needs.
    ``code`` is one of `kosmolua.errors.CODES`, or specific to the rule; ``line`` and ``column`` start at 1. ``writes``
    is a directory that the script may not write yet; a person can be asked to allow it.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    hint: str | None = None
    writes: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "writes"}
