"""Approvals: questions of runs that wait for a person without a process, and their decisions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from kosmolua.errors import KosmoError, LimitError, PermissionDeniedError, UsageError
from kosmolua.gate.approval import Decision
from kosmolua.journal.records import MOST_SECONDS
from kosmolua.replicate.token import quoted
from kosmolua.settings import approvers
from kosmolua.settings.approvers import Rules
from kosmolua.settings.config import Approving

Verdict = Literal["approved", "denied"]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)]
DAYS = 7.0  # days after which an unanswered question counts as denied
TIMEOUT = DAYS * 86_400
MAX_OPEN = 1_000  # questions of a run


class Approval(Struct, frozen=True, kw_only=True):
    """One question. Times are in Unix seconds. ``task`` and ``request`` are the question's place in the journal of the
    run; ``arguments`` is JSON for display, without secrets and file contents; ``digest`` covers the exact arguments,
    function and account: a decision applies to nothing else; ``estimate`` is the expected cost, None if unknown;
    ``why`` is the rule that asks; ``rule`` is the policy rule that ``--rule`` saves, as JSON.

    ``decision`` is None while the question is open, then "approved", "denied", "expired", or "superseded" if the
    changed script asks for something else; ``acting`` is the person who decided on behalf of ``decided_by``;
    ``used_at`` is when the call was sent, or when the script received the refusal. ``state`` is the state of the run.
    ``approvers`` are the names and groups that may decide, None for anybody; ``own`` is whether the submitter may
    decide, None if that is not known.
    """

    id: str
    run: str
    script: str
    state: str
    task: int
    request: int
    function: str
    account: str
    access: str
    arguments: str
    digest: str
    estimate: float | None
    why: str
    rule: str | None
    submitted_by: str | None
    asked_at: Seconds
    expires_at: Seconds
    decision: str | None
    decided_by: str | None
    acting: str | None
    decided_at: Seconds | None
    reason: str | None
    used_at: Seconds | None
    approvers: list[str] | None = None
    own: bool | None = None

    @property
    def status(self) -> str:
        """The decision if there is one, else "open", or "run ended" if no decision is needed any more."""
        if self.decision:
            return self.decision
        return "run ended" if self.state in ("done", "failed", "canceled") else "open"


def of_row(row: Sequence[Any]) -> Approval:
    """The approval in a database row, whose columns are in the order of the fields."""
    return Approval(**dict(zip(Approval.__struct_fields__, row, strict=True)))


def fields_of(one: Approval) -> dict[str, Any]:
    """An approval for programs: its fields and status, with arguments and rule as data."""
    fields: dict[str, Any] = msgspec.to_builtins(one)
    for name in ("arguments", "rule"):
        with suppress(msgspec.DecodeError, TypeError):
            fields[name] = msgspec.json.decode(fields[name])
    return {**fields, "status": one.status}


def rules_for(settings: Approving, one: Approval, *, own: bool) -> Rules:
    """Who may decide this question, according to this configuration and to what was stored with the question."""
    if one.own is False:
        settings = msgspec.structs.replace(settings, own=False)
    return Rules(settings, () if one.approvers is None else (one.approvers,), own)


def check_approver(
    settings: Approving, one: Approval, by: str, *, own: bool, reread: Callable[[Approval], Approval]
) -> None:
    """Raise a `PermissionDeniedError` if this person may not approve. What was stored with the question may be older
    than the configuration: if only that excludes the submitter, ``reread`` returns the question with what the current
    configuration of the worker says.
    """
    stale = one.own is False and by == one.submitted_by and Rules(settings, own=own).submitters
    if stale:
        one = reread(one)
    if stale and one.own is False:
        raise PermissionDeniedError(
            f"{by} may not decide this: the submitter of a run may not approve it by the configuration of its worker",
            hint="ask somebody else, or set approvals.own = true in config.toml of the worker, and approve it again",
        )
    rules_for(settings, one, own=own).check(by, one.submitted_by)


def who(one: Approval) -> str:
    """Who may decide this question, for people."""
    return approvers.who(one.approvers, one.submitted_by, submitters=one.own)


def accepted(found: Decision, rules: Rules, submitted_by: str | None, here: str) -> Decision:
    """The decision, or, if that person may not approve, a denial attributed to ``here``."""
    if found.state != "approved":
        return found
    error = rules.objection(found.by or "", submitted_by) or rules.objection_to_acting(found.acting)
    if error is None:
        return found
    return Decision(id=found.id, state="denied", by=here, reason=f"{found.by} may not approve it: {error[0]}")


def check_anybody(function: str, rules: Rules, submitted_by: str | None) -> None:
    """Raise a `PermissionDeniedError` if nobody may approve, instead of a question that nobody can answer."""
    if not rules.nobody(submitted_by):
        return
    lists = [*([rules.settings.approvers] if rules.settings.approvers is not None else []), *rules.narrowed]
    shown = "; ".join(approvers.listed(approvers.short(name) for name in each) for each in lists)
    except_ = f", and not {submitted_by}, who submitted the run" if submitted_by and not rules.submitters else ""
    raise PermissionDeniedError(
        f"{function}: nobody may approve it: expected a person who is in each of: {shown}{except_}",
        hint=f"name other {approvers.FLAG}, or change approvals.approvers in config.toml",
        function=function,
    )


def storable(value: str | None) -> str | None:
    """Text that a database can hold, at most 1,000 characters of it."""
    return None if value is None else value.encode(errors="replace").decode().replace("\0", "\ufffd")[:1000]


def new_id() -> str:
    return os.urandom(5).hex()


def unknown(identifier: str) -> UsageError:
    return UsageError(f"no approval {quoted(identifier)}", hint="list them: kosmo approvals list")


def undecidable(found: Approval) -> UsageError | None:
    """The error for an approval that is not open; None for one that is."""
    status = found.status
    if status == "open":
        return None
    by = f" by {found.decided_by}" if found.decided_by else ""
    what = f"belongs to run {found.run}, which has ended" if status == "run ended" else f"is already {status}{by}"
    return UsageError(f"approval {found.id} {what}", hint=f"see it: kosmo approvals show {found.id}")


def check_open(count: int) -> None:
    """Raise a `LimitError` if a run with that many open questions may ask no more."""
    if count >= MAX_OPEN:
        raise LimitError(
            f"{MAX_OPEN} questions of this run are open; it may not ask more at a time",
            hint="let the script wait for the decisions on one group of calls before it makes the next",
        )


class Watches:
    """Watches for decisions while the process of a run is alive, in a thread that starts with the first watch.
    ``decided`` takes approval ids and returns those that have been decided.
    """

    PAUSE = 1.0  # seconds between checks

    def __init__(self, decided: Callable[[list[str]], list[str]]) -> None:
        self._decided = decided
        self._ready: dict[str, Callable[[], None]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, identifier: str, ready: Callable[[], None]) -> Callable[[], None]:
        """Returns a function that ends the watch."""
        with self._lock:
            self._ready[identifier] = ready
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kosmolua-approvals", daemon=True)
                self._thread.start()
        return lambda: self._leave(identifier)

    def close(self) -> None:
        self._over.set()

    def _leave(self, identifier: str) -> None:
        with self._lock:
            self._ready.pop(identifier, None)

    def _run(self) -> None:
        while not self._over.wait(self.PAUSE):
            with self._lock:
                asked = list(self._ready)
            with suppress(KosmoError):  # the database may be available again soon
                for identifier in self._decided(asked) if asked else ():
                    with self._lock:
                        ready = self._ready.pop(identifier, None)
                    if ready:
                        ready()
