"""Permission for a call: the script's header, the policy, and a person if the policy says to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import AnswerError, KosmoError, PermissionDeniedError
from kosmolua.gate.budget import starts_compute, subject_of
from kosmolua.gate.entry import Entry
from kosmolua.gate.functions import given_of
from kosmolua.gate.needs import Needs
from kosmolua.gate.policy import Call, Decision, Policy, decide, narrow_rule
from kosmolua.gate.prompt import Answer, Prompter, Question, ask
from kosmolua.gate.question import Stopping, put
from kosmolua.gate.refusals import NO_TERMINAL, denied, refused, unasked, unpriced
from kosmolua.gate.run import Run
from kosmolua.gate.spending import Spending
from kosmolua.replicate.catalogue import Operation
from kosmolua.settings.config import Rule

if TYPE_CHECKING:
    from kosmolua.gate.approval import Asking


class Permission:
    """Decides on each call of one run. Thread-safe; one question is open at a time.

    ``force`` bypasses the policy; a ``dry_run`` asks nobody. ``remember`` saves a rule. ``stop`` returns the stop
    signal of this thread's run. ``fault`` is the prompter's first error. With ``asking``, questions wait for an
    approval instead; ``masked`` removes secrets from what people are shown.
    """

    def __init__(
        self,
        policy: Policy,
        prompter: Prompter,
        *,
        run: Run,
        spending: Spending,
        force: bool,
        dry_run: bool,
        remember: Callable[[Rule], None] | None,
        stop: Callable[[], Stopping | None],
        asking: Asking | None = None,
        masked: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.policy = policy
        self.fault: Exception | None = None
        self._prompter = prompter
        self._run = run
        self._spending = spending
        self._force = force
        self._dry_run = dry_run
        self._remember = remember
        self._stop = stop
        self._approvals = asking
        self._masked = masked
        self._asking = threading.Lock()
        self._answered: dict[str, bool] = {}

    @property
    def looks(self) -> bool:
        """Whether decisions depend on arguments; they are decoded only then."""
        return bool(self.policy.rules or self._run.needs)

    def ask_again(self) -> None:
        """Forget refusals: at a prompt, a "no" applies only to the input that asked."""
        with self._asking:
            self._answered = {key: allowed for key, allowed in self._answered.items() if allowed}

    def check(self, operation: Operation, arguments: Struct, given: Mapping[str, Any], entry: Entry) -> None:
        """Decide, and note the decision in ``entry``. Raises a `PermissionDeniedError` if the call is refused."""
        call = Call(operation, entry.account, given, self._run.script is not None, complete=True)
        entry.by = "policy"
        if self._run.needs:
            self._check_header(self._run.needs, call, entry)
        decision = decide(self.policy, call)
        entry.decision, entry.rule = decision.verdict, decision.rule
        if decision.verdict == "ask" and not self._force:
            self._ask(operation, arguments, entry, decision)
        elif decision.verdict == "deny" and not self._force:
            entry.outcome = "refused"
            raise denied(operation, decision)
        elif decision.verdict != "allow":
            entry.decision, entry.by = "allow", "force"
        why = self._spending.objection(operation, given, entry.account)
        if why:
            decision = Decision("ask", why)
            entry.decision, entry.rule = decision.verdict, decision.rule
            self._ask(operation, arguments, entry, decision, topic=f"price of {subject_of(given)}")

    def _check_header(self, needs: Needs, call: Call, entry: Entry) -> None:
        try:
            needs.check(call)
        except PermissionDeniedError:
            entry.decision, entry.rule, entry.outcome = "deny", "the script's own header", "refused"
            raise

    def _ask(self, operation: Operation, arguments: Struct, entry: Entry, decision: Decision, topic: str = "") -> None:
        if self._dry_run:
            return
        if self._approvals and self._approvals.can_ask:
            self._wait_for_approval(self._approvals, operation, given_of(arguments), entry, topic)
            return
        key = f"{entry.account} {operation.name} {topic}"
        with self._asking:
            allowed = self._answered.get(key)
            if allowed is None:
                allowed = self._put_question(operation, arguments, entry, decision, key, topic)
        entry.by = "person"
        entry.decision = "allow" if allowed else "deny"
        if not allowed:
            entry.outcome = "refused"
            raise refused(operation)

    def _wait_for_approval(
        self, approvals: Asking, operation: Operation, given: Mapping[str, Any], entry: Entry, topic: str
    ) -> None:
        from kosmolua.gate import approval

        if not approvals.resumes:
            self._spending.check(operation, given, entry.account)
        rule = None if topic else narrow_rule(operation, given, entry.account)
        ask = approval.Ask(
            function=operation.name,
            account=entry.account,
            access=operation.access,
            arguments=approval.shown(given, self._masked),
            digest=approval.digest_of(operation.name, entry.account, given, self._run.files),
            estimate=self._spending.estimate(given) if starts_compute(operation) else None,
            why=entry.rule,
            rule=msgspec.json.encode(rule).decode() if rule else None,
        )
        entry.by = "person"
        try:
            entry.rule, entry.decision = approvals.check(ask), "allow"
        except approval.AskedError:
            entry.decision, entry.outcome, entry.by = "ask", "asked", "policy"
            raise
        except PermissionDeniedError:
            entry.decision, entry.outcome = "deny", "refused"
            raise

    def _put_question(
        self, operation: Operation, arguments: Struct, entry: Entry, decision: Decision, key: str, topic: str
    ) -> bool:
        given = given_of(arguments)
        self._spending.check(operation, given, entry.account)
        rule = None if topic or not self._remember else narrow_rule(operation, given, entry.account)
        question = Question(operation.name, entry.account, operation.access, given, self._run.script, entry.rule, rule)
        answer = self._asked(question, entry)
        if answer is None:
            entry.outcome = "refused"
            absent = getattr(self._prompter, "absent", NO_TERMINAL)
            raise unpriced(operation, entry.rule, absent) if topic else unasked(operation, decision, absent)
        if answer == "always" and rule and self._remember:
            self._remember(rule)
        if answer != "once":
            self._answered[key] = answer != "no"
        return answer != "no"

    def _asked(self, question: Question, entry: Entry) -> Answer | None:
        """The prompter's answer. An error in the prompter refuses the call, and is kept in ``fault``."""
        try:
            stop = self._stop()
            return put(self._prompter, question, stop) if stop else ask(self._prompter, question)
        except AnswerError as error:
            entry.outcome, self.fault = "refused", self.fault or error
            raise
        except KosmoError:
            entry.outcome = "refused"
            raise
        except Exception as error:
            entry.outcome, self.fault = "refused", self.fault or error
            raise PermissionDeniedError(
                f"{question.function}: refused, because the prompter failed: {type(error).__name__}: {error}"
            ) from error
