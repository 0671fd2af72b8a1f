"""The only path to the network. Lua, the command line and all other callers use `Session`; nothing else reaches the
HTTP client.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from kosmolua.errors import KosmoError, UsageError
from kosmolua.gate.budget import Budget
from kosmolua.gate.conversions import Conversions
from kosmolua.gate.entry import Entry
from kosmolua.gate.failures import Failures, blamed
from kosmolua.gate.functions import given_of, resolve, with_content
from kosmolua.gate.host_calls import HostCalls
from kosmolua.gate.kept import KeptOutputs, with_kept
from kosmolua.gate.lost import Creations, Sent
from kosmolua.gate.origins import Origins
from kosmolua.gate.permission import Permission
from kosmolua.gate.policy import Call, Policy, decide
from kosmolua.gate.prompt import Nobody, Prompter
from kosmolua.gate.question import Stopping
from kosmolua.gate.record import Record
from kosmolua.gate.run import Reply, Run, Ticket, Watcher
from kosmolua.gate.sender import Sender
from kosmolua.gate.spending import PersistentBudgets, Spending
from kosmolua.gate.uploads import Uploads
from kosmolua.gate.webhooks import with_webhook
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.catalogue import CUSTOM, Operation
from kosmolua.replicate.ids import id_of
from kosmolua.settings.config import DEFAULT_ACCOUNT, Rule

if TYPE_CHECKING:
    from msgspec import Struct

    from kosmolua.gate.approval import Asking
    from kosmolua.gate.audit import Audit
    from kosmolua.gate.custom import Custom
    from kosmolua.replicate.client import Client
    from kosmolua.replicate.transfer import Opened

FETCH_SECONDS = 60.0  # maximum seconds to fetch a picture


class NothingFetchedError(UsageError):
    """A dry run fetches nothing. ``request`` is the request that was not sent, as plain data."""

    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__("nothing is fetched in a dry run", hint="omit --dry-run")
        self.request = request


class Session:
    """Calls functions of the API, each through the gate. Thread-safe.

    ``connect`` returns the client of an account; it is called once per account and raises a `ConfigurationError` if the
    account is not configured. ``lent`` clients are not closed. ``force`` bypasses only the policy. ``persistent`` has
    the persistent budgets. ``remember`` saves a rule if a person answers "always". ``on_call`` gets the entry of each
    ended call; a ``watcher`` also sees arguments and answers. ``stop`` returns the stop signal of this thread's run.

    Errors of a call are raised as `KosmoError`. An exception after the answer, for example in a callback, does not
    discard the answer: the first such exception is kept in ``raised``. ``customs`` are the host's own functions by
    name. With ``asking``, calls that need approval wait for it. ``webhook`` gives the URL that the API calls when a
    prediction or training of an account has ended.
    """

    def __init__(  # noqa: PLR0913 - independent parts; most callers need few of them
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
        persistent: PersistentBudgets | None = None,
        stop: Callable[[], Stopping | None] = lambda: None,
        customs: Mapping[str, Custom] = MappingProxyType({}),
        asking: Asking | None = None,
        webhook: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._webhook, self.customs, self.watcher = webhook, customs, watcher
        self.run = run or Run()
        self.record = Record((audit.write if audit else None, on_call))
        self.spending = Spending(budget or Budget(), persistent, look=self._look_at, pause=self._pause)
        self.creations, self.conversions = Creations(), Conversions()
        self._connect, self._account, self._audit = connect, account, audit
        self._force, self._dry_run, self._lent = force, dry_run, lent
        self._lock = threading.Lock()
        self._clients: dict[str, Client] = {}
        self._waits = asking is not None
        self._uploads = Uploads(self.run.files, lambda given, account: self.call("create_file", given, account).data)
        self.origins = Origins(self._uploads.described)
        self._failures = Failures(self.reveals)
        self._permission = Permission(
            policy,
            prompter or Nobody(),
            run=self.run,
            spending=self.spending,
            force=force,
            dry_run=dry_run,
            remember=remember,
            stop=stop,
            asking=asking,
            masked=self._masked,
        )
        self.host_calls = HostCalls(self._client, lambda: self._sender, self.record, self._failures, watcher)
        self._sender = Sender(
            self.spending,
            self.creations,
            self.record,
            self._failures,
            reader=self.host_calls.reader,
            audit=audit,
            watcher=watcher,
            dry_run=dry_run,
            stop=stop,
        )

    def call(
        self,
        function: str,
        arguments: Mapping[str, Any] | bytes,
        account: str = "",
        *,
        note: Callable[[Any], str] | None = None,
        ticket: Ticket | None = None,
    ) -> Reply:
        """Resolve, validate, check the account, apply the policy, reserve budget, write the journal, send, record: in
        this order.

        ``arguments`` is a mapping, or MessagePack of one. Local files in it are inlined or uploaded once the call is
        allowed. ``note`` makes a note for the log from the answer; ``ticket`` is the call's place in the journal.
        Raises a `KosmoError` that names the function.
        """
        custom = self.custom(function)
        operation = custom.operation if custom else resolve(function)
        return self._carry_out(operation, arguments, account, note, ticket, custom=custom)

    def custom(self, function: str) -> Custom | None:
        """The host's own function of that name; None for a name without the prefix of such functions. Raises a
        `UsageError` if it does not exist.
        """
        if not isinstance(function, str) or not function.startswith(CUSTOM):
            return None
        found = self.customs.get(function)
        if found is None:
            from kosmolua.gate.custom import unknown

            raise unknown(function, self.customs)
        return found

    def open(self, operation: Operation, arguments: Mapping[str, Any], account: str = "") -> Opened:
        """Open a transfer from a URL, through the gate. ``operation`` is one of `catalogue.TRANSFERS`.

        A dry run decides and records, then raises `NothingFetchedError`.
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
        *,
        custom: Custom | None = None,
    ) -> Reply:
        entry = Entry(operation.name, account or self._account, operation.access, time.time())
        validated = data = failure = None
        try:
            validated = custom.decoded(arguments) if custom else self._validated(operation, arguments, entry.account)
            client: Any = custom.client if custom else self._client(entry.account)
            if operation in catalogue.TRANSFERS:
                client.check_place(operation, validated)
            given = given_of(validated) if self._permission.looks or ticket or operation.access == "write" else {}
            sent = self._uploads.pinned(validated) if self._waits and custom is None else validated
            self._permission.check(operation, sent, given, entry)
            if custom is None:
                sent = self._uploads.replaced(sent, entry.account, dry_run=self._dry_run)
                if operation.starts:
                    sent = with_webhook(sent, self._webhook(entry.account))
            data = self._sender.send(client, operation, sent, given, entry, ticket=ticket)
            if custom is None:
                self.record.afterwards(self._take_note, operation, sent, entry.account, data)
            if note:
                entry.note = "; ".join(filter(None, (entry.note, self.record.afterwards(note, data))))
            return Reply(data, entry)
        except KosmoError as error:
            failure = blamed(entry, error)
            raise
        except Exception as error:
            failure = blamed(entry, self._failures.of(error, operation.name))
            raise failure from error
        except KeyboardInterrupt:
            entry.code = "interrupted"
            raise
        finally:
            self.conversions.add_note(entry, validated)
            self.record.add(entry)
            if self.watcher:
                given = given_of(validated) if validated else {}
                shown = None if operation.secret or operation in catalogue.TRANSFERS else data
                self.record.afterwards(self.watcher.ended, entry, operation, given, shown, failure)
            failure = None  # its traceback holds this frame: the cycle would keep the whole run in memory

    def _validated(self, operation: Operation, arguments: Mapping[str, Any] | bytes, account: str) -> Struct:
        if operation.name == "create_file":
            arguments = with_content(arguments, self.run.files)
        validated = structs.decode_arguments(operation, arguments)
        if operation.creates and self.kept and self.kept.keeps:
            return with_kept(validated, account, self.kept)
        return validated

    def _take_note(self, operation: Operation, sent: Struct, account: str, data: Any) -> None:
        """Pass an answer to the output keeper and to the origins."""
        kept = self._sender.kept
        if kept:
            self.record.afterwards(kept.note, operation, account, data)
        if self.origins.wanted:
            self.origins.note(operation, sent, account, data)

    def _masked(self, value: Any) -> Any:
        """Plain data without the tokens and secret headers of this session."""
        for client in list(self._clients.values()):
            value = client.masked(value)
        return value

    def reveals(self, text: str) -> bool:
        """Whether the text contains a token of this session."""
        return any(client.reveals(text) for client in self._clients.values())

    def fetch(self, url: str, limit: int, account: str = "") -> bytes:
        """The bytes of an output. Raises what `open` raises, and a `UsageError` for more than ``limit`` bytes."""
        opened, content = self.open(catalogue.DOWNLOAD, {"url": url}, account), bytearray()
        until = time.monotonic() + FETCH_SECONDS
        try:
            for piece in opened:
                content += piece
                if len(content) > limit:
                    raise UsageError(f"the output is larger than {limit} bytes")
                if time.monotonic() > until:
                    raise UsageError(f"fetching the output took more than {FETCH_SECONDS:.0f} s")
        finally:
            opened.close()
        return bytes(content)

    @property
    def log(self) -> list[Entry]:
        """The first calls of this session, up to `kosmolua.gate.record.MAX_LOG`."""
        return self.record.log

    @log.setter
    def log(self, log: list[Entry]) -> None:
        self.record.log = log

    @property
    def unlogged(self) -> int:
        """How many calls are not in the log."""
        return self.record.unlogged

    @property
    def raised(self) -> Exception | None:
        """The first exception of a callback; the owner of the session raises it and resets this to None."""
        return self.record.raised

    @raised.setter
    def raised(self, raised: Exception | None) -> None:
        self.record.raised = raised

    @property
    def kept(self) -> KeptOutputs | None:
        """The kept outputs of the run, if any."""
        return self._sender.kept

    @kept.setter
    def kept(self, kept: KeptOutputs | None) -> None:
        self._sender.kept = kept

    @property
    def fault(self) -> Exception | None:
        """The first error of the prompter."""
        return self._permission.fault

    @property
    def budget(self) -> Budget:
        """The caps and the spending of the run."""
        return self.spending.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self.spending.budget = budget

    @property
    def policy(self) -> Policy:
        return self._permission.policy

    @property
    def dry_run(self) -> bool:
        """Whether nothing is sent."""
        return self._dry_run

    def base_url(self, account: str = "") -> str:
        """The base URL of the account's API; page links must be below it."""
        return self._client(account or self._account).base_url

    def account_of(self, account: str) -> str:
        """The given account, or the session's default."""
        return account or self._account

    def lets_through(self, function: str, arguments: Mapping[str, Any], account: str = "") -> bool:
        """Whether the call would be sent without a question and without a calls cap: suitable for prefetching."""
        call = Call(resolve(function), account or self._account, arguments, self.run.script is not None)
        free = self.budget.caps.calls is None and not self._dry_run and self.run.needs is None
        return free and decide(self.policy, call).verdict == "allow"

    def may_read(self, function: str, arguments: Mapping[str, Any], account: str = "") -> bool:
        """Whether the policy allows a read without a question."""
        call = Call(resolve(function), account or self._account, arguments, self.run.script is not None)
        return not self._dry_run and (self._force or decide(self.policy, call).verdict == "allow")

    def ask_again(self) -> None:
        """Forget refusals: at a prompt, a "no" applies only to the input that asked."""
        self._permission.ask_again()

    def unanswered_writes(self) -> list[Entry]:
        """The sent writes that have no answer yet."""
        return list(self._sender.writing.values())

    def adopt(self, sent: Sent, data: Mapping[str, Any]) -> bool:
        """Accept an item of a list as the answer to a creation. False if the answer arrived meanwhile, or if the item
        belongs to another call.
        """
        if self.budget.knows(data["id"]) or not self.creations.end(sent):
            return False
        self.record.afterwards(self.spending.settle, sent.job, data, False)
        return True

    def reclaim(self, function: str, given: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        """Accept an item of a list as the answer to a lost creation of this run or an earlier one. False if it belongs
        to another call.
        """
        identifier = id_of(data)
        if identifier is None or self.budget.knows(identifier):
            return False
        sent = self.creations.like(resolve(function), given)
        return self.adopt(sent, data) if sent else True

    def cancel_running(self, *, besides: Collection[tuple[str, str, str]] = ()) -> list[tuple[str, str]]:
        """Cancel this session's jobs that are not known to have ended, except ``besides``. Returns id and reason of
        those that could not be canceled.

        The operator makes these calls: policy and budget do not apply, but the log has them.
        """
        left = []
        for kind, identifier, account in (each for each in self.budget.running() if each not in besides):
            failure = self.host_calls.cancel(kind, identifier, account)
            left += [(identifier, failure.message)] if failure else []
        return left

    def may_keep(self, url: str, account: str) -> bool:
        """Whether the policy allows fetching an output without a question."""
        call = Call(catalogue.DOWNLOAD, account, {"url": url}, self.run.script is not None, complete=True)
        return self._force or decide(self.policy, call).verdict == "allow"

    def failed(self, function: str, account: str, error: BaseException) -> KosmoError:
        """Record an error outside of a call, such as in a service. Returns it as a `KosmoError`."""
        failure = self._failures.of(error, function)
        entry = Entry(function, account or self._account, "read", time.time())
        blamed(entry, failure)
        self.record.add(entry)
        return failure

    def abandon(self) -> None:
        """Release the parent's resources in a forked process. The session cannot be used afterwards."""
        if self._audit:
            self._audit.abandon()

    def close(self) -> None:
        with ExitStack() as closing:  # everything is closed, even if one step fails
            if self._audit:
                closing.callback(self._audit.close)
            closing.callback(self.spending.close)
            for client in self._clients.values() if not self._lent else ():
                closing.callback(client.close)
        self._clients.clear()

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

    def _look_at(self, kind: str, identifier: str, account: str) -> Any:
        return self.host_calls.look_at(kind, identifier, account)

    def _pause(self, account: str, seconds: float) -> None:
        self._client(account).pause(seconds)
