"""The one road to the network. Lua, the command line and every other door call `Session.call`, and nothing else
reaches the HTTP client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from kosmolua.config import DEFAULT_ACCOUNT
from kosmolua.errors import KosmoError, PermissionDeniedError, UsageError
from kosmolua.gate.policy import Decision, Rule, decide
from kosmolua.gate.prompt import Nobody, Prompter, Question
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.catalogue import Operation

if TYPE_CHECKING:
    from kosmolua.replicate.client import Client

MAX_LOG = 10_000


class Entry(Struct, omit_defaults=True, gc=False):
    """One call in the log: what was decided, by which rule and by whom, and what came of it. No inputs, no answers.

    ``at`` is in Unix seconds, ``duration_ms`` covers sending and waiting. ``by`` is "policy", "person" or "force".
    ``outcome`` is "ok", "error", "refused" or "dry_run"; ``code`` says which error or refusal.
    """

    function: str
    account: str
    access: str
    at: float
    decision: str = ""
    rule: str = ""
    by: str = ""
    outcome: str = "error"
    code: str | None = None
    status: int | None = None
    request_id: str | None = None
    duration_ms: float = 0.0


class Reply(Struct, frozen=True):
    """What a call gave: the API's answer unchanged, or in a dry run the request that was not sent."""

    data: Any
    entry: Entry


class Session:
    """Calls functions of the API, each of them past the gate.

    ``connect`` gives the client of an account; it is asked once for each and raises a `ConfigurationError` where
    the account is not set up. ``force`` bypasses the policy and nothing else. Used by one thread at a time.
    """

    def __init__(
        self,
        connect: Callable[[str], Client],
        rules: tuple[Rule, ...],
        prompter: Prompter | None = None,
        *,
        account: str = DEFAULT_ACCOUNT,
        force: bool = False,
        dry_run: bool = False,
        script: str | None = None,
    ) -> None:
        self.log: list[Entry] = []
        self.unlogged = 0
        self._connect = connect
        self._rules = rules
        self._prompter = prompter or Nobody()
        self._account = account
        self._force = force
        self._dry_run = dry_run
        self._script = script
        self._clients: dict[str, Client] = {}
        self._answered: dict[str, bool] = {}

    def call(self, function: str, arguments: Mapping[str, Any] | bytes, account: str = "") -> Reply:
        """Resolve, validate, check the account, ask the policy, send, record: in that order.

        ``arguments`` is a mapping, or MessagePack of one. Raises a `KosmoError` that names the function.
        """
        operation = resolve(function)
        entry = Entry(operation.name, account or self._account, operation.access, time.time())
        try:
            validated = structs.decode_arguments(operation, arguments)
            client = self._client(entry.account)
            self._permit(operation, validated, entry)
            return Reply(self._send(client, operation, validated, entry), entry)
        except KosmoError as error:
            entry.code = error.code
            entry.status = getattr(error, "status", None)
            entry.request_id = getattr(error, "request_id", None)
            error.function = error.function or operation.name
            raise
        finally:
            self._record(entry)

    def base_url(self, account: str = "") -> str:
        """Where the account's API is; page links must lie there."""
        return self._client(account or self._account).base_url

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(self, account: str) -> Client:
        client = self._clients.get(account)
        if client is None:
            client = self._clients[account] = self._connect(account)
        return client

    def _permit(self, operation: Operation, arguments: Struct, entry: Entry) -> None:
        decision = decide(self._rules, operation, from_script=self._script is not None)
        entry.decision, entry.rule, entry.by = decision.verdict, decision.rule, "policy"
        if decision.verdict == "allow":
            return
        if self._force:
            entry.decision, entry.by = "allow", "force"
        elif decision.verdict == "ask":
            if not self._dry_run:
                self._ask(operation, arguments, entry)
        else:
            entry.decision = "deny"
            entry.outcome = "refused"
            raise _denied(operation, decision)

    def _ask(self, operation: Operation, arguments: Struct, entry: Entry) -> None:
        allowed = self._answered.get(f"{entry.account} {operation.name}")
        if allowed is None:
            allowed = self._put_question(operation, arguments, entry)
        entry.by = "person"
        entry.decision = "allow" if allowed else "deny"
        if not allowed:
            entry.outcome = "refused"
            raise _refused(operation)

    def _put_question(self, operation: Operation, arguments: Struct, entry: Entry) -> bool:
        shown = msgspec.structs.asdict(arguments)
        given = {name: value for name, value in shown.items() if value is not msgspec.UNSET}
        answer = self._prompter.ask(Question(operation.name, entry.account, operation.access, given, self._script))
        if answer is None:
            entry.outcome = "refused"
            raise _unasked(operation, entry.rule)
        if answer != "once":
            self._answered[f"{entry.account} {operation.name}"] = answer == "run"
        return answer != "no"

    def _send(self, client: Client, operation: Operation, arguments: Struct, entry: Entry) -> Any:
        if self._dry_run:
            entry.outcome = "dry_run"
            return client.describe(operation, arguments)
        began = time.perf_counter()
        try:
            answer = client.send(operation, arguments)
        finally:
            entry.duration_ms = round((time.perf_counter() - began) * 1000, 3)
        entry.outcome, entry.status, entry.request_id = "ok", answer.status, answer.request_id
        return answer.data

    def _record(self, entry: Entry) -> None:
        if len(self.log) < MAX_LOG:
            self.log.append(entry)
        else:
            self.unlogged += 1


def resolve(function: str) -> Operation:
    """The operation of that name, under any of its names. Raises a `UsageError` with the nearest ones."""
    operation = catalogue.find(function)
    if operation:
        return operation
    from difflib import get_close_matches

    name = function.removeprefix("replicate.").removeprefix("replicate_")
    near = get_close_matches(name, [operation.name for operation in catalogue.OPERATIONS], n=3, cutoff=0.6)
    raise UsageError(
        f"no function is called {function[:100]!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="unknown_function",
        hint="see them all: kosmo integrations:replicate",
    )


def _denied(operation: Operation, decision: Decision) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{operation.name}: the policy denies this {operation.access}: {decision.rule}",
        hint=f"{_how_to_allow(operation)}, or --force",
    )


def _refused(operation: Operation) -> PermissionDeniedError:
    return PermissionDeniedError(f"{operation.name}: you refused it", hint="run it again to be asked again")


def _unasked(operation: Operation, rule: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{operation.name}: this {operation.access} needs approval, and there is no terminal to ask on: {rule}",
        code="approval_required",
        hint=f"{_how_to_allow(operation)}, or bypass the policy: --force",
    )


def _how_to_allow(operation: Operation) -> str:
    always = f"kosmo integrations:configure {catalogue.PROVIDER} --{operation.access} allow"
    return f"allow it for this command: --{operation.access} allow, or for good: {always}"
