"""What a session at the prompt is set to, and may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kosmolua.settings.config import Verdict


class Options(Protocol):
    """Whom calls are made as, what may be called, and where. `:account`, `:policy` and `:emulate` set them."""

    account: str
    read: Verdict | None
    write: Verdict | None
    emulate: bool
    dry_run: bool
