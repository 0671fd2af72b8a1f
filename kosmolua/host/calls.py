"""The direct calls of a host: calls that its owner makes, rather than a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from kosmolua.errors import ApiError, KosmoError, UsageError, emulated, failure_of
from kosmolua.host.callbacks import of_callback
from kosmolua.host.explained import explained
from kosmolua.host.hints import resolvable
from kosmolua.host.options import HostOptions
from kosmolua.host.runs import Runs
from kosmolua.replicate import catalogue
from kosmolua.runtime.stop import Stop

if TYPE_CHECKING:
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.ending import Unfinished
    from kosmolua.gate.run import Reply
    from kosmolua.gate.session import Session
    from kosmolua.host.sessions import Sessions
    from kosmolua.replicate.versions import Versions

MAX_PAGES = 10_000


@resolvable(globals())
class DirectCalls:
    """The calling half of `kosmolua.Host`. All direct calls share one session, which the first call opens."""

    _options: HostOptions
    _runs: Runs
    _closing: Stop
    _lock: threading.RLock
    _calls: Session | None
    _on_notice: Callable[[str], None]
    _customs: Mapping[str, Custom]

    def _sessions(self) -> Sessions:
        raise NotImplementedError

    def _tell(self, notice: str) -> None:
        raise NotImplementedError

    def call(self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None) -> Any:
        """Call one function, by any of its names, and return the API's answer. Raises a `KosmoError`."""
        return self.request(function, arguments, account=account).data

    def request(
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        account: str | None = None,
        stop: Stop | None = None,
    ) -> Reply:
        """Like `call`, and return the call's log entry too: the decision, its rule and the outcome.

        After another thread has set ``stop``, nothing is retried.
        """
        try:
            session = self._session()
            try:
                with self._calling(stop):
                    return session.call(function, arguments or {}, account or self._options.account)
            finally:
                self._tell_raised(session)
        except KosmoError as error:
            if self._options.emulate:
                emulated(error)
            raise
        except Exception as error:
            raise failure_of(error, str(function)) from error

    @contextmanager
    def _calling(self, stop: Stop | None = None) -> Iterator[None]:
        """Inside this context, closing the host or setting ``stop`` ends the calls of this thread."""
        from kosmolua.host.caller import calling_for

        if stop is None:
            with calling_for(self._closing):
                yield
            return
        with self._closing.on_set(lambda: stop.set(closed())), calling_for(stop):
            yield

    def _tell_raised(self, session: Session) -> None:
        """Report an exception of a callback as a notice, since the call returns its answer."""
        raised, session.raised = session.raised, None
        if raised:
            self._on_notice(str(of_callback(raised, broken=session.record.broken)))

    def leave(self, *, cancel: bool = False) -> Unfinished:
        """End the direct calls early: search for creations without an answer, and ``cancel`` running jobs.

        Reports the search through ``on_notice``.
        """
        from kosmolua.gate import ending

        with self._lock:
            session = self._calls
        if session is None:
            return ending.Unfinished()
        with explained("ending the calls"):
            return ending.end(session, self._tell, cancel=cancel, search=not self._options.emulate)

    def callable(self, *, account: str | None = None) -> frozenset[str]:
        """The functions that the current policy allows, or asks a person about, for at least some arguments."""
        from kosmolua.gate import policy

        with explained("reading the policy"):
            known = (*catalogue.OPERATIONS, *(custom.operation for custom in self._customs.values()))
            in_force = policy.policy_of(self._sessions().settings())
            calls = (policy.Call(operation, account or self._options.account) for operation in known)
            return frozenset(call.operation.name for call in calls if policy.may_be(in_force, call))

    def may_ask(self) -> bool:
        """Whether a call of a script may need the approval of a person, by the current policy and budgets."""
        from kosmolua.gate import policy

        with explained("reading the policy"):
            settings = self._sessions().settings()
            in_force = policy.policy_of(settings)
            rules = (*in_force.classes.values(), *in_force.rules)
            limited = self._options.caps is not None and self._options.caps.cost is not None
            budgeted = any(each.cost is not None for _, each in settings.budgets)
            return not self._options.force and (limited or budgeted or any(rule.verdict == "ask" for rule in rules))

    def pages(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None
    ) -> Iterator[Reply]:
        """The pages of a list, from the requested page to the last. Each page is a separate call."""
        from kosmolua.replicate.urls import next_cursor

        arguments, seen = dict(arguments or {}), set[str]()
        while True:
            reply = self.request(function, arguments, account=account)
            yield reply
            cursor = None
            if not self._options.dry_run:
                with explained(reply.entry.function):
                    cursor = next_cursor(reply.data, self._session().base_url(account or self._options.account))
            if cursor is None:
                return
            if cursor in seen or len(seen) >= MAX_PAGES:
                raise ApiError(f"{reply.entry.function}: the pages form a cycle", status=200)
            seen.add(cursor)
            arguments["cursor"] = cursor

    def fetch(self, url: str, limit: int, *, account: str | None = None, stop: Stop | None = None) -> bytes:
        """Fetch an output file of up to ``limit`` bytes, only from Replicate's own addresses."""
        with explained("fetching an output"), self._calling(stop):
            return self._session().fetch(url, limit, account or self._options.account)

    def versions(self, *, account: str | None = None) -> Versions:
        """Return an object that looks up versions of models and their inputs."""
        from kosmolua.services.plan import versions_through

        with explained("finding versions"):
            return versions_through(self._session(), account or self._options.account)

    def watch(
        self,
        kind: Literal["prediction", "training"],
        identifier: str,
        ready: Callable[[], None],
        *,
        account: str | None = None,
        deadline: float | None = None,
    ) -> Callable[[], None]:
        """Call ``ready`` from another thread when a prediction or training has ended, when it cannot be read, or at the
        ``deadline`` in Unix seconds. Returns a function that stops the watch. All watches share their requests.
        """
        from kosmolua.services.jobs import watch

        account = account or self._options.account
        with explained("watching a job"):
            return watch(self._session(), self._sessions().pollers, account, (kind, identifier), ready, deadline)

    def note_end(self, job: str, *, account: str | None = None) -> None:
        """End all waits for a prediction or training now, since a webhook reported its end."""
        self._sessions().pollers.ended(account or self._options.account, job)

    def _session(self) -> Session:
        """The session of all direct calls."""
        with self._lock:
            self._runs.check_open()
            if self._calls is None:
                try:
                    self._calls = self._sessions().open()
                except Exception as error:
                    raise failure_of(error, "opening the host's session") from error
            return self._calls


def closed() -> UsageError:
    return UsageError(
        "the host is closed", code="interrupted", hint="use it inside its `with` block, or make a new one"
    )
