"""Calls that the host makes on behalf of a run: policy, header and budget do not apply, but the calls are recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kosmolua.errors import KosmoError
from kosmolua.gate.entry import Entry
from kosmolua.gate.failures import Failures, blamed
from kosmolua.gate.functions import resolve
from kosmolua.gate.record import Record
from kosmolua.gate.run import Watcher
from kosmolua.replicate import catalogue, structs

if TYPE_CHECKING:
    from kosmolua.gate.sender import Reader, Sender
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.client import Client
    from kosmolua.replicate.transfer import Opened


class HostCalls:
    """The host's own calls of one session. ``client`` returns the client of an account."""

    def __init__(
        self,
        client: Callable[[str], Client],
        sender: Callable[[], Sender],
        record: Record,
        failures: Failures,
        watcher: Watcher | None,
    ) -> None:
        self._client = client
        self._sender = sender
        self._record = record
        self._failures = failures
        self._watcher = watcher

    def cancel(self, kind: str, identifier: str, account: str, rule: str = "--cancel-on-exit") -> KosmoError | None:
        """Cancel a prediction or training for the operator. Returns the error if that fails."""
        operation = resolve(f"cancel_{kind}")
        entry = Entry(operation.name, account, operation.access, time.time(), "allow", rule, "flag")
        data = failure = None
        try:
            arguments = structs.decode_arguments(operation, {f"{kind}_id": identifier})
            data = self._sender().send(self._client(account), operation, arguments, {}, entry, free=True)
        except Exception as error:  # noqa: BLE001 - returned
            failure = blamed(entry, self._failures.of(error, operation.name))
        finally:
            self._record.add(entry)
            if self._watcher:
                self._record.afterwards(self._watcher.ended, entry, operation, {}, data, failure)
        return failure

    def open_to_keep(self, url: str, account: str, part: Mapping[str, str]) -> Opened:
        """Open the transfer of an output for the journal."""
        operation = catalogue.DOWNLOAD
        entry = Entry(operation.name, account, operation.access, time.time(), "allow", "kept for the run", "journal")
        opened: Opened
        try:
            arguments = structs.decode_arguments(operation, {"url": url, **part})
            client = self._client(account)
            client.check_place(operation, arguments)
            opened = self._sender().send(client, operation, arguments, {}, entry, free=True)
        except Exception as error:
            failure = blamed(entry, self._failures.of(error, operation.name))
            if failure is error:
                raise
            raise failure from error
        finally:
            self._record.add(entry)
        return opened

    def look_at(self, kind: str, identifier: str, account: str) -> Any:
        """Read a prediction or training to replace an estimate in the budget, before a call is refused."""
        operation = resolve(f"get_{kind}")
        entry = Entry(
            operation.name, account, operation.access, time.time(), "allow", "read before a refusal", "budget"
        )
        began = time.perf_counter()
        try:
            client = self._client(account)
            answer = client.send(operation, structs.decode_arguments(operation, {f"{kind}_id": identifier}))
            entry.outcome, entry.status, entry.request_id = "ok", answer.status, answer.request_id
        except Exception as error:
            blamed(entry, self._failures.of(error, operation.name))
            raise
        finally:
            entry.duration_ms = round((time.perf_counter() - began) * 1000, 3)
            self._record.add(entry)
        if self._watcher:
            self._record.afterwards(self._watcher.ended, entry, operation, {}, answer.data, None)
        return answer.data

    def reader(self, account: str, by: str) -> Reader:
        """A function for the reads that search for the results of this session's calls."""
        client = self._client(account)

        def read(function: str, arguments: Mapping[str, Any]) -> Answer:
            looked = resolve(function)
            entry = Entry(looked.name, account, looked.access, time.time(), "allow", "looked for", by)
            try:
                answer = client.send(looked, structs.decode_arguments(looked, arguments))
                entry.outcome, entry.status, entry.request_id = "ok", answer.status, answer.request_id
                entry.note = answer.note
            except Exception as error:
                blamed(entry, self._failures.of(error, looked.name))
                raise
            finally:
                self._record.add(entry)
            return answer

        return read
