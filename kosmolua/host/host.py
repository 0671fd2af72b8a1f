"""`Host`: runs scripts and calls functions, each call past the gate."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from kosmolua.errors import ApiError, KosmoError, OptionError, UsageError, emulated, failure_of
from kosmolua.host import journals
from kosmolua.host import source as source_
from kosmolua.host.callbacks import both, log, of_callback, quiet
from kosmolua.host.explained import explained
from kosmolua.host.hints import resolvable
from kosmolua.host.options import HostOptions, Signature, taking
from kosmolua.host.result import Result
from kosmolua.host.run_options import RunOptions, ScriptOptions, StartOptions, named_of
from kosmolua.host.runs import Runs
from kosmolua.host.script import Plan, ScriptRun
from kosmolua.host.shared import Shared
from kosmolua.host.variables import variables
from kosmolua.replicate import catalogue
from kosmolua.runtime import forks
from kosmolua.runtime.run import Script
from kosmolua.runtime.stop import Stop
from kosmolua.settings import config

if TYPE_CHECKING:
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.ending import Left
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Reply, Watcher
    from kosmolua.gate.session import Session
    from kosmolua.host.handle import Handle
    from kosmolua.host.sessions import Sessions
    from kosmolua.replicate.versions import Versions
    from kosmolua.runtime.prepared import Prepared

# Imported with the first call: a fork in the midst of that would leave the child without.
_NEEDED = (
    "kosmolua.replicate.client",
    "kosmolua.settings.credentials",
    "kosmolua.gate.session",
    "kosmolua.gate.audit",
    "kosmolua.services.services",
    "kosmolua.services.lanes",
    "kosmolua.runtime.lane",
    "kosmolua.runtime.inline",
    *("encodings.idna", "email.utils", "hashlib", "random", "http"),
)
_EMULATED = ("kosmolua.emulator.app", "kosmolua.emulator.webhooks", "kosmolua.replicate.in_process")
MAX_PAGES = 10_000


@resolvable(globals())
class Host:
    """Runs Lua scripts and calls functions of the API. For any number of threads; `close` it, or use it in a ``with``.

    What may be called is what the command line may call here: the settings of config.toml and of the project are in
    force; they are read anew for each run, and once for all direct calls. ``read`` and ``write`` say "allow", "ask" or
    "deny" over them; where that is ``yielding``, an "allow" counts only for what the settings say nothing of. To ask is
    refused unless there is a ``prompter``. ``force`` bypasses the policy and nothing else; with ``dry_run`` nothing is
    sent, and a call gives the request. Direct calls may be made for a ``caller``, an agent for example: it is in the
    record, and a secret is handed to it as to a script, by a rule that names the function or by a person's yes.

    The token is looked for where the command line looks, unless ``token`` gives the one of ``account``. ``emulate``
    answers from the built-in emulator, with ``faults``; ``url`` is where else the API is, and ``headers`` are extra
    ones, secret, for the gateway there: with both, they go where the token does, and stay at that host.

    ``isolation`` is that of scripts: "standard", "strict" or "none", which is for trusted scripts alone. ``limits``
    bound each run, ``caps`` what each may spend, and what all direct calls together may. ``allow_read`` and
    ``allow_write`` are directories that are open to scripts, ``allow_env`` names of environment variables.
    ``cancel_on_exit`` cancels what a run started and left running. Unless ``prepare`` is False a process is kept ready
    that forks itself for each run. ``python`` is the path of an interpreter for these processes, needed if this program
    is not one: a frozen application, uWSGI. A run with a journal that only waits for ``park_after`` seconds ends its
    process, and continues when what it waits for is there; None keeps the process.

    ``functions`` are functions of this program that scripts may call as `custom.NAME{...}`: plain ones, which count as
    writes, or `kosmolua.Function`. They pass the same policy, budget, journal and log as the API's.

    Of what happens is told, by whichever thread it happens on: ``on_output("stdout" or "stderr", text)`` what scripts
    print and log, which is then not kept for the result, ``on_call(entry)`` each call that ended, ``on_retry(reason,
    seconds)`` what is sent again, ``on_notice(text)`` what its owner should know; without it that is logged.
    """

    __signature__ = Signature()

    @taking(HostOptions)
    def __init__(self, options: HostOptions) -> None:
        self._begin(options)

    @classmethod
    def of(cls, options: HostOptions, shared: Shared | None = None) -> Self:
        """A host of options that were made before, which may share budgets and rates with others."""
        made = cls.__new__(cls)
        cls._begin(made, options, shared)
        return made

    def _begin(self, options: HostOptions, shared: Shared | None = None) -> None:
        self._options = options
        self._shared = shared
        self._told: set[str] = set()
        self._on_notice = quiet(options.on_notice, "on_notice", log) if options.on_notice else log
        self._runs = Runs()
        self._closing = Stop()
        self._lock = threading.RLock()
        self._calls: Session | None = None
        forks.register(self)
        self._made: Sessions | None = None
        self._calls_begun = False
        self._given = _files(options) if options.allow_read or options.allow_write else None
        self._customs = _customs(options.functions)
        prepared = _prepared(options.interpreter) if options.prepare and options.isolation != "none" else None
        self._plan = Plan(options=options, sessions=self._sessions, prepared=prepared, customs=self._customs)

    def __repr__(self) -> str:
        where = "emulated" if self._options.emulate else "of the API"
        account, isolation = self._options.account, self._options.isolation
        return f"<Host account={account!r} {where}, isolation={isolation!r}, {len(self._runs)} runs>"

    @property
    def functions(self) -> Mapping[str, Custom]:
        """The host's own functions, by their full names."""
        return self._customs

    # Calling ------------------------------------------------------------------------------------------------------

    def call(self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None) -> Any:
        """Call one function, under any of its names, and return what the API answered. Raises a `KosmoError`."""
        return self.request(function, arguments, account=account).data

    def request(
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        account: str | None = None,
        stop: Stop | None = None,
    ) -> Reply:
        """The same with the call's entry in the log: what was decided, by which rule, and what came of it.

        What waits to be sent again is not sent, once ``stop`` is set from another thread.
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
        """Direct calls end with the host, and where there is a ``stop`` with that."""
        from kosmolua.host.caller import calling_for

        if stop is None:
            with calling_for(self._closing):
                yield
            return
        with self._closing.on_set(lambda: stop.set(_closed())), calling_for(stop):
            yield

    def _tell_raised(self, session: Session) -> None:
        """What a callback raised after a direct call: the answer is returned all the same."""
        raised, session.raised = session.raised, None
        if raised:
            self._on_notice(str(of_callback(raised, broken=session.record.broken)))

    def leave(self, *, cancel: bool = False) -> Left:
        """End the direct calls of this host early: find what was created without an answer, and ``cancel`` what runs.

        Says what is looked for by ``on_notice``.
        """
        from kosmolua.gate import ending

        with self._lock:
            session = self._calls
        if session is None:
            return ending.Left()
        with explained("ending the calls"):
            return ending.end(session, self._tell, cancel=cancel, search=not self._options.emulate)

    def callable(self, *, account: str | None = None) -> frozenset[str]:
        """The functions that the policy in force now would allow, or ask for, with some arguments at least."""
        from kosmolua.gate import policy

        with explained("reading the policy"):
            known = (*catalogue.OPERATIONS, *(custom.operation for custom in self._customs.values()))
            in_force = policy.policy_of(self._sessions().settings())
            calls = (policy.Call(operation, account or self._options.account) for operation in known)
            return frozenset(call.operation.name for call in calls if policy.may_be(in_force, call))

    def pages(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None
    ) -> Iterator[Reply]:
        """The pages of a list, from the one asked for to the last. Each is a call: past the gate, and in the log."""
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
        """The bytes of a file that a prediction made, at most so many; from Replicate's own addresses alone."""
        with explained("fetching an output"), self._calling(stop):
            return self._session().fetch(url, limit, account or self._options.account)

    def versions(self, *, account: str | None = None) -> Versions:
        """Finds versions of models, and what they take, with calls of this host."""
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
        """Call ``ready`` from another thread when a prediction or training has ended, cannot be read, or the
        ``deadline`` in Unix seconds is over. Returns what stops that. Any number of watches share their requests.
        """
        from kosmolua.services.jobs import watch

        account = account or self._options.account
        with explained("watching a job"):
            return watch(self._session(), self._sessions().pollers, account, (kind, identifier), ready, deadline)

    # Running ------------------------------------------------------------------------------------------------------

    def run(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        name: str = "script",
        journal: str | None = None,
        fresh: bool = False,
        **options: Unpack[StartOptions],
    ) -> Result:
        """Run Lua text to its end. ``name`` stands for it in errors; ``args`` is what the script finds under that name:
        a list of strings, or a dictionary of plain data.

        With a ``journal``, which is a name or a file, a run that ended early goes on where it stopped; raises a
        `JournalError` where that cannot be. A run that ended well sends nothing more and gives the same results again,
        and a notice says so; ``fresh`` starts a new run and keeps the old journal under a name with its date. Output
        files are kept next to the journal unless ``keep_outputs`` is False. What goes wrong with the script is in the
        result, as its ``error``.

        ``account``, ``limits``, ``caps``, ``prompter`` and ``on_call`` take the place of the host's for this run;
        ``on_event`` is told of its events, which carry its ``tags``.
        """
        with self._ready(source, args, name, journal, fresh=fresh, options=options) as run:
            return run.result()

    def run_file(
        self,
        file: str | os.PathLike[str],
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        journal: str | None = None,
        fresh: bool = False,
        **options: Unpack[StartOptions],
    ) -> Result:
        """Run the script in a file, as `run` does. Raises a `UsageError` where it cannot be read."""
        text, name = source_.read(os.fspath(file)), os.fspath(file)
        return self.run(text, args, name=name, journal=journal, fresh=fresh, **options)

    def start(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        name: str = "script",
        journal: str | None = None,
        fresh: bool = False,
        **options: Unpack[StartOptions],
    ) -> Handle:
        """Start a run in a thread of its own, and return its handle at once. It takes what `run` takes."""
        from kosmolua.host.handle import Handle

        handle, told = Handle(options.get("tags") or {}), options.get("on_event")
        options["on_event"] = both(handle.note, told) if told else handle.note
        stack = ExitStack()
        handle.begin(stack.enter_context(self._ready(source, args, name, journal, fresh=fresh, options=options)), stack)
        return handle

    @contextmanager
    def _ready(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any],
        name: str,
        journal: str | None,
        *,
        fresh: bool,
        options: StartOptions,
    ) -> Iterator[ScriptRun]:
        """A run that has not begun, with its journal open."""
        _check_text(source, name)
        text = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
        tell, account = self._on_notice, options.get("account")
        script = (name, text, args)
        with journals.opened(
            self._options, self._runs, tell, journal, fresh=fresh, script=script, account=account
        ) as opened:
            yield self.script(text, args, name=name, journal=opened, **options)

    @explained("making a run")
    def script(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        name: str = "script",
        **options: Unpack[ScriptOptions],
    ) -> ScriptRun:
        """A run that has not begun: its `result` runs it, and another thread may `stop` it.

        ``output`` takes what it prints as bytes, in the place of ``on_output``. A ``child`` that is starting already
        may be handed in; it is used up by the run. What a ``journal`` holds is answered from there, and what it does
        not hold is taken down; it is its opener's to close. ``record`` is the file of a cassette to be written from it.
        ``prompter`` and ``on_call`` take the place of the host's; ``stop`` ends it as its own `stop` does. ``watch``
        gives, when the run first calls something, who is told of its calls as they begin and with what went in and
        came out. ``own`` are other files that the caller writes for the run, each with what it is, such as "the report
        of this run"; the script can neither read nor write them. With a journal the files that its predictions make
        are kept next to it, unless ``keep_outputs`` is False. ``stdin`` is an open file with a descriptor that the
        script may read; without it, its standard input is empty. ``versions`` are models that were looked up before,
        for the default account. ``parking`` says what becomes of a run that only waits. The other options are those
        of `run`.
        """
        _check_text(source, name)
        is_listed = isinstance(args, Sequence) and not isinstance(args, str | bytes)
        if not isinstance(args, Mapping) and not (is_listed and all(isinstance(each, str) for each in args)):
            raise UsageError(
                f"args: expected a list of strings, or a dictionary, got {args!r}"[:200], hint="convert each with str()"
            )
        if isinstance(journal := options.get("journal"), str | os.PathLike):
            raise OptionError(
                f"journal: expected an open journal, got {journal!r}"[:200], hint="use run(source, journal=PATH)"
            )
        text = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
        script = Script(
            source=text,
            name=name,
            args=() if isinstance(args, Mapping) else args,
            named=named_of(args) if isinstance(args, Mapping) else None,
            provider=catalogue.PROVIDER,
            functions=[operation.names for operation in catalogue.OPERATIONS],
            custom=[*self._customs],
            accounts=[] if self._options.emulate else config.accounts(os.environ),
            env=variables(self._options.allow_env, os.environ),
        )
        return ScriptRun(self._plan, self._runs, script, RunOptions(**options))

    @explained("opening a session")
    def session(self, script: str, files: Files | None = None, watcher: Watcher | None = None) -> Session:
        """For a front end that evaluates Lua itself: the road of a script of that name, which the caller closes."""
        self._runs.check_open()
        return self._sessions().open(Script(source=b"", name=script), files=files, watcher=watcher)

    @explained("opening the directories")
    def files(self, own: Sequence[tuple[str, str]] = ()) -> Files:
        """The directories that are open to a script, without the files of its run that are its ``own``."""
        return self._sessions().files(own)

    def close(self) -> None:
        """Stop what runs, and leave no process, thread, connection or descriptor behind."""
        self._closing.set(_closed())
        self._runs.close()
        with self._lock:
            if self._calls:
                self._calls.close()
            if self._made:
                self._made.clients.close()
        if self._plan.prepared:
            self._plan.prepared.close()

    def before_fork(self) -> None:
        """Load what calls need, unless none was made yet, and what scripts in this process need."""
        if self._options.isolation == "none":
            from kosmolua.runtime import inline

            inline.load()
        if self._calls_begun:
            from importlib import import_module

            for name in (*_NEEDED, *(_EMULATED if self._options.emulate else ())):
                import_module(name)

    def renew(self) -> None:
        """In a forked process: begin with connections, processes, locks and a record of its own."""
        self._lock, self._closing = threading.RLock(), Stop()
        calls, made, self._calls, self._made = self._calls, self._made, None, None
        if calls:
            calls.abandon()
        if made:
            made.clients.abandon()
        self._runs.renew()
        if self._plan.prepared:
            self._plan.prepared.renew()

    def __reduce__(self) -> str:
        raise TypeError("a Host cannot be pickled: it holds connections and a token; make one in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _session(self) -> Session:
        """The one of all direct calls."""
        with self._lock:
            self._runs.check_open()
            if self._calls is None:
                try:
                    self._calls = self._sessions().open()
                except Exception as error:
                    raise failure_of(error, "opening the host's session") from error
            return self._calls

    def _sessions(self) -> Sessions:
        """What opens sessions; imported with the first, since many a script calls nothing."""
        self._calls_begun = True
        from kosmolua.host.clients import Clients
        from kosmolua.host.sessions import Sessions
        from kosmolua.services.poller import Pollers

        with self._lock:
            if self._made is None:
                clients = Clients(self._options, self._on_notice, self._shared)
                self._made = Sessions(
                    options=self._options,
                    clients=clients,
                    pollers=Pollers(),
                    given=self._given,
                    shared=self._shared,
                    tell=self._tell,
                    customs=self._customs,
                )
            return self._made

    def _tell(self, notice: str) -> None:
        """Settings are read for each run, but what they have to say is said once."""
        if notice not in self._told:
            self._told.add(notice)
            self._on_notice(notice)


def _closed() -> UsageError:
    return UsageError("the host is closed", code="interrupted", hint="use it inside its `with` block, or make another")


@explained("closing the journal")
def _check_text(source: object, name: object) -> None:
    if not isinstance(source, str | bytes):
        raise OptionError.of("source", "Lua text as a string or bytes", source)
    if not isinstance(name, str):
        raise OptionError.of("name", "a string", name)


def _files(options: HostOptions) -> Files:
    from kosmolua.gate.files import Files

    return Files(options.allow_read, options.allow_write)


def _customs(functions: Mapping[str, Any]) -> dict[str, Custom]:
    if not functions:
        return {}
    from kosmolua.gate.custom import customs_of

    return customs_of(functions)


def _prepared(python: str | None) -> Prepared:
    from kosmolua.runtime.prepared import Prepared

    return Prepared(python=python)
