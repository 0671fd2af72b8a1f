"""``integrations:lua``: run a script, from a file, the command line or standard input."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli.options import Options
from kosmolua.errors import KosmoError, ScriptError, UsageError
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits

if TYPE_CHECKING:
    import argparse

    from kosmolua.cli.output import ScriptOutput
    from kosmolua.gate.cassette import Cassette
    from kosmolua.gate.files import Files
    from kosmolua.gate.journal import Journal, Ticket
    from kosmolua.gate.needs import Needs
    from kosmolua.gate.services import Services
    from kosmolua.gate.session import Session
    from kosmolua.runtime.run import Result, Script

MAX_SOURCE = 8 * 1024 * 1024
_DEFAULTS = Limits()
_SETTLING = "look that long for a call that was cut off before it is sent again; default: 30"


def run(command: str, argv: list[str]) -> int:
    began = time.perf_counter()
    own, script_args = _divided(argv)
    parsed = _parser(command).parse_args(own)
    options = options_.shared(parsed)
    child = None
    try:
        limits = Limits(parsed.cpu_limit, parsed.memory_limit, parsed.output_limit, parsed.time_limit)
        name, source = _source(parsed)
        if parsed.explain:
            from kosmolua.cli.explain import explain

            return explain(options, name, source)
        if parsed.isolation != "none":
            child = Child(limits, parsed.isolation)  # it starts while this process imports the rest
        return _run(parsed, options, limits, child, name=name, source=source, args=script_args)
    except KosmoError as error:
        from kosmolua.runtime.run import Result, isolation_of

        isolation = isolation_of(parsed.isolation, child)
        failed = Result(error=error, duration=time.perf_counter() - began, isolation=isolation)
        return _tell(options, failed)
    finally:
        if child:
            child.close()


def _run(
    parsed: argparse.Namespace, options: Options, limits: Limits, child: Child | None, **script_fields: Any
) -> int:
    import msgspec

    from kosmolua import config
    from kosmolua.cli.output import ScriptOutput
    from kosmolua.replicate import catalogue
    from kosmolua.runtime.run import Result, Script, isolation_of, run

    functions = [operation.names for operation in catalogue.OPERATIONS]
    accounts = [] if options.emulate else config.accounts(os.environ)
    script = Script(**script_fields, provider=catalogue.PROVIDER, functions=functions, accounts=accounts)
    shown = ScriptOutput(limits, keep=options.json)
    calls = _Calls(options, parsed, script)
    journal = calls.cassette or calls.journal
    began = time.perf_counter()
    try:
        try:
            mode = parsed.isolation
            result = run(script, calls, shown, limits=limits, isolation=mode, child=child, journal=journal)
        except KeyboardInterrupt:
            error = ScriptError("interrupted", code="interrupted")
            isolation = isolation_of(parsed.isolation, child)
            result = Result(error=error, duration=time.perf_counter() - began, isolation=isolation)
        try:
            calls.ended(result)
        except KosmoError as error:
            result = msgspec.structs.replace(result, error=result.error or error)
        return _tell(options, result, script, shown, calls.finished(result, cancel=parsed.cancel_on_exit))
    finally:
        calls.close()


class _Calls:
    """Carries out what a script asks for. The session is opened by the first call: many a script makes none."""

    def __init__(self, options: Options, parsed: argparse.Namespace, script: Script) -> None:
        self.session: Session | None = None
        self._options = options
        self._parsed = parsed
        self._script = script
        self._services: Services | None = None
        self._needs = _needs(script)
        self._lock = threading.Lock()
        if parsed.allow_read or parsed.allow_write:
            self._files()  # a directory that is none is told before the script runs
        self._run = os.urandom(6).hex()
        self.journal: Journal | None = None
        self.cassette: Cassette | None = None
        self._scratch = ExitStack()
        if parsed.replay:
            self.cassette = _cassette(parsed, script)
        elif parsed.journal or parsed.record:
            self.journal = _journal(options, parsed, script, self._run, self._scratch)

    def __call__(self, function: str, account: str, arguments: bytes, ticket: Ticket | None = None) -> Any:
        if function.startswith("host."):
            return self._service(function, arguments)
        session = self.session
        if session is None:
            with self._lock:
                session = self.session = self.session or self._open()
        return session.call(function, arguments, account, ticket).data

    def ended(self, result: Result) -> None:
        """Note how the run ended, and write the cassette of it that was asked for."""
        if self.journal:
            self.journal.end(result.error)
        if self.journal and self._parsed.record:
            from kosmolua.gate import cassette

            def reveals(text: str) -> bool:
                return self.session is not None and self.session.reveals(text)

            cassette.write(self.journal.path, self._parsed.record, reveals)

    def finished(self, result: Result, *, cancel: bool) -> Session | None:
        """The session, with what the run has started and not seen end canceled, or told where it did not end well."""
        if self.session and (cancel or result.error):
            _tell_running(self.session, cancel=cancel)
        return self.session

    def close(self) -> None:
        if self.session:
            self.session.close()
        if self.journal:
            self.journal.close()
        self._scratch.close()

    def _open(self) -> Session:
        from kosmolua.cli.session import open_session
        from kosmolua.gate.budget import Caps
        from kosmolua.gate.session import Run

        caps = Caps(**{name: getattr(self._parsed, f"max_{name}") for name in Caps.__struct_fields__})
        run = Run(self._run, self._script.name, self._needs, self._files())
        session = open_session(self._options, run, self._script.source, caps)
        if self.journal:
            self.journal.restore(session.budget)
        return session

    def _service(self, function: str, arguments: bytes) -> Any:
        from kosmolua.gate.services import Services

        if self._services is None:
            self._services = Services(self._files(), os.path.dirname(self._script.name))
        return self._services(function, arguments)

    def _files(self) -> Files:
        from kosmolua import config
        from kosmolua.gate.files import Files

        read, write = self._parsed.allow_read, self._parsed.allow_write
        said = config.load(os.environ).directories if not read and not write else config.Directories()
        return Files([*read, *said.read], [*write, *said.write])


def _cassette(parsed: argparse.Namespace, script: Script) -> Cassette:
    from kosmolua.gate.cassette import Cassette
    from kosmolua.gate.journal import Head

    if parsed.journal or parsed.record:
        other = "--journal" if parsed.journal else "--record"
        raise UsageError(f"--replay plays what was, and {other} keeps what is", hint="leave one of them out")
    return Cassette(parsed.replay, Head(script=script.name, source=script.source, args=[*script.args]))


def _journal(options: Options, parsed: argparse.Namespace, script: Script, run: str, scratch: ExitStack) -> Journal:
    """The journal asked for, or one that is gone with the run, where all that is kept is a recording."""
    from kosmolua.cli.session import warn
    from kosmolua.gate import runs
    from kosmolua.gate.journal import Head, Journal, Lookup

    if options.dry_run:
        asked = "--journal" if parsed.journal else "--record"
        raise UsageError(f"{asked} keeps what was done, and --dry-run does nothing", hint="leave one of them out")
    if parsed.journal:
        path = runs.path_of(os.environ, parsed.journal)
        try:
            runs.note(os.environ, path)
        except OSError as error:
            warn(f"kosmo runs will not list this run: cannot write {runs.directory(os.environ)}: {error.strerror}")
    else:
        from tempfile import TemporaryDirectory

        path = os.path.join(scratch.enter_context(TemporaryDirectory()), "run.journal")
    head = Head(script=script.name, source=script.source, args=[*script.args], emulated=options.emulate)
    lookup = Lookup(settling=parsed.settling_time, adopt=parsed.adopt, again=parsed.send_again)
    journal = Journal(path, head, run, cut=parsed.from_here, lookup=lookup)
    if journal.last:
        changed = "; the script has changed since" if journal.script_changed else ""
        answers = "1 answer is" if journal.last == 1 else f"{journal.last} answers are"
        warn(f"{answers} taken from {path}{changed}")
    return journal


def _needs(script: Script) -> Needs | None:
    """What the script's header declares, if there is one."""
    if b"--@" not in script.source:
        return None
    from kosmolua.gate import needs

    return needs.read(script.source, script.name)


def _tell_running(session: Session, *, cancel: bool) -> None:
    from kosmolua.cli.output import safe

    for kind, identifier, account in session.budget.running() if not cancel else ():
        how = f"kosmo integrations:call replicate.cancel_{kind} --{kind}_id {identifier}"
        where = "" if account == "default" else f" --account {account}"
        print(safe(f"kosmo: {kind} {identifier} may still run; cancel it: {how}{where}"), file=sys.stderr)
    for identifier, why in session.cancel_running() if cancel else ():
        print(safe(f"kosmo: could not cancel {identifier}: {why}"), file=sys.stderr)
    lost = session.budget.unanswered()
    if lost:
        what = "a prediction or training" if lost == 1 else f"{lost} predictions or trainings"
        how = "kosmo integrations:call replicate.list_predictions"
        print(f"kosmo: {what} may have been created without an answer; look: {how}", file=sys.stderr)


def _divided(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what stands behind ``--`` for the script."""
    if "--" in argv:
        at = argv.index("--")
        return argv[:at], argv[at + 1 :]
    return argv, []


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Run a Lua script against Replicate: in a process of its own, through the permission gate.",
        "kosmo lua --emulate --eval 'return integrations.replicate.get_account{}'",
    )
    made.add_argument("file", nargs="?", metavar="FILE", help="the script; - or none: standard input")
    made.add_argument("--eval", "-e", metavar="CODE", help="run this text instead of a file")
    options_.add_shared(made)
    made.add_argument(
        "--isolation",
        choices=("standard", "strict", "none"),
        default="standard",
        help="strict: no compiler, and every layer of confinement or no run; none: in this process",
    )
    size, seconds = options_.size, options_.seconds
    made.add_argument("--memory-limit", type=size, metavar="BYTES", default=_DEFAULTS.memory, help="default: 128M")
    made.add_argument("--cpu-limit", type=seconds, metavar="SECONDS", default=_DEFAULTS.cpu, help="default: 30")
    made.add_argument("--output-limit", type=size, metavar="BYTES", default=_DEFAULTS.output, help="default: 10M")
    made.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="wall clock; default: none")
    _add_gate(made)
    _add_journal(made)
    _add_recording(made)
    made.add_argument("args", nargs="*", metavar="-- ARGS", help="arguments for the script, in `args` and `...`")
    return made


def _add_journal(made: options_.Parser) -> None:
    """How a run goes on that has ended early."""
    made.add_argument("--journal", metavar="FILE", help="keep all answers there, or under a name; go on from them")
    made.add_argument("--from-here", action="store_true", help="where script and journal differ, go on with the script")
    made.add_argument("--settling-time", type=options_.seconds, default=30.0, metavar="SECONDS", help=_SETTLING)
    made.add_argument("--adopt", metavar="ID", help="take that for what a cut off call became, where it is not clear")
    made.add_argument("--send-again", action="store_true", help="where that is not clear, it was not done: do it now")


def _add_recording(made: options_.Parser) -> None:
    made.add_argument("--record", metavar="FILE", help="write a cassette of the run: its calls, without secrets")
    made.add_argument("--replay", metavar="FILE", help="run offline, answered from a cassette and from nothing else")


def _add_gate(made: options_.Parser) -> None:
    """What the script may do at most."""
    count, amount = options_.count, options_.amount
    directory: dict[str, Any] = {"action": "append", "default": [], "metavar": "DIR"}
    made.add_argument("--allow-read", **directory, help="let it read files in there; repeatable; default: none")
    made.add_argument("--allow-write", **directory, help="let it write files in there; repeatable; default: none")
    made.add_argument("--max-calls", type=count, metavar="N", help="end it before it calls more often")
    made.add_argument("--max-writes", type=count, metavar="N", help="the same, of calls that change something")
    made.add_argument("--max-predictions", type=count, metavar="N", help="the same, of predictions and trainings")
    made.add_argument("--max-seconds-of-compute", type=amount, metavar="N", help="as the API counts them")
    made.add_argument("--max-cost", type=amount, metavar="N", help="by the price table in config.toml")
    made.add_argument("--cancel-on-exit", action="store_true", help="cancel what it has started and still runs")
    made.add_argument("--explain", action="store_true", help="say what it needs and may do, and do not run it")


# The script -------------------------------------------------------------------------------------------------------


def _source(parsed: argparse.Namespace) -> tuple[str, bytes]:
    """The script's name in messages, and its text."""
    if parsed.args:
        raise UsageError(
            f"unexpected argument {parsed.args[0]!r}",
            hint=f"arguments for the script go behind --: -- {parsed.args[0]}",
        )
    if parsed.eval is not None:
        if parsed.file is not None:
            raise UsageError(f"both --eval and the file {parsed.file!r} are given; one is run")
        return "eval", os.fsencode(parsed.eval)
    if parsed.file not in (None, "-"):
        return parsed.file, _checked(parsed.file, _read(parsed.file))
    if sys.stdin.isatty():
        raise UsageError(
            "no script: give a FILE, --eval CODE, or a script on standard input",
            hint="""for example: kosmo lua --emulate --eval 'print("hello")'""",
        )
    return "stdin", _checked("standard input", sys.stdin.buffer.read(MAX_SOURCE + 1))


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(MAX_SOURCE + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the script {file!r}: {error.strerror}",
            hint="give the path of a Lua file, or --eval CODE",
        ) from None


def _checked(name: str, source: bytes) -> bytes:
    """Source in another encoding than UTF-8 would go to the API as broken text; better said here."""
    try:
        if not source.startswith(b"\x1b"):
            source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name} is not UTF-8: byte 0x{source[error.start]:02x} in line {line}", hint="save it as UTF-8"
        ) from None
    return source


# Telling ----------------------------------------------------------------------------------------------------------


def _tell(
    options: Options,
    result: Result,
    script: Script | None = None,
    shown: ScriptOutput | None = None,
    session: Session | None = None,
) -> int:
    from kosmolua.cli import output

    if options.json:
        output.show_json(_envelope(options, result, script, shown, session))
    elif result.error:
        output.tell_error(result.error, _excerpt(script, result.error))
    else:
        _show_results(result.results)
    return result.error.exit_status if result.error else 0


def _show_results(results: list[Any]) -> None:
    from kosmolua.cli import output

    while results and results[-1] is None:
        results = results[:-1]
    for value in results:
        text = value if isinstance(value, str) else output.to_json(value, ordered=True)
        output.write_text((output.safe(text) if sys.stdout.isatty() else text) + "\n")


def _excerpt(script: Script | None, error: KosmoError) -> str | None:
    """The line of the script that the error names, with its neighbours."""
    match = re.fullmatch(r"(.+):(\d+)", getattr(error, "where", None) or "")
    if not script or not match or match[1] != script.name:
        return None
    lines = script.source.decode(errors="replace").split("\n")
    at = int(match[2])
    around = range(max(1, at - 1), min(len(lines), at + 1) + 1)
    return "\n".join(f"  {'>' if number == at else ' '} {number:>4} | {lines[number - 1][:160]}" for number in around)


def _envelope(
    options: Options,
    result: Result,
    script: Script | None,
    shown: ScriptOutput | None,
    session: Session | None,
) -> dict[str, Any]:
    import msgspec

    from kosmolua.cli import output

    first = result.results[0] if result.results else None
    failed = output.failure(result.error) if result.error else {"error": None, "code": None, "meta": {}}
    return {
        "success": result.error is None,
        "output": shown.text if shown else "",
        "result": msgspec.Raw(output.to_json(first, indent=False, ordered=True).encode()),
        "results": msgspec.Raw(output.to_json(result.results, indent=False, ordered=True).encode()),
        "error": failed["error"],
        "code": failed["code"],
        "execution_time_ms": round(result.duration * 1000, 3),
        "memory_usage": result.memory,
        "call_log": session.log if session else [],
        "meta": {
            **failed["meta"],
            "script": script.name if script else None,
            "account": options.account,
            "emulated": options.emulate,
            "engine": result.engine,
            "isolation": result.isolation,
            "cpu_time_ms": round(result.cpu * 1000, 3) if result.cpu is not None else None,
            **_about(session),
        },
    }


def _about(session: Session | None) -> dict[str, Any]:
    """What the gate has to say of the run, where there was a call."""
    if session is None:
        return {}
    import msgspec

    budget = session.budget
    running = [{"kind": kind, "id": identifier, "account": account} for kind, identifier, account in budget.running()]
    return {
        "run": session.run.id,
        "spent": budget.spent(),
        **({"budget": msgspec.to_builtins(budget.caps)} if msgspec.to_builtins(budget.caps) else {}),
        **({"running": running} if running else {}),
        **({"calls_not_logged": session.unlogged} if session.unlogged else {}),
    }
