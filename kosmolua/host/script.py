"""One run of a script, with its calls, its output and its end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import (
    Interrupted,
    InterruptError,
    KosmoError,
    ScriptError,
    UsageError,
    emulated,
    failure_of,
    release,
)
from kosmolua.gate.nesting import DEPTH
from kosmolua.host import needed, outputs
from kosmolua.host.callbacks import of_callback, quiet
from kosmolua.host.caller import CALLER, CallingFor
from kosmolua.host.events import Event, Events
from kosmolua.host.explained import explained
from kosmolua.host.handler import ScriptHandler
from kosmolua.host.hints import resolvable
from kosmolua.host.options import HostOptions
from kosmolua.host.result import Forwarded, Printed, Result
from kosmolua.host.run_options import RunOptions
from kosmolua.host.runs import Runs
from kosmolua.runtime import marshal
from kosmolua.runtime.descriptors import explanation_of
from kosmolua.runtime.meter import Meter
from kosmolua.runtime.resting import carried_out
from kosmolua.runtime.run import Script, isolation_of, steps
from kosmolua.runtime.stop import Stop
from kosmolua.settings.paths import cache_directory, record_of

if TYPE_CHECKING:
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.ending import Waiting
    from kosmolua.gate.files import Files
    from kosmolua.gate.kept import KeptOutputs
    from kosmolua.gate.needs import Needs
    from kosmolua.gate.session import Session
    from kosmolua.host.sessions import Sessions
    from kosmolua.journal.cassette import Cassette
    from kosmolua.journal.journal import Journal
    from kosmolua.replicate.body import Room
    from kosmolua.runtime.parking import Parking
    from kosmolua.runtime.prepared import Prepared
    from kosmolua.runtime.resting import Steps
    from kosmolua.services.keeping import Keeping


class Plan(Struct, frozen=True, kw_only=True):
    """What all runs of a host share. ``sessions`` is made on first use."""

    options: HostOptions
    sessions: Callable[[], Sessions]
    prepared: Prepared | None
    customs: Mapping[str, Custom]


Attach = Callable[[list[Any], Callable[[str, int], bytes]], None]
"""Gets the returned values, and a function that fetches a URL, up to a number of bytes."""


@resolvable(globals())
class ScriptRun:
    """A script that is to be run, once. `kosmolua.Host.script` makes them.

    ``id`` identifies it in events, the log and the record of calls. ``outcome`` is the result, even if `result` raised
    an exception such as KeyboardInterrupt.
    """

    def __init__(self, plan: Plan, runs: Runs, script: Script, given: RunOptions) -> None:
        self.id = given.identifier or os.urandom(6).hex()
        self.outcome: Result | None = None
        self._plan = plan
        self._runs = runs
        self._script = script
        self._given = given
        self._journal = given.journal
        self._events = Events(self.id, given.tags, _listeners(plan, given))
        self._own = [*given.own, *_written(given.journal, given.record)]
        self._parking = given.parking or _parking(given.journal, plan.options.park_after)
        self._keeping: Keeping | None = None
        self._files: Files | None = None
        self._printed = Printed(plan.options.on_output)
        self._output = Forwarded(self._events.observing(given.output or self._printed))
        self._needs = _needs(script)
        self._stop = Stop()
        self._outer = given.stop
        self._meter = Meter()
        self._depth = DEPTH.get()
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._begun: float | None = None
        self._waiting: Waiting | None = None
        self._session: Session | None = None
        self._room: Room | None = None
        self._handler = ScriptHandler(
            self._opened,
            self._opened_files,
            self._calling,
            directory=os.path.dirname(script.name),
            stdin=given.stdin,
            versions=given.versions,
            check=self._stop.check,
            room=lambda: self._room,
            pollers=lambda: plan.sessions().pollers,
            customs=plan.customs,
            asking=given.asking,
        )

    def result(self, attach: Attach | None = None) -> Result:
        """Run the script to its end in this thread. Errors of the script are in the result.

        ``attach`` gets the returned values, and a function that fetches outputs as calls of this run.

        Raises KeyboardInterrupt, and exceptions of callbacks; ``outcome`` then holds the result. If ``on_call`` raises,
        the script still gets the answer to that call, and ends at its next call.
        """
        return carried_out(self.steps(attach))

    def steps(self, attach: Attach | None = None, *, rests: bool = False) -> Steps[Result]:
        """Like `result`, in steps. If it ``rests``, the run needs no thread while its script only waits."""
        with self._lock:
            if self._begun is not None:
                raise UsageError("the run has already begun", hint="make a new one for each run")
            self._begun = time.perf_counter()
        with ExitStack() as stack:
            with explained("beginning the run"):
                needed.load_in_thread(emulate=self._plan.options.emulate)
                stack.enter_context(self._runs.holding(self))
            try:
                self._events.tell("begun")
                with self._outer.on_set(self._follow) if self._outer else nullcontext():
                    ended = yield from self._moving(self._run(rests=rests))
            except BaseException as error:
                ended = self._broken(error, time.perf_counter() - self._begun)
                if not isinstance(error, Exception) or error is self._output.raised:
                    self._finish(ended)
                    raise
            if attach and ended.error is None:
                ended = self._attached(attach, ended)
            result = self._finish(ended)
            return self._checked(result)

    def _checked(self, result: Result) -> Result:
        """The result. Raises what the prompter or a callback raised."""
        session = self._session
        if session and session.fault:
            raise session.fault
        if session and session.raised:
            if not session.record.broken:
                raise session.raised
            self._add(error=result.error or of_callback(session.raised, broken=True))
        return self.outcome or result

    @property
    def kept(self) -> KeptOutputs | None:
        """The kept outputs of this run, if it keeps any."""
        return self._keeping

    def stop(self, reason: str = "the run was stopped") -> None:
        """End the run, from any thread. A run that has not begun ends when it begins.

        Waits for a request that is being sent, since it may cost money; no further request is sent.
        """
        self._stop.set(ScriptError(reason, code="interrupted"))

    def is_called_here(self) -> bool:
        """Whether this thread is making one of the run's calls."""
        return CALLER.stop is self._stop

    def _follow(self) -> None:
        """End the run, since its owner's stop signal was set."""
        if self._outer and self._outer.error:
            self._stop.set(self._outer.error)

    def _moving(self, made: Steps[Result]) -> Steps[Result]:
        """The steps. Records for each the thread that carries it out."""
        with closing(made):
            while True:
                try:
                    pause = next(made)
                except StopIteration as end:
                    found: Result = end.value
                    return found
                self._runs.move(self, None)
                yield pause
                self._runs.move(self, threading.get_ident())

    def _run(self, *, rests: bool) -> Steps[Result]:
        from kosmolua.services.lanes import lane_of

        plan, options = self._plan, self._plan.options
        if self._given.keep_outputs and self._journal and outputs.are_missing(self._journal):
            self._opened()
        ended = yield from steps(
            self._script,
            self._handler,
            self._output,
            limits=self._given.limits or options.limits,
            isolation=options.isolation,
            child=self._given.child or plan.prepared,
            stop=self._stop,
            lane=lane_of,
            ending=self._handler.end,
            waits=self._waits,
            journal=self._journal,
            meter=self._meter,
            python=options.interpreter,
            cache=cache_directory(os.environ),
            watch=self._handler.watch,
            parking=self._parking,
            rests=rests,
        )
        return Result(**msgspec.structs.asdict(ended))

    def _broken(self, why: BaseException, duration: float) -> Result:
        error: KosmoError
        if isinstance(why, KeyboardInterrupt):
            error = InterruptError(why.number) if isinstance(why, Interrupted) else InterruptError()
        elif why is self._output.raised or not isinstance(why, Exception):
            error = ScriptError(f"the run was aborted: {type(why).__name__}: {why}")
        else:
            error = failure_of(why, "running the script")
        return Result(
            error=error, duration=duration, isolation=isolation_of(self._plan.options.isolation, self._given.child)
        )

    def _finish(self, ended: Result) -> Result:
        """Complete the result: end the journal, add the session's facts, search for creations without an answer, cancel
        jobs if asked to, and close.
        """
        release(ended.error)  # otherwise the error and the handler would keep the run's memory alive
        del self._handler
        self.outcome = ended
        if explanation := ended.error and explanation_of(ended.error):
            self._add(error=explanation)
        for step in (
            self._end_journal,
            self._take_output,
            self._close_files,
            self._note_session,
            self._leave_session,
            self._tell_end,
        ):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - the other steps follow, and the result is not lost
                self._add(error=self._error or failure_of(error, "ending the run"))
        return self.outcome

    def _tell_end(self) -> None:
        self._events.tell("ended", result=self.outcome)

    @property
    def _error(self) -> KosmoError | None:
        return self.outcome.error if self.outcome else None

    def _add(self, **fields: Any) -> None:
        if self.outcome:
            self.outcome = msgspec.structs.replace(self.outcome, **fields)

    def _take_output(self) -> None:
        self._add(output=self._printed.text)

    def _close_files(self) -> None:
        if self._files:
            self._files.close()

    def _note_session(self) -> None:
        if self._session:
            self._add(**_session_fields(self._session))

    def _leave_session(self) -> None:
        session = self._session
        if session is None:
            return
        error = self._error
        if error and self._plan.options.emulate:
            emulated(error)
        try:
            left = self._leave(session, failed=error is not None)
            if self._keeping:
                self._keeping.finish(failed=error is not None)
            self._add(**left, **_session_fields(session))
        finally:
            session.close()

    def _attached(self, attach: Attach, ended: Result) -> Result:
        # The run's own stop signal is set by now; the owner's stop signal also ends the fetching.
        CALLER.stop = self._outer or Stop()
        try:
            attach(ended.results, self._fetched)
        except Exception as error:  # noqa: BLE001 - the result is not lost
            return msgspec.structs.replace(ended, error=failure_of(error, "reading the outputs"))
        finally:
            CALLER.stop = None
        return ended

    def _fetched(self, url: str, limit: int) -> bytes:
        if self._outer:
            self._outer.check()
        return self._opened().fetch(url, limit)

    def _leave(self, session: Session, *, failed: bool) -> dict[str, Any]:
        """The result's fields about running jobs and unanswered creations at the API."""
        from kosmolua.gate import ending

        options, tell = self._plan.options, self._plan.sessions().tell
        cancel = options.cancel_on_exit
        search = (
            (failed or cancel) and not options.emulate and not (self._parking and self._parking.elsewhere)
        )  # the emulator keeps nothing
        left = ending.end(session, tell, cancel=cancel, search=search)
        for sent, data in left.found:
            if sent.ticket and not cancel:
                sent.ticket.settle(marshal.encode(data))
        return {name: getattr(left, name) for name in ("running", "unanswered", "not_canceled", "candidates")}

    def _waits(self, seconds: float) -> bool:
        """Whether to keep waiting for active requests after the run failed."""
        from kosmolua.gate.ending import Waiting

        if self._waiting is None:
            self._waiting = Waiting(self._plan.sessions().tell)
        return self._waiting(
            seconds, self._session.unanswered_writes() if self._session else [], busy=self._handler.busy
        )

    def _end_journal(self) -> None:
        """Write how the run ended to the journal, and write the cassette if there is one."""
        if self._journal:
            self._journal.end(self._error)
            if self._given.record:
                from kosmolua.journal import cassette

                cassette.write(self._journal.path, self._given.record, self._reveals)

    def _reveals(self, text: str) -> bool:
        return self._session is not None and self._session.reveals(text)

    def _calling(self, _: str) -> CallingFor:
        """The context in which this thread carries out a request of the script."""
        if self._stop.error:
            raise self._stop.error
        self._check_callbacks()
        return CallingFor(self._stop, self._meter, self._depth)

    def _check_callbacks(self) -> None:
        """Send nothing more once a callback has failed, since it may supervise the run."""
        session = self._session
        if session and session.raised:
            self._stop.set(of_callback(session.raised, broken=session.record.broken))
        if self._stop.error:
            raise self._stop.error

    def _opened(self) -> Session:
        if self._session is None:
            with self._lock, self._meter.exempt():
                if self._session is None:
                    watcher = self._given.watch() if self._given.watch else None
                    session = self._plan.sessions().open(
                        self._script,
                        self._needs,
                        self._given.prompter,
                        self._events.calls(self._given.on_call or self._plan.options.on_call),
                        watcher,
                        self._opened_files(),
                        account=self._given.account,
                        caps=self._given.caps,
                        identifier=self.id,
                        asking=self._given.asking,
                    )
                    if self._journal:
                        self._journal.restore(session.budget)
                    tell = self._plan.sessions().tell
                    self._keeping = outputs.keep(session, self._journal, tell, copies=self._given.keep_outputs)
                    self._room = self._plan.sessions().clients.room
                    self._session = session
        return self._session

    def _opened_files(self) -> Files:
        """The directories of this run."""
        with self._opening:
            if self._files is None:
                record = record_of(self._journal.path) if self._journal else None
                self._files = self._plan.sessions().files(self._own, record)
            return self._files


def _listeners(plan: Plan, given: RunOptions) -> list[Callable[[Event], None]]:
    """The listeners of a run's events. Their exceptions become notices."""
    told = (plan.options.on_event, given.on_event)
    return [quiet(each, "on_event", lambda text: plan.sessions().tell(text)) for each in told if each]


def _parking(journal: Journal | Cassette | None, after: float | None) -> Parking | None:
    """How the run waits without a process; None if there is no journal to continue from."""
    if journal is None or after is None:
        return None
    from kosmolua.journal.journal import Journal
    from kosmolua.runtime.parking import Parking

    return Parking(journal, after) if isinstance(journal, Journal) else None


def _written(journal: Journal | Cassette | None, record: str | None) -> Iterator[tuple[str, str]]:
    """The files in which the run is recorded, which its script may not use."""
    if journal:
        yield journal.path, "the journal or cassette of this run"
    if record:
        yield record, "the cassette of this run"


def _needs(script: Script) -> Needs | None:
    """The declarations in the script's header, if it has a header."""
    if b"--@" not in script.source:
        return None
    from kosmolua.gate import needs

    return needs.read(script.source, script.name)


def _session_fields(session: Session) -> dict[str, Any]:
    """The fields of the result that come from the session."""
    budget = session.budget
    return {
        "run": session.run.id,
        "log": session.log,
        "unlogged": session.unlogged,
        "spent": budget.spent(),
        "caps": msgspec.to_builtins(budget.caps),
        "created": budget.created(),
        "guessed": budget.guessed(),
    }
