"""A prediction or training that a run started: its compute time and its cost, if known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from kosmolua.gate.quotes import Quote
from kosmolua.replicate.prices import Price

_MOST_SECONDS = 2**53  # a server may report any number


class Job(Struct, eq=False):
    """A prediction or training of this run. ``quote`` is its price, None if unknown; ``expected`` is its assumed
    compute time in seconds. ``in_flight`` is true while its creation is being sent.

    Once it has ended, ``seconds`` is its compute time, ``reported`` by the API or else measured by the clock. ``paid``
    is its cost, None if its metrics do not determine it.
    """

    began: float
    quote: Quote | None = None
    expected: float = Price().seconds
    model: str | None = None
    id: str | None = None
    account: str = ""
    kind: str = "prediction"
    in_flight: bool = False
    seconds: float | None = None
    reported: bool = False
    paid: Decimal | None = None
    charge: int | None = None  # its row in the ledger of persistent budgets

    @property
    def estimate(self) -> float | None:
        cost = self.cost(self.began)
        return None if cost is None else float(cost)

    def computed(self, now: float) -> float:
        """Seconds of compute: as reported by the API, until then the elapsed time."""
        return self.seconds if self.seconds is not None else now - self.began

    def cost(self, now: float) -> Decimal | None:
        """What the job cost, or the amount reserved for it; None if no price is known."""
        if self.paid is not None or self.quote is None:
            return self.paid
        return self.quote.expected(self.seconds if self.seconds is not None else max(self.expected, now - self.began))


def seconds_of(data: Mapping[str, Any]) -> float | None:
    """The seconds of compute in an answer; None if missing or invalid."""
    if never_started(data):
        return 0.0
    metrics = data.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS else None


def never_started(data: Mapping[str, Any]) -> bool:
    """Whether a job was aborted before it started: it computed nothing, and is not billed."""
    return data.get("status") == "aborted" and data.get("started_at") is None


def clocked(data: Mapping[str, Any], passed: float) -> float:
    """How many seconds a job without a reported time ran: by the API's timestamps, but at most the elapsed time."""
    started, ended = (time_of(data.get(name)) for name in ("started_at", "completed_at"))
    if started is not None and ended is not None and started <= ended:
        return min(ended - started, max(0.0, passed))
    return max(0.0, passed)


def time_of(value: Any) -> float | None:
    from datetime import datetime

    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def cost_of(jobs: Iterable[Job]) -> float | None:
    """The total cost of ended jobs; None if no cost is known."""
    paid = [job.paid for job in jobs if job.paid is not None]
    return total(paid) if paid else None


def amount(cost: Decimal) -> str:
    """An amount without an exponent or trailing zeros."""
    text = f"{cost:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def total(costs: Iterable[Decimal | None]) -> float:
    """A sum without binary rounding errors."""
    return float(sum((cost for cost in costs if cost is not None), Decimal(0)))
