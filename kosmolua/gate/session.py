"""The one road to the network. Lua, the command line and every other door call `Session.call`, and nothing else
reaches the HTTP client.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
from msgspec import Struct

from kosmolua.errors import (
    AnswerError,
    ApiError,
    ArgumentError,
    InternalError,
    KosmoError,
    PermissionDeniedError,
    SystemFailureError,
    UncertainError,
    UsageError,
    failure_of,
)
from kosmolua.gate.budget import Budget, starts_compute, subject_of
from kosmolua.gate.entry import Entry as Entry  # noqa: PLC0414 - also named here
from kosmolua.gate.files import Files
from kosmolua.gate.jobs import Job, cost_of
from kosmolua.gate.lost import Creations, Sent
from kosmolua.gate.made import Made
from kosmolua.gate.needs import Needs
from kosmolua.gate.policy import Call, Decision, Policy, decide, narrow_rule
from kosmolua.gate.prompt import Answer as Word
from kosmolua.gate.prompt import Nobody, Prompter, Question, ask
from kosmolua.gate.question import Stopping, put
from kosmolua.gate.spending import Spending, Standing
from kosmolua.gate.uploads import Uploads
from kosmolua.replicate import catalogue, redact, structs
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.token import looks_like_token
from kosmolua.settings.config import DEFAULT_ACCOUNT, Rule

if TYPE_CHECKING:
    from kosmolua.gate.audit import Audit
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.client import Client
    from kosmolua.replicate.transfer import Opened

MAX_LOG = 10_000
FETCH_SECONDS = 60.0  # that a picture may take to come


class Reply(Struct, frozen=True):
    """What a call gave: the API's answer unchanged, or in a dry run the request that was not sent."""

    data: Any
    entry: Entry


class Watcher(Protocol):
    """Is told what a session does, by whichever thread does it. It is shown no secret."""

    def begins(self, entry: Entry, operation: Operation) -> None:
        """A request is about to be sent."""

    def ended(
        self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, error: KosmoError | None
    ) -> None:
        """A call has ended, with an answer or with an error. ``given`` is empty where its arguments were wrong."""

    def followed(self, url: str, event: str, data: str) -> None:
        """An event of the stream at that URL has come."""

    def downloading(self, path: str, received: int, total: int | None) -> None:
        """So many bytes of a file have come, of ``total`` where that is known; -1 once that is over."""


class Ticket(Protocol):
    """The place of one call in the journal of its run. ``sent``: it was handed to the client, and not found to be
    invalid there; ``unsure``: it failed, and may still have been done.
    """

    sent: bool
    unsure: bool

    @property
    def open(self) -> Sequence[object]:
        """Earlier attempts at this call that were interrupted."""

    def send(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """The call is about to be sent. A write is on disk when this returns; raises a `JournalError` if it is not."""

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """The call was sent, now or by an earlier attempt."""

    def turn(self) -> AbstractContextManager[object]:
        """While there is something to look for, writes are sent one at a time."""

    def claim(self, identifier: str) -> None:
        """That object of the API is the answer to this call, and to no other."""

    def settle(self, value: bytes) -> None:
        """Take down what came of the call, as MessagePack, when its answer was not waited for."""

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """What an interrupted attempt at this call did, found by reads; None if it was not done and may be sent."""


class Found(Struct, frozen=True):
    """An interrupted write was done, and ``data`` is what the API shows of it."""

    data: Any


class Run(Struct, frozen=True):
    """Who calls: a command, or the script of that name, with what its header declares and the files it may read.

    ``id`` is what the record of calls knows it by.
    """

    id: str = ""
    script: str | None = None
    needs: Needs | None = None
    files: Files | None = None


class NothingFetchedError(UsageError):
    """A dry run fetches nothing. ``request`` is what would have been sent, as plain data."""

    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__("nothing is fetched in a dry run", hint="leave out --dry-run")
        self.request = request


class Session:
    """Calls functions of the API, each of them past the gate. For any number of threads.

    ``connect`` gives the client of an account; it is asked once for each and raises a `ConfigurationError` where
    the account is not set up; clients that are ``lent`` are left open. ``force`` bypasses the policy and nothing else.
    ``standing`` are the budgets that outlive the run. ``remember`` writes a rule for good, when a person wants that.
    ``on_call`` is told of each call that has ended, a ``watcher`` also what went in and came out. ``stop``
    gives what ends the run that this thread calls for.

    Whatever goes wrong while a call is carried out is raised as a `KosmoError`. What fails once its answer is there,
    such as a callback, does not cost the answer: the first such exception is kept in ``raised``.
    """

    def __init__(  # noqa: PLR0913 - the road's parts, each of which a door may leave out
        self,
        connect: Callable[[str], Client],
        policy: Policy,
        prompter: Prompter | None = None,
        *,
        account: str = DEFAULT_ACCOUNT,
        force: bool = False,
        dry_run: bool = False,
        run: Run | None = None,
        budget: Budget | None = None,
        audit: Audit | None = None,
        remember: Callable[[Rule], None] | None = None,
        lent: bool = False,
        on_call: Callable[[Entry], None] | None = None,
        watcher: Watcher | None = None,
        standing: Standing | None = None,
        stop: Callable[[], Stopping | None] = lambda: None,
    ) -> None:
        self.run = run or Run()
        self.watcher = watcher
        self.log: list[Entry] = []
        self.unlogged = 0
        self.fault: Exception | None = None  # what is wrong with the prompter
        self.raised: Exception | None = None  # by a callback
        self.spending = Spending(budget or Budget(), standing, look=self._look_at, pause=self._pause)
        self.creations = Creations()
        self._connect = connect
        self._policy = policy
        self._prompter = prompter or Nobody()
        self._account = account
        self._force = force
        self._dry_run = dry_run
        self._audit = audit
        self._remember = remember
        self._lent = lent
        self._stop = stop
        self._told = [told for told in (audit.write if audit else None, on_call) if told]
        # What decides looks at the arguments; where nothing does, they are not taken apart.
        self._looks = bool(policy.rules or self.run.needs)
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._clients: dict[str, Client] = {}
        self._answered: dict[str, bool] = {}
        self._writing: dict[int, Entry] = {}
        self._uploads = Uploads(self.run.files, lambda given, account: self.call("create_file", given, account).data)
        self.made = Made(self._uploads.described)

    def call(
        self,
        function: str,
        arguments: Mapping[str, Any] | bytes,
        account: str = "",
        *,
        note: Callable[[Any], str] | None = None,
        ticket: Ticket | None = None,
    ) -> Reply:
        """Resolve, validate, check the account, ask the policy, charge the budget, write the journal, send, record: in
        that order.

        ``arguments`` is a mapping, or MessagePack of one. Local files in it are inlined or uploaded once the call is
        allowed; ``note`` makes of the answer a word for the log; ``ticket`` is its place in the journal of the run.
        Raises a `KosmoError` that names the function.
        """
        return self._carry_out(resolve(function), arguments, account, note, ticket)

    def open(self, operation: Operation, arguments: Mapping[str, Any], account: str = "") -> Opened:
        """Begin to fetch what is at a URL, on the same road. ``operation`` is one of `catalogue.TRANSFERS`.

        A dry run decides and records it, and raises `NothingFetchedError`.
        """
        found = self._carry_out(operation, arguments, account, None).data
        if self._dry_run:
            raise NothingFetchedError(found)
        opened: Opened = found
        return opened

    def _carry_out(
        self,
        operation: Operation,
        arguments: Mapping[str, Any] | bytes,
        account: str,
        note: Callable[[Any], str] | None,
        ticket: Ticket | None = None,
    ) -> Reply:
        entry = Entry(operation.name, account or self._account, operation.access, time.time())
        validated = data = failure = None
        try:
            if self.run.files and operation.name == "create_file":
                arguments = _with_content(arguments, self.run.files)
            validated = structs.decode_arguments(operation, arguments)
            client = self._client(entry.account)
            if operation in catalogue.TRANSFERS:
                client.check_place(operation, validated)
            given = _given(validated) if self._looks or ticket or operation.access == "write" else {}
            self._permit(operation, validated, given, entry)
            sent = self._uploads.replaced(validated, entry.account, dry_run=self._dry_run)
            data = self._send(client, operation, sent, given, entry, ticket=ticket)
            if self.made.wanted:
                self._afterwards(self.made.note, operation, sent, entry.account, data)
            if note:
                entry.note = "; ".join(filter(None, (entry.note, self._afterwards(note, data))))
            return Reply(data, entry)
        except KosmoError as error:
            failure = _blamed(entry, error)
            raise
        except Exception as error:
            failure = _blamed(entry, self._unforeseen(error, operation.name))
            raise failure from error
        except KeyboardInterrupt:
            entry.code = "interrupted"
            raise
        finally:
            self._record(entry)
            if self.watcher:
                given = _given(validated) if validated else {}
                shown = None if operation.secret or operation in catalogue.TRANSFERS else data
                self._afterwards(self.watcher.ended, entry, operation, given, shown, failure)

    def reveals(self, text: str) -> bool:
        """Whether a token of this session stands in the text."""
        return any(client.reveals(text) for client in self._clients.values())

    def fetch(self, url: str, limit: int, account: str = "") -> bytes:
        """The bytes of an output. Raises as `open` does, and a `UsageError` for more than ``limit`` of them."""
        opened, content = self.open(catalogue.DOWNLOAD, {"url": url}, account), bytearray()
        until = time.monotonic() + FETCH_SECONDS
        try:
            for piece in opened:
                content += piece
                if len(content) > limit:
                    raise UsageError(f"the output has more than {limit} bytes; it is not taken")
                if time.monotonic() > until:
                    raise UsageError(f"the output takes more than {FETCH_SECONDS:.0f} s to come; it is not taken")
        finally:
            opened.close()
        return bytes(content)

    @property
    def budget(self) -> Budget:
        """What the run may spend, and has spent."""
        return self.spending.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self.spending.budget = budget

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def dry_run(self) -> bool:
        """Whether nothing is sent."""
        return self._dry_run

    def base_url(self, account: str = "") -> str:
        """Where the account's API is; page links must lie there."""
        return self._client(account or self._account).base_url

    def account_of(self, account: str) -> str:
        """The account that is meant: the one named, or the session's own."""
        return account or self._account

    def lets_through(self, function: str, arguments: Mapping[str, Any], account: str = "") -> bool:
        """Whether the call would be sent with no question asked, and off nobody's budget: fit for a look ahead."""
        call = Call(resolve(function), account or self._account, arguments, self.run.script is not None)
        free = self.budget.caps.calls is None and not self._dry_run and self.run.needs is None
        return free and decide(self._policy, call).verdict == "allow"

    def ask_again(self) -> None:
        """Forget what was refused: at a prompt, a no is for the input that asked."""
        with self._asking:
            self._answered = {key: allowed for key, allowed in self._answered.items() if allowed}

    def under_way(self) -> list[Entry]:
        """The writes that were sent and are not answered yet."""
        return list(self._writing.values())

    def adopt(self, sent: Sent, data: Mapping[str, Any]) -> bool:
        """Take what a list shows for the answer to a creation; False where its answer came meanwhile, or where it
        answers another.
        """
        if self.budget.knows(data["id"]) or not self.creations.end(sent):
            return False
        self._afterwards(self.spending.settle, sent.job, data, False)
        return True

    def reclaim(self, function: str, given: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        """Take what a list shows for the answer to a creation that was lost, in this run or an earlier one. False
        where it answers another.
        """
        identifier = data.get("id")
        if not isinstance(identifier, str) or self.budget.knows(identifier):
            return False
        sent = self.creations.like(resolve(function), given)
        return self.adopt(sent, data) if sent else True

    def cancel_running(self, *, besides: Collection[tuple[str, str, str]] = ()) -> list[tuple[str, str]]:
        """Cancel what this session has started and nobody has seen end, ``besides`` these. What could not be, with the
        reason.

        These calls are the operator's own: neither policy nor budget stands in their way, and the log has them.
        """
        left = []
        for kind, identifier, account in (each for each in self.budget.running() if each not in besides):
            operation = resolve(f"cancel_{kind}")
            entry = Entry(operation.name, account, operation.access, time.time(), "allow", "--cancel-on-exit", "flag")
            data = failure = None
            try:
                arguments = structs.decode_arguments(operation, {f"{kind}_id": identifier})
                data = self._send(self._client(account), operation, arguments, {}, entry, free=True)
            except Exception as error:  # noqa: BLE001 - the others are canceled all the same
                failure = _blamed(entry, self._unforeseen(error, operation.name))
                left.append((identifier, failure.message))
            finally:
                self._record(entry)
                if self.watcher:
                    self._afterwards(self.watcher.ended, entry, operation, {}, data, failure)
        return left

    def failed(self, function: str, account: str, error: BaseException) -> KosmoError:
        """Record what went wrong beside the calls, in a service for example; gives it as a `KosmoError`."""
        failure = self._unforeseen(error, function)
        entry = Entry(function, account or self._account, "read", time.time())
        _blamed(entry, failure)
        self._record(entry)
        return failure

    def _unforeseen(self, error: BaseException, function: str) -> KosmoError:
        """What an exception stands for. Its text is not ours, and is dropped where it holds the token."""
        failure = failure_of(error, function)
        if failure is not error and self.reveals(f"{failure.message} {failure.detail}"):
            hidden = f"{function}: {type(error).__name__}, whose text holds a token and is not shown"
            return InternalError(hidden, hint=failure.hint)
        return failure

    def abandon(self) -> None:
        """In a forked process: let go of what is the parent's. Not for use again."""
        if self._audit:
            self._audit.abandon()

    def close(self) -> None:
        for client in self._clients.values() if not self._lent else ():
            client.close()
        self._clients.clear()
        self.spending.close()
        if self._audit:
            self._audit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(self, account: str) -> Client:
        client = self._clients.get(account)
        if client is None:
            with self._lock:
                client = self._clients.get(account)
                if client is None:
                    client = self._clients[account] = self._connect(account)
        return client

    def _permit(self, operation: Operation, arguments: Struct, given: Mapping[str, Any], entry: Entry) -> None:
        call = Call(operation, entry.account, given, self.run.script is not None, complete=True)
        entry.by = "policy"
        if self.run.needs:
            self._hold_to(self.run.needs, call, entry)
        decision = decide(self._policy, call)
        entry.decision, entry.rule = decision.verdict, decision.rule
        if decision.verdict == "ask" and not self._force:
            self._ask(operation, arguments, entry)
        elif decision.verdict == "deny" and not self._force:
            entry.outcome = "refused"
            raise denied(operation, decision)
        elif decision.verdict != "allow":
            entry.decision, entry.by = "allow", "force"
        why = self.spending.objection(operation, given, entry.account)
        if why:
            entry.decision, entry.rule = "ask", why
            self._ask(operation, arguments, entry, topic=f"price of {subject_of(given)}")

    def _hold_to(self, needs: Needs, call: Call, entry: Entry) -> None:
        try:
            needs.check(call)
        except PermissionDeniedError:
            entry.decision, entry.rule, entry.outcome = "deny", "the script's own header", "refused"
            raise

    def _ask(self, operation: Operation, arguments: Struct, entry: Entry, topic: str = "") -> None:
        if self._dry_run:
            return
        key = f"{entry.account} {operation.name} {topic}"
        with self._asking:
            allowed = self._answered.get(key)
            if allowed is None:
                allowed = self._put_question(operation, arguments, entry, key, topic)
        entry.by = "person"
        entry.decision = "allow" if allowed else "deny"
        if not allowed:
            entry.outcome = "refused"
            raise _refused(operation)

    def _put_question(self, operation: Operation, arguments: Struct, entry: Entry, key: str, topic: str) -> bool:
        given = _given(arguments)
        rule = None if topic or not self._remember else narrow_rule(operation, given, entry.account)
        question = Question(operation.name, entry.account, operation.access, given, self.run.script, entry.rule, rule)
        answer = self._asked(question, entry)
        if answer is None:
            entry.outcome = "refused"
            raise _unpriced(operation, entry.rule) if topic else _unasked(operation, entry.rule)
        if answer == "always" and rule and self._remember:
            self._remember(rule)
        if answer != "once":
            self._answered[key] = answer != "no"
        return answer != "no"

    def _asked(self, question: Question, entry: Entry) -> Word | None:
        """The prompter's answer. Its own faults refuse the call, and are kept for whoever wrote it."""
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

    def _check_running(self, *, free: bool) -> None:
        """Raise why the run that calls has ended, if it has: a question may have been open for long."""
        stop = None if free else self._stop()
        if stop:
            stop.check()

    def _send(
        self,
        client: Client,
        operation: Operation,
        arguments: Struct,
        given: Mapping[str, Any],
        entry: Entry,
        *,
        free: bool = False,
        ticket: Ticket | None = None,
    ) -> Any:
        if self._dry_run:
            entry.outcome = "dry_run"
            return client.describe(operation, arguments)
        self._check_running(free=free)
        job = None if free else self.spending.reserve(operation, given, entry.account)
        entry.estimate = job.estimate if job else None
        sent = self._note_write(operation, arguments, entry, job, ticket) if operation.access == "write" else None
        if self.watcher:
            self._afterwards(self.watcher.begins, entry, operation)
        began = time.perf_counter()
        try:
            answer: Any
            if ticket:
                answer = self._send_noted(client, operation, arguments, given, entry, ticket)
            else:
                answer = (client.open if operation in catalogue.TRANSFERS else client.send)(operation, arguments)
        except Exception as raised:
            error = self._unforeseen(raised, operation.name)
            self._settle(entry, job, None, refused=_not_taken(error))
            entry.estimate = None if _not_taken(error) else entry.estimate
            self.creations.lose(sent, certain=_not_taken(error))
            if ticket:
                ticket.unsure = operation.access == "write" and not _not_taken(error)
                ticket.sent = ticket.sent and not isinstance(error, ArgumentError)
            _explain_absence(error, operation, arguments)
            if error is raised:
                raise
            raise error from raised
        finally:
            self._writing.pop(id(entry), None)
            entry.duration_ms = round((time.perf_counter() - began) * 1000, 3)
            if job:
                job.in_flight = False
        self.creations.lose(sent, certain=sent is None or _is_named(answer.data))
        entry.outcome, entry.status = "ok", answer.status
        if operation in catalogue.TRANSFERS:
            answer.on_token = lambda: self._note_token(entry)
            return answer
        self._settle(entry, job, answer.data)
        entry.request_id, entry.note = answer.request_id, answer.note
        return answer.data

    def _note_write(
        self, operation: Operation, arguments: Struct, entry: Entry, job: Job | None, ticket: Ticket | None
    ) -> Sent | None:
        """Keep in mind what is about to be sent, until it is known what came of it."""
        self._writing[id(entry)] = entry
        if job is None:
            return None
        return self.creations.begin(Sent(operation, arguments, entry.account, time.time(), job, ticket))

    def _settle(self, entry: Entry, job: Job | None, data: Any, *, refused: bool = False) -> None:
        ended = self._afterwards(self.spending.settle, job, data, refused)
        if ended:
            entry.cost = cost_of(ended)

    def _look_at(self, kind: str, identifier: str, account: str) -> Any:
        """Get a prediction or training for the budget's sake, before a call is refused for what is not known of it."""
        operation = resolve(f"get_{kind}")
        entry = Entry(
            operation.name, account, operation.access, time.time(), "allow", "looked before refusing", "budget"
        )
        began = time.perf_counter()
        try:
            client = self._client(account)
            answer = client.send(operation, structs.decode_arguments(operation, {f"{kind}_id": identifier}))
            entry.outcome, entry.status, entry.request_id = "ok", answer.status, answer.request_id
        except Exception as error:
            _blamed(entry, self._unforeseen(error, operation.name))
            raise
        finally:
            entry.duration_ms = round((time.perf_counter() - began) * 1000, 3)
            self._record(entry)
        if self.watcher:
            self._afterwards(self.watcher.ended, entry, operation, {}, answer.data, None)
        return answer.data

    def _pause(self, account: str, seconds: float) -> None:
        self._client(account).pause(seconds)

    def _afterwards(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Do what follows an answer, or a call that failed. What it raises is kept and costs neither."""
        try:
            return action(*arguments)
        except Exception as error:  # noqa: BLE001 - whoever opened the session raises it
            self.raised = self.raised or error

    def _send_noted(
        self,
        client: Client,
        operation: Operation,
        arguments: Struct,
        given: Mapping[str, Any],
        entry: Entry,
        ticket: Ticket,
    ) -> Answer:
        """Write the journal, and send. What an earlier run may have sent already is looked for first."""
        if operation.access == "read":
            ticket.send(operation, given)
            return client.send(operation, arguments)
        with ticket.turn():
            found = self._done_before(client, operation, given, entry, ticket) if ticket.open else None
            if found:
                return found
            ticket.send(operation, given)
            answer = client.send(operation, arguments)
            identifier = answer.data.get("id") if isinstance(answer.data, dict) else None
            if operation.proof and operation.proof.how == "listed" and isinstance(identifier, str):
                ticket.claim(identifier)
            return answer

    def _done_before(
        self, client: Client, operation: Operation, given: Mapping[str, Any], entry: Entry, ticket: Ticket
    ) -> Answer | None:
        """What an earlier attempt gave, where there was one that the API took."""
        from kosmolua.replicate.answers import Answer

        read = self.reader(entry.account, "journal")
        found = ticket.find(read, client.base_url, operation, given)
        if found is None:
            return None
        ticket.adopt(operation, given)
        entry.rule = f"{entry.rule}; it was done before the run ended"
        if isinstance(found.data, dict) and isinstance(found.data.get("id"), str):
            ticket.claim(found.data["id"])
        return Answer(200, found.data, "", None)

    def _note_token(self, entry: Entry) -> None:
        """Say that the token was in what came; the record of the call was written before that."""
        if not entry.note:
            entry.note = redact.NOTE
            if self._audit:
                self._audit.write(entry)

    def reader(self, account: str, by: str) -> Callable[[str, Mapping[str, Any]], Answer]:
        """Reads for the host's own purposes, past policy and budget: they look for what a call of this session did."""
        client = self._client(account)

        def read(function: str, arguments: Mapping[str, Any]) -> Answer:
            looked = resolve(function)
            entry = Entry(looked.name, account, looked.access, time.time(), "allow", "looked for", by)
            try:
                answer = client.send(looked, structs.decode_arguments(looked, arguments))
                entry.outcome, entry.status, entry.request_id = "ok", answer.status, answer.request_id
                entry.note = answer.note
            except Exception as error:
                _blamed(entry, self._unforeseen(error, looked.name))
                raise
            finally:
                self._record(entry)
            return answer

        return read

    def _record(self, entry: Entry) -> None:
        if len(self.log) < MAX_LOG:
            self.log.append(entry)
        else:
            self.unlogged += 1
        for told in self._told:
            self._afterwards(told, entry)


def _blamed(entry: Entry, error: KosmoError) -> KosmoError:
    """The error, which names its function; the entry says how the call ended."""
    entry.code = error.code
    entry.status = getattr(error, "status", None)
    entry.request_id = getattr(error, "request_id", None)
    entry.note = error.note or entry.note
    error.function = error.function or entry.function
    return error


def _given(arguments: Struct) -> dict[str, Any]:
    """The arguments that are set."""
    shown = msgspec.structs.asdict(arguments)
    return {name: value for name, value in shown.items() if value is not msgspec.UNSET}


def _not_taken(error: KosmoError) -> bool:
    """Whether it is certain that the API did not do what was asked."""
    if isinstance(error, ApiError):
        return error.status < 500  # noqa: PLR2004 - beyond it is the server's fault, whatever it did before
    return not isinstance(error, UncertainError | InternalError | SystemFailureError)


def _explain_absence(error: KosmoError, operation: Operation, arguments: Struct) -> None:
    """Say what is most likely about something that is not there."""
    if operation is catalogue.DOWNLOAD and getattr(error, "status", None) in _GONE:
        error.message += "; Replicate removes outputs an hour after they were made, so this one has probably expired"
        error.args = (error.message,)
        error.hint = "save outputs in the script that makes them, with download(output, path); run the model again"
    elif error.code == "not_found" and (subject := _subject(operation, arguments)):
        error.hint = f"check the spelling of {subject}, and that the account may see it"


_GONE = (404, 410)


def _is_named(data: Any) -> bool:
    """Whether the answer to a creation says what was created."""
    return isinstance(data, Mapping) and isinstance(data.get("id"), str)


def _with_content(arguments: Mapping[str, Any] | bytes, files: Files) -> Mapping[str, Any] | bytes:
    """The arguments of create_file with the content of the file that a script names by its ``path``."""
    try:
        found = msgspec.msgpack.decode(arguments) if isinstance(arguments, bytes) else arguments
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return arguments  # what is wrong with them is told where they are checked
    if not isinstance(found, Mapping) or not isinstance(found.get("path"), str):
        return arguments
    rest = {name: value for name, value in found.items() if name != "path"}
    if rest.get("content") is not None:
        raise ArgumentError("create_file: both `path` and `content` are given; one is sent", function="create_file")
    return {"filename": os.path.basename(found["path"]), **rest, "content": files.read(found["path"])}


def resolve(function: str) -> Operation:
    """The operation of that name, under any of its names. Raises a `UsageError` with the nearest ones."""
    if not isinstance(function, str):
        raise UsageError(f"expected the name of a function, got {type(function).__name__}", code="unknown_function")
    operation = catalogue.find(function)
    if operation:
        return operation
    from difflib import get_close_matches

    name = function.removeprefix("replicate.").removeprefix("replicate_")
    near = get_close_matches(name, [operation.name for operation in catalogue.OPERATIONS], n=3, cutoff=0.6)
    called = "what looks like a token" if looks_like_token(function) else repr(function[:100])
    raise UsageError(
        f"no function is called {called}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        code="unknown_function",
        hint="see them all: kosmo integrations:replicate",
    )


def _subject(operation: Operation, arguments: Struct) -> str:
    """What the path of a request names, as one writes it: owner/name, or an id. What may be a token is not told."""
    names = re.findall(r"{(\w+)}", operation.path)
    subject = "/".join(str(getattr(arguments, name, "")) for name in names)
    return "" if looks_like_token(subject) else structs.short(subject)


def denied(operation: Operation, decision: Decision) -> PermissionDeniedError:
    """The refusal of a call that the policy denies."""
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


def _unpriced(operation: Operation, rule: str) -> PermissionDeniedError:
    error = _unasked(operation, rule)
    error.hint = "enter its price in config.toml, as kosmo integrations:docs budgets shows, or bound something else"
    if not starts_compute(operation):
        error.hint = "set min_instances to 0, or run it on a terminal to be asked"
    return error


def _how_to_allow(operation: Operation) -> str:
    always = f"kosmo integrations:configure {catalogue.PROVIDER} --{operation.access} allow"
    return f"allow it for this command: --{operation.access} allow, or for good: {always}"
