"""The options of a session at the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kosmolua.settings.config import Verdict


class Options(Protocol):
    """The account, permissions and API that calls use; `:account`, `:policy` and `:emulate` change them."""

    account: str
    read: Verdict | None
    write: Verdict | None
    emulate: bool
    dry_run: bool
