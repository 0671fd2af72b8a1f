"""`Host` runs scripts and calls functions. Every call passes the gate."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self, Unpack

from kosmolua.errors import OptionError, UsageError
from kosmolua.host import journals, needed
from kosmolua.host import source as source_
from kosmolua.host.callbacks import both, log, quiet
from kosmolua.host.calls import DirectCalls, closed
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
from kosmolua.runtime.resting import WaitingRoom
from kosmolua.runtime.run import Script
from kosmolua.runtime.stop import Stop
from kosmolua.settings import config

if TYPE_CHECKING:
    from kosmolua.gate.custom import Custom
    from kosmolua.gate.files import Files
    from kosmolua.gate.run import Watcher
    from kosmolua.gate.session import Session
    from kosmolua.host.handle import Handle
    from kosmolua.host.sessions import Sessions
    from kosmolua.runtime.prepared import Prepared


@resolvable(globals())
class Host(DirectCalls):
    """Runs Lua scripts and calls functions of the API. Thread-safe. `close` it, or use it in a ``with`` block.

    The settings of config.toml and of the project apply, as on the command line. They are read for each run, and once
    for all direct calls. ``read`` and ``write`` ("allow", "ask" or "deny") override them; if ``yielding``, an "allow"
    applies only if the settings have no verdict. "ask" refuses the call unless there is a ``prompter``. ``force``
    bypasses only the policy. With ``dry_run``, nothing is sent, and a call returns the request that would be sent.
    ``caller`` names the program for which direct calls are made, such as an agent: the audit log shows the name, and
    the caller gets secrets only as a script does, by a rule that names the function or by a person's consent.

    ``token`` is the token of ``account``; by default it is looked up as on the command line. ``emulate`` answers from
    the built-in emulator, with ``faults``, the public ``models`` of a file or directory, and ``cogs``, models that run
    on cog servers, as ``owner/name=URL``; the emulator's own models run ``speed`` times faster. ``url`` is another
    address of the API, and ``headers`` are extra, secret headers for the gateway at that address; they are sent only
    where the token is sent.

    The ``isolation`` of scripts is "standard", "strict" or, for trusted scripts only, "none". ``limits`` apply to each
    run; ``caps`` limit what each run may spend, and what all direct calls may spend together. Scripts may use the
    directories ``allow_read`` and ``allow_write`` and the environment variables ``allow_env``. ``cancel_on_exit``
    cancels the running jobs of a run that ends. Unless ``prepare`` is False, a process is kept ready that forks for
    each run. ``python`` is the interpreter for these processes, needed if this program is not one: a frozen
    application, uWSGI. A run with a journal ends its process when it has only waited for ``park_after`` seconds, and
    continues when the wait is over; None keeps the process.

    ``functions`` are functions of this program that scripts may call as `custom.NAME{...}`: plain ones, which count as
    writes, or `kosmolua.Function`. The same policy, budget, journal and log apply to them as to the API's functions.

    Callbacks run on the thread of the event: ``on_output("stdout" or "stderr", text)`` for printed text, which the
    result then does not contain; ``on_call(entry)`` after each call; ``on_retry(reason, seconds)`` before a retry; and
    ``on_notice(text)`` for notices, which are logged otherwise.
    """

    __signature__ = Signature()

    @taking(HostOptions)
    def __init__(self, options: HostOptions) -> None:
        self._begin(options)

    @classmethod
    def of(cls, options: HostOptions, shared: Shared | None = None) -> Self:
        """A host with these options. ``shared`` are the budgets and request rates that it shares with other hosts."""
        made = cls.__new__(cls)
        cls._begin(made, options, shared)
        return made

    def _begin(self, options: HostOptions, shared: Shared | None = None) -> None:
        self._options = options
        self._shared = shared
        self._reported: set[str] = set()
        self._on_notice = quiet(options.on_notice, "on_notice", log) if options.on_notice else log
        self._runs = Runs()
        self._room = WaitingRoom()
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
        """Run Lua text to its end. ``name`` names it in errors. The script finds ``args``, a list of strings or a
        dictionary of plain data, in its global `args`.

        With a ``journal``, a name or a file, a run that ended early is resumed. Raises a `JournalError` if that is not
        possible. A finished run is not repeated: the same results are returned, with a notice. ``fresh`` starts a new
        run and renames the old journal to include its date. Output files are kept next to the journal unless
        ``keep_outputs`` is False. Errors of the script are in the ``error`` of the result.

        ``account``, ``limits``, ``caps``, ``prompter`` and ``on_call`` override the host's for this run. ``on_event``
        gets the run's events, which carry ``tags``.
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
        """Like `run`, for the script in a file. Raises a `UsageError` if it cannot be read."""
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
        """Start a run, and return its handle at once. It takes the same arguments as `run`. The run has its own thread,
        except while its script only waits.
        """
        from kosmolua.host.handle import Handle

        handle, told = Handle(options.get("tags") or {}), options.get("on_event")
        options["on_event"] = both(handle.note, told) if told else handle.note
        stack = ExitStack()
        run = stack.enter_context(self._ready(source, args, name, journal, fresh=fresh, options=options))
        handle.begin(run, stack, self._room)
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
        """A run that has not begun. Its `result` runs it; another thread may `stop` it.

        ``output`` gets the printed bytes instead of ``on_output``. ``child`` is a process that was started for this run
        only. Recorded calls are answered from the ``journal`` and others are recorded in it; whoever opened it closes
        it. ``record`` is the file for a cassette of the run. ``prompter`` and ``on_call`` replace the host's; setting
        ``stop`` ends the run, like the run's own `stop`. ``watch`` is called at the first call of the run, and returns
        its `kosmolua.gate.run.Watcher`. ``own`` are other files that the caller writes for the run, each with a
        description such as "the report of this run"; the script can neither read nor write them. With a journal, the
        output files of the run's predictions are kept next to the journal, unless ``keep_outputs`` is False. ``stdin``
        is an open file with a descriptor that the script may read; without it, its standard input is empty.
        ``versions`` holds model versions that were already looked up for the default account. ``parking`` says what to
        do with a run that only waits. ``identifier`` is the id of a run that continues. The other options are those of
        `run`.
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
        """A session for a front end that evaluates Lua itself, for a script of that name. The caller closes it."""
        self._runs.check_open()
        return self._sessions().open(Script(source=b"", name=script), files=files, watcher=watcher)

    @explained("opening the directories")
    def files(self, own: Sequence[tuple[str, str]] = ()) -> Files:
        """The directories that scripts may use, except for the run's ``own`` files."""
        return self._sessions().files(own)

    def close(self) -> None:
        """Stop all runs, and release all processes, threads, connections and descriptors."""
        self._closing.set(closed())
        self._runs.close()
        self._room.close()
        with self._lock:
            if self._calls:
                self._calls.close()
            if self._made:
                self._made.clients.close()
        if self._plan.prepared:
            self._plan.prepared.close()

    def before_fork(self) -> None:
        """Load the modules that calls need, if calls were made, and the modules that scripts in this process need."""
        if self._options.isolation == "none":
            from kosmolua.runtime import inline

            inline.load()
        if self._calls_begun:
            needed.load(emulate=self._options.emulate)

    def renew(self) -> None:
        """In a forked process: use new connections, processes, locks and a new audit log."""
        self._lock, self._closing = threading.RLock(), Stop()
        calls, made, self._calls, self._made = self._calls, self._made, None, None
        if calls:
            calls.abandon()
        if made:
            made.clients.abandon()
        self._runs.renew()
        self._room = WaitingRoom()
        if self._plan.prepared:
            self._plan.prepared.renew()

    def __reduce__(self) -> str:
        raise TypeError("a Host cannot be pickled: it holds connections and a token; make one in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sessions(self) -> Sessions:
        """The object that opens sessions. Its module is imported when the first session is opened, since many scripts
        call nothing.
        """
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
        """Report each notice only once, although settings are read for each run."""
        if notice not in self._reported:
            self._reported.add(notice)
            self._on_notice(notice)


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
