"""``run``: run a model once and print its output. The script run.lua does the work, and runs like any other script."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import files as resources
from shlex import quote
from typing import TYPE_CHECKING, Any

from kosmolua.cli import given as given_
from kosmolua.cli import options as options_
from kosmolua.cli import outcome, output
from kosmolua.cli.host import host_of
from kosmolua.cli.options import Options
from kosmolua.cli.outcome import Job
from kosmolua.cli.signals import Signals
from kosmolua.cli.versions import version_of
from kosmolua.errors import ArgumentError, KosmoError, UsageError
from kosmolua.replicate.versions import parse
from kosmolua.settings import recent
from kosmolua.settings.config import account_flag

if TYPE_CHECKING:
    import argparse

    from kosmolua.cli.given import Given
    from kosmolua.host.host import Host
    from kosmolua.host.result import Result
    from kosmolua.replicate.versions import Version, Versions

NAME = "kosmo run"
MAX_RECENT = 10
SPEED = 8.0  # speed of emulated models: the slow video model takes 10 s instead of 78
_FILE = re.compile(r'did you mean file\("([^"]*)"\)\?( - at `input\.(\w+))')
_SAVE = frozenset(
    {"o", "out", "output", "output-directory", "output-file", "download"}
)  # what other programs call --save
_AT = re.compile(rf" \({NAME}:\d+\)$")
_TEXT = ("text", "concatenate")
# Error codes of a version lookup with which the run would fail too.
_DECISIVE = frozenset({"not_found", "not_configured", "not_authenticated", "unreachable", "usage"})


def run(command: str, argv: list[str]) -> int:
    began = time.perf_counter()
    parsed = _parsed(command, argv)
    options = options_.shared(parsed)
    if parsed.model is None:
        return _introduce(command, options)
    job = Job(parsed.model, options, began, cost=parsed.cost)
    signals = Signals()
    try:
        _check(parsed, options)
        with signals, ExitStack() as stack:
            return signals.status(_carry_out(parsed, job, signals, stack))
    except KosmoError as error:
        return outcome.fail(job, _plain(error, parsed.model, options.account))


def _carry_out(parsed: argparse.Namespace, job: Job, signals: Signals, stack: ExitStack) -> int:
    words = given_.divided([*parsed.inputs, *parsed.input])
    parse(parsed.model)
    readable = given_.directories(words, stack)
    host = stack.enter_context(_host(parsed, job.options, readable))
    versions = host.versions()
    version = _version(host, versions, parsed.model, job.options, check=not parsed.no_check)
    inputs = version.inputs if version and version.inputs.fields else None
    given = given_.collect(words, inputs, readable[0] if readable else "")
    if parsed.cost:
        return outcome.show_cost(job, _cost(host, parsed.model, version, given))
    recent.note(os.environ, parsed.model, version.id if version else "")
    known = versions if version and not job.options.dry_run else None
    return _run(parsed, job, host, version, given, signals, known)


def _run(
    parsed: argparse.Namespace,
    job: Job,
    host: Host,
    version: Version | None,
    given: Given,
    signals: Signals,
    known: Versions | None,
) -> int:
    from kosmolua.cli.lua import result_of
    from kosmolua.cli.requests import Requests, stopped
    from kosmolua.cli.unfinished import print_unfinished

    mode = _mode(parsed, job, version)
    text = output.to_json(_job(parsed, given, mode), indent=False)
    shown = outcome.Pieces(output.ScriptOutput(keep=False))
    watch = outcome.watch_of(job)
    source = (resources("kosmolua.cli") / "run.lua").read_bytes()
    script = host.script(source, [text], name=NAME, output=shown, watch=watch, versions=known)
    pictures = outcome.Pictures(wanted=not job.options.json)
    try:
        result = result_of(script, pictures.collect)
    finally:
        signals.hold()
        if watch:
            watch.close()
        shown.finish()
    if result.error:
        _plain(result.error, parsed.model, job.options.account)
    if isinstance(watch, Requests):
        return outcome.show_requests(job, stopped(result, quiet=job.options.json), watch.requests)
    if (result.error or parsed.cancel_on_exit) and not job.options.emulate:  # the emulator keeps nothing
        print_unfinished(result, canceled=parsed.cancel_on_exit)
    if result.error:
        outcome.name_created(job, result, result.error)
        return outcome.fail(job, result.error, result)
    return _finish(parsed, job, result, pictures)


def _finish(parsed: argparse.Namespace, job: Job, result: Result, pictures: outcome.Pictures) -> int:
    if parsed.save:
        outcome.save_text(result.results[0], parsed.save, overwrite=parsed.overwrite)
    try:
        return outcome.show(job, result, pictures)
    except KosmoError as error:
        outcome.name_created(job, result, error)
        raise


# The job ----------------------------------------------------------------------------------------------------------


def _version(host: Host, versions: Versions, reference: str, options: Options, *, check: bool) -> Version | None:
    """The version to run, with its schema. None if it is missing or the account may not read it. An error with which
    the run would also fail is raised if ``check``.
    """
    try:
        return version_of(host, reference, options) if options.dry_run else versions.find(reference)
    except KosmoError as error:
        if check and error.code in _DECISIVE:
            raise
        return None


def _host(parsed: argparse.Namespace, options: Options, readable: Sequence[str]) -> Host:
    """The host of the run. It may read the given files, and write where the output is saved."""
    save = os.path.dirname(parsed.save) or "." if parsed.save else None
    return host_of(
        options,
        isolation="none",
        prepare=False,
        caps=options_.caps(parsed),
        allow_read=readable,
        allow_write=[save] if save else (),
        cancel_on_exit=parsed.cancel_on_exit,
        speed=SPEED,
    )


def _mode(parsed: argparse.Namespace, job: Job, version: Version | None) -> str:
    """The mode of the job: only create the prediction, stream its text, or wait for its output."""
    if parsed.no_wait:
        return "create"
    is_text = version is not None and version.output["kind"] in _TEXT
    if parsed.stream and not is_text:
        outcome.notice(f"the output of {job.model} is not text; it is shown at the end")
    wanted = parsed.stream or (sys.stdout.isatty() and not job.options.json and parsed.timeout is None)
    return "stream" if wanted and is_text else "run"


def _job(parsed: argparse.Namespace, given: Given, mode: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {"validate": False} if parsed.no_check else {}
    if mode == "run" and sys.stderr.isatty():
        chosen["wait"] = 1  # seconds; a short wait, so that the prediction's id and state can be shown soon
    if parsed.timeout is not None:
        chosen |= {"timeout": parsed.timeout, "cancel_on_timeout": True}
    return {
        "ref": parsed.model,
        "input": given.input,
        "files": given.files,
        "mode": mode,
        "options": chosen,
        "save": parsed.save,
        "overwrite": parsed.overwrite,
    }


def _cost(host: Host, reference: str, version: Version | None, given: Given) -> float | None:
    """The highest expected cost by the price table; None if the model has no price."""
    meant = parse(reference)
    arguments: dict[str, Any] = {"input": given.input, "version": reference}
    if meant.deployment:
        arguments = {"input": given.input, "deployment_owner": meant.owner, "deployment_name": meant.name}
    elif meant.name and not meant.version:
        arguments = {"input": given.input, "model_owner": meant.owner, "model_name": meant.name}
    if version:
        from kosmolua.replicate.inputs import refuse

        refuse(version.inputs.check(given.with_files), reference)
    session = host.session(NAME)
    try:
        quote = session.budget.price(arguments)
    finally:
        session.close()
    amount = quote.expected(quote.price.seconds) if quote else None
    return None if amount is None else float(amount)


def _plain(error: KosmoError, model: str, account: str) -> KosmoError:
    """The error without line numbers of run.lua, and with a hint for the command line."""
    error.message = _FILE.sub(r"did you mean \3=@\1?\2", _AT.sub("", error.message))
    for name in ("where", "traceback"):
        if getattr(error, name, None):
            setattr(error, name, None)
    if error.hint and "/" in model:
        error.hint = error.hint.replace("OWNER/NAME", quote(model))
    if error.hint and "validate = false" in error.hint:
        error.hint = (
            f"see its inputs: kosmo model {quote(model)}{account_flag(account)}, or send it unchecked: --no-check"
        )
    return error


# The command line -------------------------------------------------------------------------------------------------


def _parsed(command: str, argv: list[str]) -> argparse.Namespace:
    parsed, unknown = _parser(command).parse_known_intermixed_args(argv)
    if unknown:
        raise _unknown(command, unknown[0])
    return parsed


def _unknown(command: str, word: str) -> UsageError:
    """The error for an unknown option. Most unknown options are inputs, written as in other programs."""
    from kosmolua.replicate.nearest import nearest

    name, _, text = word.lstrip("-").partition("=")
    known = [flag for action in _parser(command)._actions for flag in action.option_strings]  # noqa: SLF001
    near = ["--save"] if name in _SAVE else nearest(word.partition("=")[0], known, least=0.75)
    hint = f"list the options: kosmo {command} --help"
    if name and not near:
        hint = f"inputs are written without dashes: {name}={text if text and 'r8_' not in text else 'VALUE'}"
    return UsageError(
        f"unknown option {word.partition('=')[0]!r}" + (f"; did you mean {near[0]}?" if near else ""), hint=hint
    )


def _check(parsed: argparse.Namespace, options: Options) -> None:
    """Raise a `UsageError` for flags that cannot be combined, and for a file that would be overwritten."""
    pairs = (
        (parsed.stream, options.json, "--stream and --json"),
        (parsed.stream, parsed.no_wait, "--stream and --no-wait"),
        (parsed.stream, parsed.timeout is not None, "--stream and --timeout"),
        (parsed.no_wait, bool(parsed.save), "--no-wait and --save"),
        (parsed.no_wait, parsed.timeout is not None, "--no-wait and --timeout"),
        (parsed.no_wait, parsed.cancel_on_exit, "--no-wait and --cancel-on-exit"),
    )
    for one, other, words in pairs:
        if one and other:
            raise UsageError(f"{words} cannot be combined", hint="leave one of them out")
    if parsed.save:
        _check_target(parsed)


def _check_target(parsed: argparse.Namespace) -> None:
    path = os.path.expanduser(parsed.save)
    parsed.save = os.path.join(path, "") if os.path.isdir(path) else path
    if os.path.isfile(path) and not parsed.overwrite:
        raise ArgumentError(
            f"--save: {parsed.save} exists", hint="choose another file or a directory, or add --overwrite"
        )
    try:
        os.makedirs(os.path.dirname(parsed.save) or ".", exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"--save: cannot create {os.path.dirname(path)!r}: {error.strerror}") from None


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Run a model and print its output. Text is printed as it arrives. Before anything that costs money is sent, "
        "inputs are checked against the model's schema, and calls against policy and budgets.",
        "\n  ".join(
            [
                f"kosmo {command} meta/meta-llama-3-8b-instruct prompt='a poem about rain'",
                f"kosmo {command} black-forest-labs/flux-schnell prompt='a fox' num_outputs=2 --save out/",
                f"kosmo {command} owner/name image=@cat.png scale=2 --save big.png --json",
                f"cat notes.txt | kosmo {command} owner/name prompt=@- max_tokens=200",
            ]
        ),
    )
    made.add_argument(
        "model", nargs="?", metavar="MODEL", help="owner/name, owner/name:version or deployments/owner/name"
    )
    made.add_argument(
        "inputs",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="an input, read by the model's schema; @FILE: the file, @-: standard input, @@TEXT: text that starts "
        "with @; repeat a name to give a list; a JSON object, or - for one on standard input, gives several inputs",
    )
    made.add_argument(
        "--input", "-i", action="append", default=[], metavar="NAME=VALUE", help="like the word NAME=VALUE; repeatable"
    )
    made.add_argument("--save", metavar="PATH", help="save the output to a file, or in a directory (DIR/)")
    made.add_argument("--overwrite", action="store_true", help="with --save, replace an existing file")
    made.add_argument(
        "--stream", action="store_true", help="print text as it arrives (default on a terminal, unless --json is given)"
    )
    made.add_argument("--no-wait", action="store_true", help="create the prediction, print its id, and exit")
    made.add_argument("--cost", action="store_true", help="print the highest expected cost, and run nothing")
    made.add_argument(
        "--timeout",
        type=options_.seconds,
        metavar="SECONDS",
        help="cancel the prediction if it has not ended after SECONDS",
    )
    made.add_argument("--cancel-on-exit", action="store_true", help="cancel the prediction on a signal")
    made.add_argument("--no-check", action="store_true", help="send the inputs without checking them")
    options_.add_shared(made)
    options_.add_caps(made)
    return made


def _introduce(command: str, options: Options) -> int:
    """Help without arguments: what the command does, and the models that were run last."""
    models = [one.model for one in recent.read(os.environ)][:MAX_RECENT]
    if options.emulate:
        from kosmolua.emulator.genesis import MODELS

        models = [one.slug for one in MODELS]
    if options.json:
        output.show_json({"success": True, "models": models})
        return 0
    from kosmolua.terminal.safe import safe
    from kosmolua.terminal.text import heading

    title = "models of the emulator" if options.emulate else "recent models"
    listed = "\n".join(f"  {model}" for model in models) or "  none yet; find one: kosmo models search WORDS"
    output.write_text(
        f"usage: kosmo {command} MODEL [NAME=VALUE ...] [OPTIONS]\n\n"
        f"Run a model and print its output, for example:\n"
        f"  kosmo {command} meta/meta-llama-3-8b-instruct prompt='a poem about rain'\n"
        f"  kosmo {command} black-forest-labs/flux-schnell prompt='a fox' --save out/\n\n"
        f"{heading(title)}\n{safe(listed)}\n\n"
        f"A model's inputs: kosmo models show MODEL. All options: kosmo {command} --help\n"
    )
    return 0
