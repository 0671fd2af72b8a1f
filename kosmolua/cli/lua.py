"""``integrations:lua``: run a script, from a file, the command line or standard input."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli.options import Options
from kosmolua.errors import KosmoError, UsageError
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits

if TYPE_CHECKING:
    import argparse

    from kosmolua.cli.output import ScriptOutput
    from kosmolua.gate.session import Session
    from kosmolua.runtime.run import Result, Script

MAX_SOURCE = 8 * 1024 * 1024
_DEFAULTS = Limits()


def run(command: str, argv: list[str]) -> int:
    began = time.perf_counter()
    own, script_args = _divided(argv)
    parsed = _parser(command).parse_args(own)
    options = options_.shared(parsed)
    child = None
    try:
        limits = Limits(parsed.cpu_limit, parsed.memory_limit, parsed.output_limit, parsed.time_limit)
        name, source = _source(parsed)
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
    from kosmolua import config
    from kosmolua.cli.output import ScriptOutput
    from kosmolua.replicate import catalogue
    from kosmolua.runtime.run import Script, run

    functions = [operation.names for operation in catalogue.OPERATIONS]
    accounts = [] if options.emulate else config.accounts(os.environ)
    script = Script(**script_fields, provider=catalogue.PROVIDER, functions=functions, accounts=accounts)
    shown = ScriptOutput(limits, keep=options.json)
    calls = _Calls(options, script.name)
    try:
        result = run(script, calls, shown, limits=limits, isolation=parsed.isolation, child=child)
        return _tell(options, result, script, shown, calls.session)
    finally:
        calls.close()


class _Calls:
    """Carries out a script's calls. The session is opened by the first: many a script makes none."""

    def __init__(self, options: Options, script: str) -> None:
        self.session: Session | None = None
        self._options = options
        self._script = script

    def __call__(self, function: str, account: str, arguments: bytes) -> Any:
        if self.session is None:
            from kosmolua.cli.session import open_session

            self.session = open_session(self._options, script=self._script)
        return self.session.call(function, arguments, account).data

    def close(self) -> None:
        if self.session:
            self.session.close()


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
    made.add_argument("args", nargs="*", metavar="-- ARGS", help="arguments for the script, in `args` and `...`")
    return made


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
    match = re.search(r":(\d+)$", getattr(error, "where", None) or "")
    if not script or not match:
        return None
    lines = script.source.decode(errors="replace").split("\n")
    at = int(match[1])
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
            **({"calls_not_logged": session.unlogged} if session and session.unlogged else {}),
        },
    }
