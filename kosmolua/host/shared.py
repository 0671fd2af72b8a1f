"""What hosts on several machines share: persistent budgets, request rates, and the receiver of webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kosmolua.gate.ledger import Ledger
    from kosmolua.replicate.pace import Paced


class Shared(Protocol):
    def ledger(self) -> Ledger:
        """The persistent budgets."""

    def paces(self, account: str) -> Callable[[str], Paced]:
        """The request rates of an account, by lane."""

    def webhook(self, account: str) -> str | None:
        """The URL for the webhooks of predictions and trainings of this account."""
