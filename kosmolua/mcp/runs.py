"""Runs scripts for a client, each in a separate thread, so that a tool call may return before its run ends. If a run
needs the approval of a person whom this server cannot ask, the run keeps a journal and ends. It is later continued from
the journal, even if the server was killed meanwhile.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from kosmolua.errors import KosmoError, UsageError, WaitingError, failure_of
from kosmolua.host.callbacks import log
from kosmolua.mcp import content
from kosmolua.runtime.stop import Stop

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.gate.prompt import Answer, Question
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.host.run_options import ScriptOptions
    from kosmolua.mcp.work import Work

MAX_KEPT = 50  # the maximum number of ended runs whose result can be looked up
DELIVERY = 60.0  # seconds after which a client has certainly got an answer
_ID = re.compile(r"mcp-[0-9a-f]{12}")


class Given(Struct, frozen=True):
    """What to run. ``args`` is a list of strings or a mapping of named arguments."""

    source: str | bytes
    args: Any = ()
    name: str = "script"


class LuaRun:
    """One run, which is also its script's prompter: it asks through the tool call that is currently waiting for the
    run. If there is no such call, the question waits for one.
    """

    absent = "this client cannot ask a person"

    def __init__(self, given: Given, identifier: str) -> None:
        self.id = identifier
        self.name = given.name
        self.began = time.time()
        self.stop = Stop()
        self.content: dict[str, Any] | None = None
        self.status = "running"
        self.wrote = False  # whether the script called a function that writes
        self.lasting = threading.Event()  # from then on, the id also finds the run after a kill of this server
        self._changed = threading.Condition()
        self._work: Work | None = None
        self._questions = 0

    def start(self, action: Callable[[LuaRun], tuple[str, dict[str, Any]]], ended: Callable[[], None]) -> None:
        """Run the action, which returns the status and the content of the result."""

        def run() -> None:
            try:
                found = action(self)
            except Exception as error:  # noqa: BLE001 - every failure becomes a result
                found = "failed", content.of_error(failure_of(error, "the script"), content.MAX_ERROR, code=True)
            with self._changed:
                self.status, self.content = found
                self._changed.notify_all()
            self.lasting.set()
            ended()

        self._thread = threading.Thread(target=run, name="kosmolua-mcp-run", daemon=True)
        self._thread.start()

    def join(self, until: float) -> None:
        self._thread.join(max(0.0, until - time.monotonic()))

    def wait(self, work: Work, seconds: float) -> dict[str, Any] | None:
        """Wait for the end, at most that many seconds while no question is open. None if the run is still running. 0
        waits without a limit. If the client cancels the call meanwhile, the run ends.
        """
        with self._attached(work):
            until = time.monotonic() + seconds
            with self._changed:
                while self.content is None and (not seconds or self._questions or time.monotonic() < until):
                    before = self._questions
                    self._changed.wait(None if not seconds or before else max(0.0, until - time.monotonic()))
                    if before and not self._questions:
                        until = time.monotonic() + seconds
        return self.content

    @contextmanager
    def _attached(self, work: Work) -> Iterator[None]:
        with work.stop.on_set(lambda: self._end(work)):
            with self._changed:
                self._work = work
                self._changed.notify_all()
            try:
                yield
            finally:
                with self._changed:
                    self._work = None if self._work is work else self._work

    def _end(self, work: Work) -> None:
        if work.stop.error:
            self.stop.set(work.stop.error)

    def ask(self, question: Question) -> Answer | None:
        """Ask through the tool call that waits for this run."""
        with self._changed:
            self._changed.wait_for(lambda: self._work is not None or self.stop.error is not None)
            work = self._work
            self._questions += 1
        try:
            return work.ask(question) if work and not self.stop.error else None
        finally:
            with self._changed:
                self._questions -= 1
                self._changed.notify_all()

    def withdraw(self, _: Question) -> None:
        """Drop a question that waits for a tool call, since the run has ended."""
        with self._changed:
            self._changed.notify_all()

    def report(self, entry: Entry) -> None:
        work = self._work
        if work:
            work.report(entry)


class LuaRuns:
    """The runs of one client, on an ``account`` that may be emulated. ``seconds`` is how long a tool call waits for a
    run; 0 waits until the run ends. ``left`` gets the result of an ended run, to report what it leaves at the API.
    ``tool`` is the name of the tool that continues a run.
    """

    def __init__(
        self,
        host: Host,
        account: tuple[str, bool],
        limit: int,
        seconds: float,
        left: Callable[[Result], None],
        tool: str,
    ) -> None:
        self._host = host
        self._account = account
        self._limit = limit
        self._seconds = seconds
        self._left = left
        self._tool = tool
        self._done: list[tuple[float, str]] = []  # when a run was done, and the name of its journal
        self._runs: dict[str, LuaRun] = {}
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        with self._lock:
            return any(each.content is None for each in self._runs.values())

    def join(self, until: float) -> None:
        with self._lock:
            running = list(self._runs.values())
        for each in running:
            each.join(until)

    def run(self, work: Work, given: Given) -> dict[str, Any]:
        """Run a script. Returns its result, or how to look up the result."""
        identifier = f"mcp-{secrets.token_hex(6)}"
        keeps = not work.can_ask and self._host.may_ask()
        return self._begun(work, given, identifier, self._journaled if keeps else self._plain)

    def resume(self, work: Work, identifier: str, source: str | None) -> dict[str, Any]:
        """Wait for a run again, or continue one that waited for approval. Raises a `UsageError`."""
        run = self._find(identifier)
        if run and source is None and (run.content is None or run.status != "waiting"):
            return self._answer(work, run)
        if run and run.content is None:
            raise UsageError(f"run {identifier} is running; its source cannot be changed", hint="leave out source")
        given = self._recorded(identifier)
        if source is not None:
            given = replace(given, source=source)
        return self._begun(work, given, identifier, self._journaled)

    def look(self, work: Work, identifier: str | None) -> dict[str, Any]:
        """List this client's runs, or return the result of one. Raises a `UsageError` for an unknown run."""
        if identifier is not None:
            run = self._find(identifier)
            if run is None:
                self._recorded(identifier)
                raise UsageError(
                    f"run {identifier} is not running on this server",
                    hint=f'continue it, or get its result: {self._tool} {{"id": "{identifier}"}}',
                )
            return self._answer(work, run)
        with self._lock:
            found = [
                {"id": each.id, "status": each.status, "name": each.name, "seconds": round(time.time() - each.began)}
                for each in self._runs.values()
            ]
        return content.of_answer({"runs": found}, self._limit)

    def _begun(
        self,
        work: Work,
        given: Given,
        identifier: str,
        action: Callable[[Given, LuaRun], tuple[str, dict[str, Any]]],
    ) -> dict[str, Any]:
        self.clear(DELIVERY)
        run = LuaRun(given, identifier)
        with self._lock:
            self._runs.pop(identifier, None)
            self._runs[identifier] = run
        run.start(partial(action, given), self._forget)
        return self._answer(work, run)

    def _answer(self, work: Work, run: LuaRun) -> dict[str, Any]:
        found = run.wait(work, self._seconds)
        if found is None:
            run.lasting.wait()
            return content.of_running(run.id, round(time.time() - run.began))
        if run.status != "waiting":
            with self._lock:
                self._runs.pop(run.id, None)
        return found

    def clear(self, seconds: float = 0.0) -> None:
        """Remove the journals of runs that were done at least that many seconds ago. Until then, a client whose server
        was killed before the client got the answer can ask for it again.
        """
        before = time.monotonic() - seconds
        with self._lock:
            over = [path for since, path in self._done if since <= before]
            self._done = [each for each in self._done if each[0] > before]
        if over:
            from kosmolua.journal import runs

            for path in over:
                with suppress(KosmoError):  # the journal is in use again
                    runs.remove(os.environ, path)

    def _forget(self) -> None:
        """Drop the oldest ended runs that nobody has looked up."""
        with self._lock:
            ended = [each.id for each in self._runs.values() if each.content is not None]
            for identifier in ended[:-MAX_KEPT]:
                del self._runs[identifier]

    def _find(self, identifier: str) -> LuaRun | None:
        with self._lock:
            return self._runs.get(identifier)

    # Running ------------------------------------------------------------------------------------------------------

    def _plain(self, given: Given, run: LuaRun) -> tuple[str, dict[str, Any]]:
        run.lasting.set()
        return self._carried_out(given, run, {"prompter": run})

    def _journaled(self, given: Given, run: LuaRun) -> tuple[str, dict[str, Any]]:
        """Run a script with a journal. The journal is removed when the run is done; if the script called a function
        that writes, only after the result was returned.
        """
        from kosmolua.host.asking import asking
        from kosmolua.host.run_options import named_of
        from kosmolua.journal import runs
        from kosmolua.journal.records import Head

        source = given.source.encode(errors="surrogateescape") if isinstance(given.source, str) else given.source
        account, emulated = self._account
        named = named_of(given.args) if isinstance(given.args, Mapping) else None
        args = [*given.args] if named is None else []
        head = Head(script=given.name, source=source, args=args, named=named, account=account, emulated=emulated)
        with ExitStack() as stack:
            journal = stack.enter_context(closing(runs.opened(os.environ, run.id, head, _silent)))
            run.lasting.set()
            waiting = stack.enter_context(asking(journal, log))
            status, found = self._carried_out(given, run, {**waiting, "journal": journal, "keep_outputs": False})
        if status == "done" and (run.wrote or journal.last):
            with self._lock:
                self._done.append((time.monotonic(), journal.path))
        elif status == "done":
            runs.remove(os.environ, journal.path)
        return status, found

    def _carried_out(self, given: Given, run: LuaRun, options: ScriptOptions) -> tuple[str, dict[str, Any]]:
        shown: content.Pictures = []
        options = {**options, "on_call": run.report, "stop": run.stop}
        script = self._host.script(given.source, given.args, name=given.name, **options)
        result = script.result(partial(content.add_outputs, shown))
        if isinstance(result.error, WaitingError):
            return "waiting", content.of_waiting(run.id, result.error, self._limit, self._tool)
        if result.error and result.error.code == "syntax_error":
            from kosmolua.check.syntax import explain

            text = given.source.encode(errors="surrogateescape") if isinstance(given.source, str) else given.source
            explain(result.error, given.name, text)
        self._left(result)
        run.wrote = bool(result.unlogged) or any(each.access == "write" for each in result.log)
        return ("failed" if result.error else "done"), content.of_run(result, self._limit, shown)

    def _recorded(self, identifier: str) -> Given:
        """What the journal with that name runs. Raises a `UsageError` if there is no such journal."""
        from kosmolua.journal import runs

        path = runs.path_of(os.environ, identifier)
        if not _ID.fullmatch(identifier) or not os.path.isfile(path):
            raise _unknown(identifier)
        try:
            with runs.readable(path) as store:
                facts = store.facts()
        except KosmoError:
            raise _unknown(identifier) from None
        named = facts.get("named")
        return Given(facts["source"], facts["args"] if named is None else named, facts["script"])


def _unknown(identifier: str) -> UsageError:
    return UsageError(
        f"no run {identifier[:100]!r}", hint="list the runs with the tool runs; results are kept for a minute"
    )


def _silent(_: str) -> None:
    """Drop a notice, since a journal that the server itself made needs none."""
