"""What a run may spend: calls, writes, predictions, seconds of compute, money. Reserved before a request is sent and
settled when its cost is known, so that many at once spend no more than one after another would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import LimitError, OptionError
from kosmolua.gate.policy import model_of
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings.config import Price, Prices

TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_SUBJECTS = (  # arguments that name what is run or changed
    "model_owner",
    "model_name",
    "deployment_owner",
    "deployment_name",
    "model",
    "version",
    "version_id",
    "name",
    "hardware",
    "min_instances",
)
_MOST_SECONDS = 2**53  # a server may say any number
_NAMES = {  # what a cap bounds, one of it and more
    "calls": ("call", "calls"),
    "writes": ("write", "writes"),
    "predictions": ("prediction or training", "predictions and trainings"),
    "seconds_of_compute": ("second of compute", "seconds of compute"),
    "cost": ("cost", "cost"),
}
_MEASURED = frozenset({"seconds_of_compute", "cost"})  # the other caps are counts


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The most of each; None is no bound. ``cost`` is in the currency of the price table. Raises an `OptionError` for a
    bound of the wrong type or value.
    """

    calls: int | None = None
    writes: int | None = None
    predictions: int | None = None
    seconds_of_compute: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for name, value in zip(self.__struct_fields__, msgspec.structs.astuple(self), strict=True):
            kind = (int, float) if name in _MEASURED else int
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool) or not 0 <= value < inf):
                what = "a number" if name in _MEASURED else "a whole number"
                raise OptionError.of(name, f"{what} from 0, or None", value)

    def tightened(self, other: Caps) -> Caps:
        """The lower of each."""
        pairs = zip(self.__struct_fields__, msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Caps(**{name: min((x for x in (a, b) if x is not None), default=None) for name, a, b in pairs})


class _Job(Struct):
    """A prediction or training of this run. ``price`` is per second or, of a whole run, ``run``; None is unknown."""

    began: float
    price: float | None = None
    run: float | None = None
    expected: float = 0.0
    id: str | None = None
    account: str = ""
    kind: str = "prediction"
    spent: float | None = None  # seconds of compute, once it has ended

    def seconds(self, now: float) -> float:
        """Of compute: as the API tells it, and until then the time that has passed."""
        return self.spent if self.spent is not None else now - self.began

    def cost(self, now: float) -> float:
        if self.run is not None:
            return self.run
        seconds = self.spent if self.spent is not None else max(self.expected, now - self.began)
        return seconds * (self.price or 0.0)


class Budget:
    """What one run has spent. For any number of threads. ``declared`` are the caps of the script's own header, which
    its operator's flags do not raise.
    """

    def __init__(
        self,
        caps: Caps | None = None,
        prices: Prices | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        declared: Caps | None = None,
    ) -> None:
        self._declared = declared or Caps()
        self.caps = (caps or Caps()).tightened(self._declared)
        self.calls = self.writes = 0
        self._prices = prices or Prices()
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._by_id: dict[str, _Job] = {}

    def price(self, arguments: Mapping[str, Any]) -> Price | None:
        """What a prediction with such arguments costs, as far as the table tells: None is unknown, and never zero."""
        entry = self._prices.models.get((model_of(arguments) or "").lower())
        if entry is None or entry.run is not None or entry.second is not None:
            return entry
        per_second = self._prices.hardware.get(entry.hardware or "")
        return msgspec.structs.replace(entry, second=per_second) if per_second is not None else None

    def reserve(self, operation: Operation, arguments: Mapping[str, Any], account: str = "") -> _Job | None:
        """Take the call into account before it is sent. Raises a `LimitError` where there is no room for it."""
        with self._lock:
            self._check("calls", self.calls + 1)
            if operation.access == "write":
                self._check("writes", self.writes + 1)
            job = self._job(operation, arguments, account) if starts_compute(operation) else None
            self.calls += 1
            self.writes += operation.access == "write"
            if job:
                self._jobs.append(job)
            return job

    def settle(self, job: _Job | None, data: Any, *, refused: bool = False) -> None:
        """Learn from an answer. ``refused`` is a job that the API did not take."""
        with self._lock:
            if job and refused:
                self._jobs.remove(job)
                return
            if not self._jobs or not isinstance(data, dict):
                return
            if job:
                self._name(job, data)
            page = data.get("results")
            for item in (data, *(page if isinstance(page, list) else ())):
                self._learn(item)

    def restore(
        self, operation: Operation, model: str | None, account: str, age: float, data: Any, *, taken: bool = True
    ) -> None:
        """Count a call that an earlier run made ``age`` seconds ago, whatever the caps say; ``data`` is its answer."""
        with self._lock:
            self.calls += 1
            self.writes += operation.access == "write"
            if taken and starts_compute(operation):
                self._jobs.append(self._priced(self._clock() - max(0.0, age), operation, {"model": model}, account))
                if isinstance(data, dict):
                    self._name(self._jobs[-1], data)
        self.settle(None, data)

    def running(self) -> list[tuple[str, str, str]]:
        """What this run has started and nobody has seen end: pairs of kind, id and account."""
        with self._lock:
            return [(job.kind, job.id, job.account) for job in self._jobs if job.id and job.spent is None]

    def created(self) -> list[tuple[str, str, str]]:
        """What this run has started, ended or not, as `running` gives it."""
        with self._lock:
            return [(job.kind, job.id, job.account) for job in self._jobs if job.id]

    def unanswered(self) -> int:
        """How many creations were sent and never answered: what they began, if anything, has no name here."""
        with self._lock:
            return sum(job.id is None for job in self._jobs)

    def spent(self) -> dict[str, float]:
        """What was spent so far, by the names of the caps."""
        with self._lock:
            now = self._clock()
            return {
                "calls": self.calls,
                "writes": self.writes,
                "predictions": len(self._jobs),
                "seconds_of_compute": round(sum(job.seconds(now) for job in self._jobs), 3),
                "cost": round(sum(job.cost(now) for job in self._jobs), 6),
            }

    def _job(self, operation: Operation, arguments: Mapping[str, Any], account: str) -> _Job:
        self._check("predictions", len(self._jobs) + 1)
        now = self._clock()
        job = self._priced(now, operation, arguments, account)
        if self.caps.seconds_of_compute is not None:
            self._check("seconds_of_compute", sum(each.seconds(now) for each in self._jobs), at_most=False)
        if self.caps.cost is not None:
            self._check("cost", sum(each.cost(now) for each in (*self._jobs, job)))
        return job

    def _priced(self, began: float, operation: Operation, arguments: Mapping[str, Any], account: str) -> _Job:
        job = _Job(began, account=account, kind=operation.starts or "")
        price = self.price(arguments)
        if price:
            job.run, job.price, job.expected = price.run, price.second, price.seconds
        return job

    def _check(self, name: str, wanted: float, *, at_most: bool = True) -> None:
        cap = getattr(self.caps, name)
        if cap is None or wanted < cap or (at_most and wanted <= cap):
            return
        one, more = _NAMES[name]
        flag = f"raise it with --max-{name.replace('_', '-')}"
        header = f"whoever wrote the script can raise max_{name} in its header"
        raise LimitError(
            f"the run reached its budget of {cap:g} {one if cap == 1 else more}",
            hint=f"{header if getattr(self._declared, name) == cap else flag}; nothing of this call was sent",
            detail={"limit": name, "value": cap},
        )

    def _name(self, job: _Job, data: Mapping[str, Any]) -> None:
        if isinstance(data.get("id"), str):
            job.id = data["id"]
            self._by_id[job.id] = job

    def _learn(self, data: Any) -> None:
        """Note what a job of this run has used, where an answer tells that it has ended."""
        identifier = data.get("id") if isinstance(data, dict) else None
        job = self._by_id.get(identifier) if isinstance(identifier, str) else None
        if job and str(data.get("status")) in TERMINAL:
            job.spent = seconds_of(data) or 0.0


def seconds_of(data: Mapping[str, Any]) -> float | None:
    """The seconds of compute that an answer tells; None where it tells none that can be."""
    metrics = data.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS else None


def starts_compute(operation: Operation) -> bool:
    """Whether the call starts a prediction or a training."""
    return operation.starts is not None


def keeps_hardware(operation: Operation, given: Mapping[str, Any]) -> bool:
    """Whether the call may leave instances of a deployment running, which cost money while nothing is asked of them.

    An update that names hardware and no number of instances may move running ones to dearer hardware.
    """
    if operation.parameter("min_instances") is None:
        return False
    instances = given.get("min_instances")
    if instances is None:
        return given.get("hardware") is not None
    return bool(instances != 0)


def subject_of(arguments: Mapping[str, Any]) -> str:
    """What a call runs or changes: its model, else all that names it. A yes for one version is not one for another."""
    model = model_of(arguments)
    if model and arguments.get("min_instances") is None:
        return model
    named = [str(arguments[name]) for name in _SUBJECTS if arguments.get(name) is not None]
    return "/".join(named) or "an unknown model"
