"""What is wrong with a place in a script."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ``error`` is certain to fail when its line runs, a ``warning`` is doubtful, a ``note`` says what the run
    needs. ``code`` is one of `kosmolua.errors.CODES`, or the rule's own; ``line`` and ``column`` count from 1.
    ``writes`` is a directory for saving that is not open: a person may be asked to open it.
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
