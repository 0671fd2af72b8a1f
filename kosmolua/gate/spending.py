"""What a session spends: reserved in the budget of its run and in persistent budgets before a call is sent, and
settled after. Before a call is refused because of an estimate, the estimated jobs are read from the API.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from kosmolua.errors import KosmoError, LimitError
from kosmolua.gate.budget import Budget, GuessedLimitError, keeps_hardware, starts_compute
from kosmolua.gate.jobs import Job, amount
from kosmolua.gate.policy import model_of

if TYPE_CHECKING:
    from kosmolua.gate.ledger import Charge, Ledger, Origin, Reservation, Total
    from kosmolua.gate.run import Ticket
    from kosmolua.replicate.catalogue import Operation
    from kosmolua.settings.config import Allowance

WARNED_AT = Decimal("0.8")  # of a budget
_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)  # seconds between reads; the last one repeats
_MOST_LOOKS = 100  # jobs to read per round

Look = Callable[[str, str, str], Any]
"""Reads a prediction or training by kind, id and account; raises a `KosmoError` on failure."""


class PersistentBudgets:
    """The persistent budgets that apply to one session, in their ledger. ``tell`` gets one warning per budget when 80 %
    of it is used.
    """

    def __init__(
        self, budgets: Sequence[Allowance], ledger: Ledger, origin: Origin, tell: Callable[[str], None]
    ) -> None:
        self.ledger = ledger
        self.origin = origin
        self._budgets = budgets
        self._tell = tell
        self._by_account: dict[str, list[Allowance]] = {}
        self._warned: set[str] = set()

    def of(self, account: str) -> list[Allowance]:
        """The budgets that count calls on the account."""
        from kosmolua.gate.ledger import applies

        if account not in self._by_account:
            self._by_account[account] = [each for each in self._budgets if applies(each, account, self.origin)]
        return self._by_account[account]

    def warn(self, totals: Sequence[Total]) -> None:
        for total in totals:
            name = total.budget.name
            if total.share >= WARNED_AT and name not in self._warned:
                self._warned.add(name)
                self._tell(f"{described(total)}: {total.share:.0%} spent or reserved; {renewal(total)}")


class Spending:
    """The budget of a run and the persistent budgets. Thread-safe. ``pause(account, seconds)`` waits, and raises if the
    run ends meanwhile.
    """

    def __init__(
        self,
        budget: Budget,
        persistent: PersistentBudgets | None = None,
        *,
        look: Look,
        pause: Callable[[str, float], None] = lambda _, seconds: time.sleep(seconds),
    ) -> None:
        self.budget = budget
        self.persistent = persistent
        self._look = look
        self._pause = pause
        self._looking = threading.Lock()
        self._looked = 0.0  # time of the last read, by the monotonic clock

    def close(self) -> None:
        """Close the ledger. It reopens on the next use."""
        if self.persistent:
            self.persistent.ledger.close()

    def described(self, account: str) -> list[str]:
        """One line for each persistent budget that counts calls on the account."""
        budgets = self.persistent.of(account) if self.persistent else []
        totals = self.persistent.ledger.totals(budgets) if self.persistent and budgets else []
        return [f"{described(total)}: {standing_of(total)}; {renewal(total)}" for total in totals]

    def objection(self, operation: Operation, given: Mapping[str, Any], account: str) -> str:
        """Why a person has to approve a call that the policy allows; empty if not needed."""
        if self.persistent is None and self.budget.caps.cost is None:
            return ""
        bound = "--max-cost is given" if self.budget.caps.cost is not None else self._bound_by(account)
        if not bound:
            return ""
        if keeps_hardware(operation, given):
            return f"it keeps hardware running, which costs money until changed, and {bound}"
        unpriced = starts_compute(operation) and self.budget.price(given) is None
        return f"no price is known for it, and {bound}" if unpriced else ""

    def check(self, operation: Operation, given: Mapping[str, Any], account: str) -> None:
        """Raise a `LimitError` for a call that no budget has room for, before anybody is asked about it. Nothing is
        reserved; estimated costs of other calls do not count.
        """
        job = self.budget.check(operation, given, account)
        budgets = self.persistent.of(account) if self.persistent and job else []
        if self.persistent is None or job is None or not budgets:
            return
        cost = job.cost(job.began)
        for total in self.persistent.ledger.totals(budgets):
            if not total.least().takes(cost or Decimal(0)):
                raise exceeded(total, cost)

    def estimate(self, given: Mapping[str, Any]) -> float | None:
        """The expected cost of a call that starts compute; None if no price is known."""
        quote = self.budget.price(given)
        cost = quote.expected(quote.price.seconds) if quote else None
        return None if cost is None else float(cost)

    def _bound_by(self, account: str) -> str:
        budgets = self.persistent.of(account) if self.persistent else []
        return next((f"budget {each.name!r} limits the cost" for each in budgets if each.cost is not None), "")

    def reserve(
        self,
        operation: Operation,
        given: Mapping[str, Any],
        account: str,
        ticket: Ticket | None = None,
        *,
        later: bool = False,
    ) -> Job | None:
        """Reserve a call in all budgets before it is sent. Raises a `LimitError` if one has no room. With ``later``,
        `send` makes the reservation in the persistent budgets; a ``ticket`` with open attempts uses their reservation.
        """
        try:
            job = self.budget.reserve(operation, given, account)
        except GuessedLimitError as limit:
            job = self._reserve_after_a_look(limit, operation, given, account)
        if job and self.persistent and not later:
            try:
                self._charge(self.persistent, job, account, given, ticket)
            except BaseException:
                self.budget.give_back(operation, job)
                raise
        return job

    def send(
        self, operation: Operation, given: Mapping[str, Any], account: str, ticket: Ticket, job: Job | None
    ) -> None:
        """Note in the journal that a write is about to be sent, and reserve the ``job`` in the persistent budgets: in
        one transaction if they share a database, else both or none.
        """
        if job and self.persistent and self.persistent.of(account):
            write = partial(ticket.send, operation, given)
            self._charge(self.persistent, job, account, given, ticket, write)
        else:
            ticket.send(operation, given)

    def settle(self, job: Job | None, data: Any, refused: bool = False, ticket: Ticket | None = None) -> list[Job]:
        """Update the budgets from an answer, or after the API ``refused`` the job. Returns the jobs that ended. The
        persistent budgets are updated with the journal, if there is a ``ticket`` and they share a database.
        """
        ended = self.budget.settle(job, data, refused=True) if refused else self.budget.settle(job, data)
        persistent = self.persistent
        if persistent and (job or ended):
            if ticket and persistent.ledger.joins:
                ticket.afterwards.append(lambda: self._note(persistent, job, ended, refused=refused))
            else:
                self._note(persistent, job, ended, refused=refused)
        return ended

    def _note(self, persistent: PersistentBudgets, job: Job | None, ended: list[Job], *, refused: bool) -> None:
        if job and job.charge is not None and refused:
            persistent.ledger.release(job.charge)
        elif job and job.charge is not None and job.id and job not in ended:
            persistent.ledger.name(job.charge, job.id)
        for each in ended:
            self._settle(persistent, each)

    def _settle(self, persistent: PersistentBudgets, job: Job) -> None:
        charge = job.charge if job.charge is not None or job.id is None else persistent.ledger.charge_of(job.id)
        if charge is not None:
            persistent.ledger.settle(charge, job.paid if job.paid is not None else job.cost(job.began), job.id)

    # Reading jobs before a refusal ------------------------------------------------------------------------------

    def _reserve_after_a_look(
        self, limit: GuessedLimitError, operation: Operation, given: Mapping[str, Any], account: str
    ) -> Job | None:
        """Read the estimated jobs, on one thread for all waiting calls; keep waiting while that may make room."""
        began = since = time.monotonic()
        patience, turn = limit.patience, 0
        while True:
            with self._looking:
                try:
                    return self.budget.reserve(operation, given, account)
                except GuessedLimitError as found:
                    if self._looked <= since:
                        self._look_at(found.jobs)
                        self._looked = time.monotonic()
            try:
                return self.budget.reserve(operation, given, account)
            except GuessedLimitError as found:
                patience = max(patience, found.patience)
                left = began + patience - time.monotonic()
                if not found.patience or left <= 0:
                    raise LimitError(found.message, hint=found.hint, detail=found.detail) from None
            since = time.monotonic()
            self._pause(account, min(left, _PAUSES[min(turn, len(_PAUSES) - 1)]))
            turn += 1

    def _look_at(self, jobs: Sequence[Job]) -> None:
        for job in [each for each in jobs if each.id][:_MOST_LOOKS]:
            try:
                self.settle(None, self._look(job.kind, job.id or "", job.account))
            except KosmoError:
                continue  # keep the estimate

    # Persistent budgets -------------------------------------------------------------------------------------------

    def _charge(
        self,
        persistent: PersistentBudgets,
        job: Job,
        account: str,
        given: Mapping[str, Any],
        ticket: Ticket | None,
        write: Callable[[Callable[[], None]], None] = lambda reserve: reserve(),
    ) -> None:
        """Reserve the job inside ``write``: if ``write`` raises, nothing is reserved."""
        budgets = persistent.of(account)
        if not budgets:
            return
        from kosmolua.gate.ledger import Charge

        cost = job.cost(job.began)
        charge = Charge(
            persistent.origin, account, job.kind, model_of(given), ticket.identity if ticket else None,
            again=bool(ticket and ticket.open),
        )  # fmt: skip
        attempt = _Attempt(persistent.ledger, budgets, cost, charge)
        reserved = attempt.carry_out(write)
        if reserved.refused and self._look_at_others(persistent, [total.budget for total in reserved.refused]):
            reserved = attempt.carry_out(write)
        if reserved.refused:
            raise exceeded(reserved.refused[0], cost)
        job.charge = reserved.charge
        persistent.warn(reserved.totals)

    def _look_at_others(self, persistent: PersistentBudgets, budgets: Sequence[Allowance]) -> bool:
        """Settle reservations of other runs that were killed or did not wait. Returns whether any was settled."""
        settled = False
        with self._looking:
            for one in persistent.ledger.unsettled(budgets):
                try:
                    data = self._look(one.kind, one.prediction, one.account)
                except KosmoError:
                    continue
                ended, cost = self.budget.appraised(data, one.model)
                if ended:
                    persistent.ledger.settle(one.charge, cost)
                    settled = True
        return settled


class _RefusedError(Exception):
    """Ends a transaction whose reservation was refused."""

    def __init__(self, reservation: Reservation) -> None:
        super().__init__()
        self.reservation = reservation


class _Attempt:
    """Reserves a charge inside of a transaction, as often as needed."""

    def __init__(self, ledger: Ledger, budgets: Sequence[Allowance], cost: Decimal | None, charge: Charge) -> None:
        self._ledger = ledger
        self._asked = budgets, cost, charge
        self._made: Reservation | None = None

    def carry_out(self, write: Callable[[Callable[[], None]], None]) -> Reservation:
        """The result; after a refusal ``write`` has changed nothing."""
        from kosmolua.gate.ledger import Reservation

        self._made = None
        try:
            write(self._reserve)
        except _RefusedError as error:
            return error.reservation
        except BaseException:
            if self._made and self._made.charge is not None and not self._ledger.joins:
                self._ledger.release(self._made.charge)
            raise
        return self._made or Reservation(None, ())

    def _reserve(self) -> None:
        self._made = self._ledger.reserve(*self._asked)
        if self._made.refused:
            raise _RefusedError(self._made)


def exceeded(total: Total, cost: Decimal | None) -> LimitError:
    """The error for a call that a budget has no room for."""
    from shlex import quote

    budget = total.budget
    wanted = "" if cost is None or budget.cost is None else f"; this call may cost {amount(cost)}"
    full = budget.predictions is not None and total.predictions >= budget.predictions
    raised = f"kosmo budget set {quote(budget.name)} {'--predictions' if full else '--cost'} N"
    return LimitError(
        f"{described(total)} has no room for this call: {standing_of(total)}{wanted}; {renewal(total)}",
        hint=f"wait until the budget renews, or raise it: {raised}; this call was not sent",
        detail={"limit": "budget", "budget": budget.name, "renews": total.renews},
    )


def described(total: Total) -> str:
    budget = total.budget
    caps = [f"cost {amount(Decimal(repr(budget.cost)))}"] if budget.cost is not None else []
    caps += [f"{budget.predictions} predictions"] if budget.predictions is not None else []
    return f"budget {budget.name!r} ({' and '.join(caps)} a {budget.period})"


def standing_of(total: Total) -> str:
    words = (
        [f"{amount(total.spent)} spent and {amount(total.reserved)} reserved"] if total.budget.cost is not None else []
    )
    words += [f"{total.predictions} predictions made"] if total.budget.predictions is not None else []
    words += [f"{total.unpriced} of unknown price"] if total.unpriced and total.budget.cost is not None else []
    return ", ".join(words)


def renewal(total: Total) -> str:
    from kosmolua.gate.periods import shown

    return f"it renews at {shown(total.renews, total.budget.timezone)}"
