"""Sends an allowed call: reserves budget, writes the journal, sends, and settles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.errors import ArgumentError
from kosmolua.gate.entry import Entry
from kosmolua.gate.failures import Failures, explain_absence, explain_doubt, not_taken
from kosmolua.gate.jobs import Job, cost_of
from kosmolua.gate.kept import KeptOutputs
from kosmolua.gate.lost import Creations, Sent
from kosmolua.gate.question import Stopping
from kosmolua.gate.record import Record
from kosmolua.gate.run import Ticket, Watcher
from kosmolua.gate.spending import Spending
from kosmolua.replicate import catalogue, redact
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.ids import id_of

if TYPE_CHECKING:
    from kosmolua.gate.audit import Audit
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.client import Client

Reader = Callable[[str, Mapping[str, Any]], "Answer"]
"""Calls a function of the API for the host itself."""


class Sender:
    """Sends calls. Thread-safe. ``writing`` are the sent writes without an answer.

    ``kept`` are the kept outputs of the run, if any. ``reader(account, by)`` returns a function for reads that search
    for the results of interrupted calls.
    """

    def __init__(
        self,
        spending: Spending,
        creations: Creations,
        record: Record,
        failures: Failures,
        *,
        reader: Callable[[str, str], Reader],
        audit: Audit | None,
        watcher: Watcher | None,
        dry_run: bool,
        stop: Callable[[], Stopping | None],
    ) -> None:
        self.writing: dict[int, Entry] = {}
        self.kept: KeptOutputs | None = None
        self._spending = spending
        self._creations = creations
        self._record = record
        self._failures = failures
        self._reader = reader
        self._audit = audit
        self._watcher = watcher
        self._dry_run = dry_run
        self._stop = stop

    def send(
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
        later = ticket is not None and not ticket.open  # reserved in the transaction that records the intent
        job = None if free else self._spending.reserve(operation, given, entry.account, ticket, later=later)
        entry.estimate = job.estimate if job else None
        sent = self._note_write(operation, arguments, entry, job, ticket) if operation.access == "write" else None
        if self._watcher:
            self._record.afterwards(self._watcher.begins, entry, operation, given)
        began, error = time.perf_counter(), None
        try:
            answer: Any
            if ticket:
                answer = self._send_noted(client, operation, arguments, given, entry, ticket, job if later else None)
            else:
                answer = self._answer(client, operation, arguments, entry, free=free)
        except Exception as raised:
            error = self._failures.of(raised, operation.name)
            self._record.afterwards(self._settle, entry, job, None, ticket, not_taken(error))
            entry.estimate = None if not_taken(error) else entry.estimate
            self._creations.lose(sent, certain=not_taken(error))
            if ticket:
                ticket.unsure = operation.access == "write" and not not_taken(error)
                ticket.sent = ticket.sent and not isinstance(error, ArgumentError)
            made = self.kept.made(getattr(arguments, "url", "")) if self.kept else None
            explain_absence(error, operation, arguments, made)
            explain_doubt(error, operation, arguments, entry.account)
            if error is raised:
                raise
            raise error from raised
        finally:
            self.writing.pop(id(entry), None)
            entry.duration_ms = round((time.perf_counter() - began) * 1_000_000) / 1000
            if job:
                job.in_flight = False
            error = None  # its traceback holds this frame: the cycle would keep the whole run in memory
        entry.outcome, entry.status = "ok", answer.status
        if sent:
            self._record.afterwards(self._note_creation, sent, answer.data)
        if operation in catalogue.TRANSFERS:
            answer.on_token = lambda: self._note_token(entry)
            return answer
        self._record.afterwards(self._settle, entry, job, answer.data, ticket)
        entry.request_id, entry.note = answer.request_id, answer.note
        return answer.data

    def _answer(self, client: Client, operation: Operation, arguments: Any, entry: Entry, *, free: bool) -> Any:
        """Send the call, or open a transfer; a kept output is read from disk."""
        if operation not in catalogue.TRANSFERS:
            return client.send(operation, arguments)
        if operation is catalogue.DOWNLOAD and self.kept and not free:
            found = self.kept.find(arguments.url, lambda: self._check_running(free=free))
            if found:
                from kosmolua.gate.disk import FromDisk

                entry.note = "read from the outputs kept with the journal"
                return FromDisk(*found)
        return client.open(operation, arguments)

    def _note_write(
        self, operation: Operation, arguments: Struct, entry: Entry, job: Job | None, ticket: Ticket | None
    ) -> Sent | None:
        """Remember a write before it is sent, until its outcome is known."""
        self.writing[id(entry)] = entry
        if job is None:
            return None
        return self._creations.begin(Sent(operation, arguments, entry.account, time.time(), job, ticket))

    def _note_creation(self, sent: Sent, data: Any) -> None:
        """Forget the creation if the id of its object is known; otherwise it is searched for later."""
        self._creations.lose(sent, certain=id_of(data) is not None)

    def _settle(self, entry: Entry, job: Job | None, data: Any, ticket: Ticket | None, refused: bool = False) -> None:
        if job is None and not self._spending.budget.follows:
            return
        ended = self._spending.settle(job, data, refused, ticket)
        if ended:
            entry.cost = cost_of(ended)

    def _check_running(self, *, free: bool) -> None:
        """Raise the stop reason if the run has ended, since a question may have been open for a long time."""
        stop = None if free else self._stop()
        if stop:
            stop.check()

    def _send_noted(
        self,
        client: Client,
        operation: Operation,
        arguments: Struct,
        given: Mapping[str, Any],
        entry: Entry,
        ticket: Ticket,
        job: Job | None,
    ) -> Answer:
        """Write the journal, and send. First search for the result of an interrupted attempt. ``job`` is not reserved
        in persistent budgets yet.
        """
        if operation.access == "read":
            ticket.send(operation, given)
            return client.send(operation, arguments)
        with ticket.turn():
            found = self._find_earlier(client, operation, given, entry, ticket) if ticket.open else None
            if found:
                return found
            self._spending.send(operation, given, entry.account, ticket, job)
            answer = client.send(operation, arguments)
            identifier = id_of(answer.data)
            if operation.proof and operation.proof.how == "listed" and identifier:
                ticket.claim(identifier)
            return answer

    def _find_earlier(
        self, client: Client, operation: Operation, given: Mapping[str, Any], entry: Entry, ticket: Ticket
    ) -> Answer | None:
        """The result of an earlier attempt that the API executed."""
        from kosmolua.replicate.answers import Answer

        read = self._reader(entry.account, "journal")
        while True:
            found = ticket.find(read, client.base_url, operation, given)
            if found is None:
                return None
            identifier = id_of(found.data)
            if identifier is None or ticket.claim(identifier):
                break
        ticket.adopt(operation, given)
        entry.rule = f"{entry.rule}; done by an interrupted attempt"
        return Answer(200, found.data, "", None)

    def _note_token(self, entry: Entry) -> None:
        """Record that the transferred data contained the token; the call's entry was written before."""
        if not entry.note:
            entry.note = redact.NOTE
            if self._audit:
                self._audit.write(entry)
