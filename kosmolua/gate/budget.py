"""The budget of a run: calls, writes, predictions, seconds of compute, cost. Spending is reserved before a request is
sent and settled when its cost is known, so that concurrent calls cannot exceed the caps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError, LimitError, OptionError
from kosmolua.gate.jobs import Job, amount, clocked, never_started, seconds_of, total
from kosmolua.gate.policy import model_of
from kosmolua.gate.quotes import Quote, quote_of
from kosmolua.replicate import results
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.ids import id_of
from kosmolua.replicate.prices import Prices, exact

TERMINAL = results.TERMINAL
_SUBJECTS = (  # arguments that identify what is run or changed
    *("model_owner", "model_name", "deployment_owner", "deployment_name", "model", "version", "version_id"),
    *("name", "hardware", "min_instances"),
)
_LONGEST_CREATE = 60.0  # maximum seconds for which the API delays the answer to a create in order to include the result
_MOST_SCHEMAS = 256  # schemas whose defaults a run remembers
_MOST_DEFAULT = 4_000  # characters of a default
_NAMES = {  # what a cap limits, singular and plural
    "calls": ("call", "calls"),
    "writes": ("write", "writes"),
    "predictions": ("prediction or training", "predictions and trainings"),
    "seconds_of_compute": ("second of compute", "seconds of compute"),
    "cost": ("cost", "cost"),
}
_MEASURED = frozenset({"seconds_of_compute", "cost"})  # the other caps are counts


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Upper limits; None means unlimited. ``cost`` is in the currency of the price table. Raises an `OptionError` for
    a limit of the wrong type or value.
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
        """For each field, the lower of both limits."""
        pairs = zip(self.__struct_fields__, msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Caps(**{name: min((x for x in (a, b) if x is not None), default=None) for name, a, b in pairs})


class GuessedLimitError(LimitError):
    """A limit that is reached only according to estimates for ``jobs``: reading these jobs may show that there is room.

    ``patience`` is how many seconds it is worth waiting for their real values.
    """

    def __init__(self, error: LimitError, jobs: list[Job], patience: float = 0.0) -> None:
        super().__init__(error.message, hint=error.hint, detail=error.detail)
        self.jobs = jobs
        self.patience = patience


class Budget:
    """What one run has spent. Thread-safe. ``declared`` are the caps of the script's header; the operator's flags
    cannot raise them. ``prices`` may be a function, which is called when a price is first needed.
    """

    def __init__(
        self,
        caps: Caps | None = None,
        prices: Prices | Callable[[], Prices] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        declared: Caps | None = None,
    ) -> None:
        self._declared = declared or Caps()
        self.caps = (caps or Caps()).tightened(self._declared)
        self.calls = self.writes = 0
        self._prices = prices or Prices()
        self._priced_models: bool | None = None  # whether there are prices; None until they are read
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._by_id: dict[str, Job] = {}
        self._seconds: dict[str, float] = {}  # by model, the longest compute time in this run
        self._versions: dict[str, str] = {}  # model by version id
        self._defaults: dict[str, Mapping[str, Any]] = {}  # by model or version, the schema's input defaults

    def price(self, arguments: Mapping[str, Any]) -> Quote | None:
        """The price of a prediction with these arguments. None means unknown, not zero."""
        quote = self._quote(arguments)
        return quote if quote and quote.expected(quote.price.seconds) is not None else None

    def _quote(self, arguments: Mapping[str, Any]) -> Quote | None:
        """The price of a call, even if its input does not determine the billed amounts."""
        prices = self._table()
        if not prices.models:
            return None
        names = self._names_of(arguments)
        entry = next((prices.models[name] for name in names if name in prices.models), None)
        if entry is None:
            return None
        second = prices.hardware.get(entry.hardware or "")
        return quote_of(entry, second, self._input(arguments, names))

    def _names_of(self, arguments: Mapping[str, Any]) -> list[str]:
        """The names under which this call may have a price, most specific first. The model of a bare version is known
        once the run has read the model.
        """
        version = _version_of(arguments)
        deployment = [arguments.get(name) for name in ("deployment_owner", "deployment_name")]
        model = model_of(arguments) or (self._versions.get(version) if version else None)
        called = "/".join(["deployments", *map(str, deployment)]) if all(deployment) else None
        return [name.lower() for name in (called, version, model) if name]

    def appraised(self, data: Any, model: str | None) -> tuple[bool, Decimal | None]:
        """Whether a prediction of any run has ended, and its cost if known."""
        if not isinstance(data, dict) or str(data.get("status")) not in TERMINAL:
            return False, None
        arguments = {"model": data.get("model") or model, "version": data.get("version"), "input": data.get("input")}
        with self._lock:
            quote = self._quote(arguments) or self._quote({**arguments, "model": model})
        metrics = data.get("metrics")
        seconds = seconds_of(data)
        cost = quote.actual(metrics if isinstance(metrics, dict) else {}, seconds) if quote else None
        cost = Decimal(0) if never_started(data) else cost
        return True, cost

    def reserve(self, operation: Operation, arguments: Mapping[str, Any], account: str = "") -> Job | None:
        """Count the call before it is sent. Raises a `LimitError` if it would exceed a cap."""
        with self._lock:
            job = self._allowed(operation, arguments, account)
            self.calls += 1
            self.writes += operation.access == "write"
            if job:
                self._jobs.append(job)
            return job

    def check(self, operation: Operation, arguments: Mapping[str, Any], account: str = "") -> Job | None:
        """Raise a `LimitError` if the call exceeds a cap whatever the running jobs cost. Returns the job it starts."""
        with self._lock:
            try:
                return self._allowed(operation, arguments, account)
            except GuessedLimitError:
                return None

    def _allowed(self, operation: Operation, arguments: Mapping[str, Any], account: str) -> Job | None:
        if self.caps.calls is not None:
            self._check("calls", self.calls + 1)
        if operation.access == "read":
            return None
        self._check("writes", self.writes + 1)
        return self._job(operation, arguments, account) if starts_compute(operation) else None

    @property
    def follows(self) -> bool:
        """Whether the budget needs the answers: it has jobs or prices."""
        return bool(self._jobs) or (self._has_prices() if self._priced_models is None else self._priced_models)

    def settle(self, job: Job | None, data: Any, *, refused: bool = False) -> list[Job]:
        """Update the budget from an answer. ``refused`` means the API rejected the job. Returns the jobs that ended."""
        if not self.follows:
            return []
        priced = self._has_prices()
        with self._lock:
            if job:
                job.in_flight = False
            if job and refused:
                self._jobs.remove(job)
                return []
            if not isinstance(data, dict):
                return []
            if priced:
                self._note_defaults(data)
            if job:
                self._name(job, data)
            page = data.get("results")
            return [one for item in (data, *(page if isinstance(page, list) else ())) if (one := self._learn(item))]

    def give_back(self, operation: Operation, job: Job | None) -> None:
        """Undo `reserve` for a call that was not sent."""
        with self._lock:
            self.calls -= 1
            self.writes -= operation.access == "write"
            if job:
                self._jobs.remove(job)

    def restore(
        self, operation: Operation, model: str | None, account: str, age: float, data: Any, *, taken: bool = True
    ) -> None:
        """Count a call that an earlier run made ``age`` seconds ago, even if that exceeds the caps; ``data`` is its
        answer.
        """
        with self._lock:
            self.calls += 1
            self.writes += operation.access == "write"
            if taken and starts_compute(operation):
                given = data.get("input") if isinstance(data, dict) else None
                arguments = {"model": model, "input": given}
                self._jobs.append(self._priced(self._clock() - max(0.0, age), operation, arguments, account))
                if isinstance(data, dict):
                    self._name(self._jobs[-1], data)
        self.settle(None, data)

    def running(self) -> list[tuple[str, str, str]]:
        """Kind, id and account of each job that this run started and that is not known to have ended."""
        with self._lock:
            return [(job.kind, job.id, job.account) for job in self._jobs if job.id and job.seconds is None]

    def created(self) -> list[tuple[str, str, str]]:
        """Kind, id and account of every job that this run started."""
        with self._lock:
            return [(job.kind, job.id, job.account) for job in self._jobs if job.id]

    def knows(self, identifier: str) -> bool:
        """Whether an answer in this run had this id."""
        return identifier in self._by_id

    def unanswered(self) -> int:
        """The number of creations that were sent but not answered; the ids of the created objects are unknown."""
        with self._lock:
            return sum(job.id is None for job in self._jobs)

    def spent(self) -> dict[str, float]:
        """What was spent so far, by cap. Unknown amounts are estimated; see `guessed`."""
        with self._lock:
            now = self._clock()
            return {
                "calls": self.calls,
                "writes": self.writes,
                "predictions": len(self._jobs),
                "seconds_of_compute": round(sum(job.computed(now) for job in self._jobs), 3),
                "cost": total(job.cost(now) for job in self._jobs),
            }

    def guessed(self) -> dict[str, float]:
        """How much of `spent` is estimated or measured by the local clock; empty if the API reported all of it.

        ``unpriced`` counts predictions and trainings of unknown price, whose cost `spent` does not include.
        """
        with self._lock:
            now = self._clock()
            seconds = sum(job.computed(now) for job in self._jobs if not job.reported)
            cost = total(job.cost(now) for job in self._jobs if job.paid is None)
            unpriced = sum(job.cost(now) is None for job in self._jobs)
        found = {"seconds_of_compute": round(seconds, 3), "cost": cost, "unpriced": unpriced}
        return {name: amount for name, amount in found.items() if amount}

    def _job(self, operation: Operation, arguments: Mapping[str, Any], account: str) -> Job:
        self._check("predictions", len(self._jobs) + 1)
        now = self._clock()
        job = self._priced(now, operation, arguments, account)
        job.in_flight = True
        if self.caps.seconds_of_compute is not None:
            self._check_seconds(self.caps.seconds_of_compute, job, now)
        if self.caps.cost is not None:
            self._check_cost(self.caps.cost, job, now)
        return job

    def _check_seconds(self, cap: float, job: Job, now: float) -> None:
        """Raise if the cap is reached, or may be reached when running jobs end. Each job reserves its expected time, so
        that concurrent jobs do not all start before the compute time of the first job is known.
        """
        running = [each for each in self._jobs if each.seconds is None]
        passed = sum(each.computed(now) for each in self._jobs)
        figures = _figures(passed, sum(each.computed(now) for each in self._jobs if not each.reported))
        error = self._reached("seconds_of_compute", figures)
        if passed >= cap:
            patience = _LONGEST_CREATE if any(each.in_flight for each in running) else 0.0
            raise GuessedLimitError(error, running, patience) if running else error
        held = passed + sum(max(0.0, each.expected - each.computed(now)) for each in running)
        known = [each for each in running if each.id or each.in_flight]
        if known and held + job.expected > cap:
            raise GuessedLimitError(error, known, cap - passed)

    def _check_cost(self, cap: float, job: Job, now: float) -> None:
        costs = [(each, each.cost(now)) for each in (*self._jobs, job)]
        if sum((cost for _, cost in costs if cost is not None), Decimal(0)) <= exact(cap):
            return
        unsure = [each for each, cost in costs if cost is not None and each.id and each.seconds is None]
        passed = sum((cost for each, cost in costs if cost is not None and each is not job), Decimal(0))
        figures = f"{amount(passed)} spent or reserved, and this call may cost {amount(job.cost(now) or Decimal(0))}"
        error = self._reached("cost", f": {figures}")
        least = sum((cost for each, cost in costs if cost is not None and each not in unsure), Decimal(0))
        raise GuessedLimitError(error, unsure) if unsure and least <= exact(cap) else error

    def _priced(self, began: float, operation: Operation, arguments: Mapping[str, Any], account: str) -> Job:
        job = Job(began, account=account, kind=operation.starts or "")
        job.quote = self._quote(arguments)
        if job.quote:
            job.expected = job.quote.price.seconds
        if self.caps.seconds_of_compute is not None:
            job.model = subject_of(arguments).lower()
            job.expected = self._seconds.get(job.model, job.expected)
        return job

    def _check(self, name: str, wanted: float) -> None:
        cap = getattr(self.caps, name)
        if cap is not None and wanted > cap:
            raise self._reached(name)

    def _reached(self, name: str, more: str = "") -> LimitError:
        cap = getattr(self.caps, name)
        one, many = _NAMES[name]
        flag = f"raise it with --max-{name.replace('_', '-')}"
        header = f"the script's author can raise max_{name} in its header"
        return LimitError(
            f"the run reached its budget of {cap:g} {one if cap == 1 else many}{more}",
            hint=f"{header if getattr(self._declared, name) == cap else flag}; this call was not sent",
            detail={"limit": name, "value": cap},
        )

    def _table(self) -> Prices:
        found = self._prices
        if callable(found):
            found = self._prices = found()
        self._priced_models = bool(found.models)
        return found

    def _has_prices(self) -> bool:
        """Whether any prices exist. An unreadable price list is reported by the call that needs a price."""
        if self._priced_models is None:
            try:
                self._table()
            except ConfigurationError:
                self._priced_models = False
        return bool(self._priced_models)

    def _input(self, arguments: Mapping[str, Any], names: list[str]) -> Mapping[str, Any]:
        """The input with the defaults of its schema, if known."""
        given = arguments.get("input")
        defaults = next((self._defaults[name] for name in names if name in self._defaults), {})
        return {**defaults, **given} if isinstance(given, Mapping) else defaults

    def _note_defaults(self, data: Mapping[str, Any]) -> None:
        """Remember the input defaults in a model's schema."""
        version = data.get("latest_version", data)
        properties = _properties(version)
        if properties is None or len(self._defaults) >= _MOST_SCHEMAS:
            return
        defaults = {name: each["default"] for name, each in properties.items() if _is_plain_default(each)}
        owner, name, identifier = data.get("owner"), data.get("name"), version.get("id")
        model = f"{owner}/{name}" if isinstance(owner, str) and isinstance(name, str) else None
        if isinstance(identifier, str) and model:
            self._versions[identifier] = model
        self._defaults.update((each.lower(), defaults) for each in (model, identifier) if isinstance(each, str))

    def _name(self, job: Job, data: Mapping[str, Any]) -> None:
        if identifier := id_of(data):
            job.id = identifier
            self._by_id[identifier] = job
        if job.quote is None and isinstance(data.get("model"), str):  # unknown for a bare version or a deployment
            job.quote = self._quote(
                {"model": data["model"], "version": data.get("version"), "input": data.get("input")}
            )

    def _learn(self, data: Any) -> Job | None:
        """Record what a job of this run used, if the answer shows that the job ended."""
        identifier = data.get("id") if isinstance(data, dict) else None
        job = self._by_id.get(identifier) if isinstance(identifier, str) else None
        if job is None or job.seconds is not None or str(data.get("status")) not in TERMINAL:
            return None
        seconds = seconds_of(data)
        job.reported = seconds is not None
        job.seconds = seconds if seconds is not None else clocked(data, self._clock() - job.began)
        if job.reported and job.model:
            self._seconds[job.model] = max(job.seconds, self._seconds.get(job.model, 0.0))
        metrics = data.get("metrics")
        if job.quote:
            job.paid = job.quote.actual(metrics if isinstance(metrics, dict) else {}, seconds)
        if never_started(data):
            job.paid = Decimal(0)
        return job


def _figures(seconds: float, guessed: float) -> str:
    """Reported and estimated seconds, for an error message."""
    known = f": {max(0.0, seconds - guessed):.1f} s reported"
    return f"{known}, {guessed:.1f} s estimated by the clock" if guessed else known


def _version_of(arguments: Mapping[str, Any]) -> str | None:
    """The version id, given alone or after the model's name."""
    for name in ("version_id", "version"):
        given = arguments.get(name)
        if isinstance(given, str):
            return given.rpartition(":")[2]
    return None


def _properties(version: Any) -> Mapping[str, Any] | None:
    """The input properties in the ``openapi_schema`` of a version."""
    found = version
    for step in ("openapi_schema", "components", "schemas", "Input", "properties"):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _is_plain_default(property_: Any) -> bool:
    found = property_.get("default") if isinstance(property_, dict) else None
    return isinstance(found, bool | int | float) or (isinstance(found, str) and len(found) <= _MOST_DEFAULT)


def starts_compute(operation: Operation) -> bool:
    """Whether the call starts a prediction or a training."""
    return operation.starts is not None


def keeps_hardware(operation: Operation, given: Mapping[str, Any]) -> bool:
    """Whether the call may leave deployment instances running, which cost money even when idle.

    An update with hardware but no number of instances may move running instances to more expensive hardware.
    """
    if operation.parameter("min_instances") is None:
        return False
    instances = given.get("min_instances")
    if instances is None:
        return given.get("hardware") is not None
    return bool(instances != 0)


def subject_of(arguments: Mapping[str, Any]) -> str:
    """What a call runs or changes: its model, else all identifying arguments. Each version needs its own approval."""
    model = model_of(arguments)
    if model and arguments.get("min_instances") is None:
        return model
    named = [str(arguments[name]) for name in _SUBJECTS if arguments.get(name) is not None]
    return "/".join(named) or "an unknown model"
