"""``integrations:lua``: run a script, from a file, the command line or standard input. ``repl`` starts the prompt."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import results
from kosmolua.cli.division import divided
from kosmolua.cli.options import Options
from kosmolua.cli.results import Text
from kosmolua.cli.signals import Signals
from kosmolua.errors import KosmoError, UsageError, failure_of
from kosmolua.host import source
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits
from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.cli.live import Watch
    from kosmolua.cli.output import ScriptOutput
    from kosmolua.cli.requests import Requests
    from kosmolua.gate.entry import Entry
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.host.run_options import ScriptOptions
    from kosmolua.host.script import Attach, ScriptRun
    from kosmolua.journal.cassette import Cassette
    from kosmolua.journal.journal import Journal
    from kosmolua.journal.records import Head

# A script without any of these words makes no call that costs or waits. It is not checked before it runs.
_CHECKED = (
    *(b"replicate", b"integrations", b"app", b"run", b"create", b"wait", b"stream", b"each", b"download", b"file"),
    *(b"require", b"parallel", b"race", b"spawn", b"sleep", b"load", b"_G", b"_ENV", b"env", b"--@"),
)
_KEYS = ("emacs", "vi")
_SETTLING = 30.0  # seconds


def options_taken(command: str) -> dict[str, bool]:
    """All options of the command, and whether each takes a value."""
    return _parser(command).takes


def run(command: str, argv: list[str], named: dict[str, object] | None = None) -> int:
    """``named`` are the arguments of a kept script."""
    began = time.perf_counter()
    parser = _parser(command)
    own, script_args = divided(["--repl", *argv] if command == "repl" else argv, parser.takes)
    parsed = parser.parse_args(own)
    options = options_.shared(parsed)
    child, script, signals = None, None, Signals()
    try:
        limits = options_.limits(parsed)
        if parsed.report and (parsed.repl or parsed.explain):
            other = "--repl" if parsed.repl else "--explain"
            raise UsageError(f"--report and {other} cannot be combined")
        if parsed.repl and sys.stdin.isatty() and sys.stdout.isatty():
            from kosmolua.cli.repl import start

            return start(parsed, options, script_args)
        name, text = _source(parsed)
        script = Text(name, text, script_args, named)
        if parsed.explain:
            from kosmolua.cli.explain import explain

            return explain(options, name, text)
        if named is None and b"--@" in text:
            from kosmolua.gate.described import by_name

            found = by_name(text, script_args, name)
            script = script if found is None else Text(name, text, [], found)
        if parsed.isolation != "none":
            # The child starts while this process imports other modules.
            child = Child(limits, parsed.isolation, cache=paths.cache_directory(os.environ))
        parsed.functions = _functions(parsed)
        if not parsed.no_check and any(word in text for word in _CHECKED):
            from kosmolua.cli import precheck

            precheck.run(parsed, options, name, text)
        with signals:
            return signals.status(_run(parsed, options, limits, child, script, signals))
    except KosmoError as error:
        from kosmolua.host.result import Result
        from kosmolua.runtime.run import isolation_of

        isolation = isolation_of(parsed.isolation, child)
        failed = Result(error=error, duration=time.perf_counter() - began, isolation=isolation)
        return results.show_one(options, failed, script)
    finally:
        if child:
            child.close()


def _functions(parsed: argparse.Namespace) -> dict[str, object]:
    if not parsed.functions:
        return {}
    from kosmolua.cli import functions

    return functions.load(parsed.functions)


def _run(
    parsed: argparse.Namespace,
    options: Options,
    limits: Limits,
    child: Child | None,
    script: Text,
    signals: Signals,
) -> int:
    from kosmolua.cli.host import host_of
    from kosmolua.cli.output import ScriptOutput, print_error

    if parsed.report:
        from kosmolua.cli.live import Watch
        from kosmolua.host import report

        report.check(parsed.report)
    shown, began = ScriptOutput(keep=options.json, copy=bool(parsed.report)), time.time()
    with (
        host_of(options, limits=limits, cancel_on_exit=parsed.cancel_on_exit, **_access(parsed)) as host,
        _journal(parsed, options, script) as journal,
        ExitStack() as stack,
    ):
        watch = _watch(parsed, options)
        waiting = stack.enter_context(waiting_for_approval(parsed, options, journal))
        run = _start(parsed, host, script, output=shown, child=child, journal=journal, watch=watch, **waiting)
        try:
            result = result_of(run)
        finally:
            signals.hold()
            if watch:
                watch.close()
        unwritten = None
        if parsed.report and isinstance(watch, Watch):
            finished = report.FinishedRun(script.name, began, time.time(), result, watch.progress, shown.copied)
            unwritten = report.attempt(parsed.report, finished, host, run.kept)
    if (result.error or parsed.cancel_on_exit) and not options.emulate:  # the emulator keeps nothing
        from kosmolua.cli.unfinished import print_unfinished

        print_unfinished(result, canceled=parsed.cancel_on_exit)
    status = _show(options, result, script, shown, watch)
    if unwritten:
        print_error(unwritten)
        return status or unwritten.exit_status
    return status


def waiting_for_approval(
    parsed: argparse.Namespace, options: Options, journal: Journal | Cassette | None
) -> AbstractContextManager[ScriptOptions]:
    """The host options for waiting for approvals, with --wait-for-approval and without a terminal on which to ask."""
    no_options: ScriptOptions = {}
    if not parsed.wait_for_approval:
        return nullcontext(no_options)
    from kosmolua.cli.host import print_notice
    from kosmolua.host.asking import asking, may_decide
    from kosmolua.journal.journal import Journal
    from kosmolua.settings import approvers, config

    named = approvers.chosen(config.load(os.environ).approvals, parsed.approvers)
    if not isinstance(journal, Journal) or options.force or (sys.stderr.isatty() and may_decide(journal, named)):
        return nullcontext(no_options)
    return asking(journal, print_notice, parsed.approval_timeout, named)


def _access(parsed: argparse.Namespace) -> dict[str, Any]:
    """The host options that set what the script may use."""
    return {
        "isolation": parsed.isolation,
        "prepare": False,
        "caps": options_.caps(parsed),
        "allow_read": parsed.allow_read,
        "allow_write": parsed.allow_write,
        "allow_env": parsed.allow_env,
        "functions": parsed.functions,
    }


def _start(parsed: argparse.Namespace, host: Host, script: Text, **parts: Any) -> ScriptRun:
    return host.script(
        script.source,
        script.args if script.named is None else script.named,
        name=script.name,
        record=parsed.record,
        on_call=_print_call if parsed.verbose else None,
        own=_written(parsed),
        keep_outputs=bool(parsed.journal) and parsed.keep_outputs is not False,
        stdin=sys.stdin.buffer if sys.stdin and script.name != "stdin" else None,
        **parts,
    )


def _show(options: Options, result: Result, script: Text, shown: ScriptOutput, watch: Watch | Requests | None) -> int:
    """Print the result. The envelope of a dry run also has its requests."""
    if not options.dry_run:
        return results.show(options, result, script, shown)
    from kosmolua.cli.requests import Requests, stopped

    requests = watch.requests if isinstance(watch, Requests) else None
    return results.show(options, stopped(result, quiet=options.json), script, shown, requests)


def _written(parsed: argparse.Namespace) -> list[tuple[str, str]]:
    """The files that this command writes for the run, except a journal or a cassette."""
    report = [(parsed.report, "the report of this run")] if parsed.report else []
    return [*report, ("/dev/fd/1", "the output of this run"), ("/dev/fd/2", "the output of this run")]


def result_of(run: ScriptRun, attach: Attach | None = None) -> Result:
    """The result of the run, even if it was interrupted or the host failed."""
    from msgspec.structs import replace

    try:
        return run.result(attach)
    except KeyboardInterrupt:
        if run.outcome is None:
            raise
        return run.outcome
    except Exception as error:
        if run.outcome is None:
            raise
        return replace(run.outcome, error=failure_of(error, "the run"))


def _watch(parsed: argparse.Namespace, options: Options) -> Watch | Requests | None:
    """The watcher of the run: its requests in a dry run, else its progress, if a terminal or report shows that."""
    from kosmolua.terminal.plain import is_plain

    if options.dry_run and not parsed.report:
        from kosmolua.cli.requests import Requests

        return Requests(quiet=options.json)
    moving = sys.stderr.isatty() and not is_plain(os.environ)
    if not moving and not parsed.report:
        return None
    from kosmolua.cli.live import Watch

    return Watch(moving=moving, keep=bool(parsed.report))


def _print_call(entry: Entry) -> None:
    from kosmolua.cli.host import print_notice
    from kosmolua.terminal.safe import visible

    how = f"{entry.decision or 'not decided'} ({entry.rule}, by {entry.by})" if entry.rule else "not decided"
    outcome = entry.code or entry.status or entry.outcome
    print_notice(f"{entry.function} on account {visible(entry.account)}: {outcome}, {entry.duration_ms:.0f} ms, {how}")


@contextmanager
def _journal(parsed: argparse.Namespace, options: Options, script: Text) -> Iterator[Journal | Cassette | None]:
    """The journal or cassette of the run, if any. A run that is only recorded has a temporary journal."""
    for flag in ("fresh", "keep_outputs", "wait_for_approval"):
        if getattr(parsed, flag) and not parsed.journal:
            raise UsageError(f"--{flag.replace('_', '-')} needs --journal", hint="add --journal NAME")
    if parsed.approvers is not None and not parsed.wait_for_approval:
        raise UsageError("--approvers needs --wait-for-approval", hint="add --wait-for-approval")
    if not (parsed.journal or parsed.record or parsed.replay):
        yield None
        return
    from kosmolua.journal.records import Head

    head = Head(
        script=script.name,
        source=script.source,
        args=script.args,
        named=script.named,
        account=options.account,
        emulated=options.emulate,
    )
    with ExitStack() as stack:
        opened = _cassette(parsed, head) if parsed.replay else _opened_journal(parsed, options, head, stack)
        yield stack.enter_context(closing(opened))


def _cassette(parsed: argparse.Namespace, head: Head) -> Cassette:
    from kosmolua.journal.cassette import Cassette

    if parsed.journal or parsed.record:
        other = "--journal" if parsed.journal else "--record"
        raise UsageError(f"--replay and {other} cannot be combined", hint="leave one of them out")
    return Cassette(parsed.replay, head)


def _opened_journal(parsed: argparse.Namespace, options: Options, head: Head, stack: ExitStack) -> Journal:
    from kosmolua.cli.host import print_notice
    from kosmolua.journal import runs
    from kosmolua.journal.journal import Journal
    from kosmolua.journal.records import Lookup

    if options.dry_run:
        other = "--journal" if parsed.journal else "--record"
        raise UsageError(
            f"{other} cannot be combined with --dry-run, which has nothing to record", hint="leave one of them out"
        )
    if parsed.fresh and (parsed.from_here or parsed.adopt or parsed.send_again):
        raise UsageError("--fresh cannot be combined with flags that resume a run", hint="leave out --fresh")
    if not parsed.journal:
        from tempfile import TemporaryDirectory

        return Journal(os.path.join(stack.enter_context(TemporaryDirectory()), "run.journal"), head)
    lookup = Lookup(settling=parsed.settling_time, adopt=parsed.adopt, again=parsed.send_again)
    fresh_start = runs.FreshStart("--fresh", wanted=parsed.fresh)
    return runs.begin(os.environ, parsed.journal, head, print_notice, fresh_start, cut=parsed.from_here, lookup=lookup)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Run a Lua script against Replicate, in a separate process and through the permission gate.",
        "kosmo lua --emulate --eval 'return integrations.replicate.get_account{}'",
    )
    made.add_argument("file", nargs="?", metavar="FILE", help="script to run (default, or -: standard input)")
    made.add_argument("--eval", "-e", metavar="CODE", help="run CODE instead of a file")
    options_.add_shared(made)
    made.add_argument("--repl", action="store_true", help="on a terminal, start the prompt after FILE or CODE")
    made.add_argument(
        "--keys", choices=_KEYS, default=_KEYS[0], help=f"set the prompt's key bindings (default: {_KEYS[0]})"
    )
    made.add_argument(
        "--cancel-on-exit",
        action="store_true",
        help="cancel predictions and trainings that are still running when the run ends",
    )
    options_.add_isolation(made, none="none: run in this process")
    options_.add_limits(made)
    options_.add_gate(made)
    options_.add_functions(made)
    _add_journal(made)
    made.add_argument("--record", metavar="FILE", help="write a cassette: the calls of the run, without secrets")
    made.add_argument("--replay", metavar="FILE", help="run offline, with the answers of a cassette")
    made.add_argument("--report", metavar="FILE", help="write an HTML page about the run when it ends")
    made.add_argument("--verbose", "-v", action="store_true", help="print each call on standard error when it ends")
    made.add_argument("--no-check", action="store_true", help="skip the check before the run; see kosmo check --help")
    made.add_argument("--explain", action="store_true", help="show what the script declares and may call, and exit")
    made.add_argument("args", nargs="*", metavar="ARGS", help="arguments of the script, in `args` and `...`")
    if command == "repl":
        from kosmolua.cli import repl

        repl.adapt(made)
    return made


def _add_journal(made: options_.Parser) -> None:
    """Options for resuming a run that ended early."""
    group = made.add_argument_group("journal")
    group.add_argument(
        "--journal", metavar="FILE", help="record all answers in FILE or under a name, and resume from it"
    )
    group.add_argument("--fresh", action="store_true", help="start a new run; keep the old journal as NAME-DATE")
    group.add_argument(
        "--keep-outputs",
        action=argparse.BooleanOptionalAction,
        help="with --journal, keep copies of output files, which the API deletes after an hour (default: yes)",
    )
    group.add_argument(
        "--from-here",
        action="store_true",
        help="if script and journal diverge, discard the rest of the journal and continue",
    )
    group.add_argument(
        "--settling-time",
        type=options_.seconds,
        default=_SETTLING,
        metavar="SECONDS",
        help=f"how long to search for an interrupted call before resending it (default: {_SETTLING:g})",
    )
    group.add_argument(
        "--wait-for-approval",
        action="store_true",
        help="without a terminal to ask on, end the run with status 6 until a person decides: kosmo approvals",
    )
    options_.add_approval_timeout(group)
    options_.add_approvers(group)
    group.add_argument(
        "--adopt", metavar="ID", help="treat ID as the result of an interrupted call that cannot be identified"
    )
    group.add_argument(
        "--send-again", action="store_true", help="assume an unidentified interrupted call never ran, and resend it"
    )


# The script -------------------------------------------------------------------------------------------------------


def _source(parsed: argparse.Namespace) -> tuple[str, bytes]:
    """The name of the script in messages, and its text."""
    if parsed.eval is not None:
        if parsed.file is not None:
            raise UsageError(f"--eval and the file {parsed.file!r} cannot be combined", hint="leave one of them out")
        return "eval", os.fsencode(parsed.eval)
    if parsed.file not in (None, "-"):
        return parsed.file, source.read(parsed.file)
    if sys.stdin.isatty():
        raise UsageError(
            "no script given: expected FILE, --eval CODE or a script on standard input",
            hint="""for example: kosmo lua --emulate --eval 'print("hello")'""",
        )
    return "stdin", source.checked("standard input", sys.stdin.buffer.read(source.MAX_SOURCE + 1))
