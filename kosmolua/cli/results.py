"""Show the result of a script: its values or its error, or the envelope."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from kosmolua.errors import ExitError, KosmoError, OutputError
from kosmolua.terminal.safe import safe

if TYPE_CHECKING:
    from kosmolua.cli.options import Options
    from kosmolua.cli.output import ScriptOutput
    from kosmolua.host.result import Result


class Text(NamedTuple):
    """The script: its name in messages, its text, and its arguments, as a list or by name."""

    name: str
    source: bytes
    args: list[str]
    named: dict[str, object] | None = None


def show(options: Options, result: Result, script: Text, shown: ScriptOutput, requests: list[Any] | None = None) -> int:
    """Print the result. If standard output cannot be written, print what was created, so that its id is not lost."""
    from kosmolua.cli.output import print_created, print_error

    lost = isinstance(result.error, OutputError)
    try:
        status = show_one(options, result, script, shown, requests)
    except OutputError as error:
        lost = True
        for each in (result.error, error):
            if each:
                print_error(each)
        status = (result.error or error).exit_status
    if lost and not options.emulate:
        print_created(each for each in result.created if not (result.error and each in result.running))
    return status


def show_one(
    options: Options,
    result: Result,
    script: Text | None = None,
    shown: ScriptOutput | None = None,
    requests: list[Any] | None = None,
) -> int:
    """Print the result. ``requests`` are the requests of a dry run."""
    from kosmolua.cli import output

    if result.error and result.error.code == "syntax_error" and script:
        from kosmolua.check.syntax import explain

        explain(result.error, script.name, script.source)
    if options.json:
        envelope = _envelope(options, result, script, shown)
        if requests is not None:
            envelope["meta"]["requests"] = requests
        output.show_json(envelope)
    elif isinstance(result.error, ExitError):
        pass  # a script that calls exit prints its own reason
    elif result.error:
        output.print_error(result.error, _excerpt(script, result.error))
    else:
        _show_results(result.results)
    return result.error.exit_status if result.error else 0


def _show_results(results: list[Any]) -> None:
    from kosmolua.cli import output

    while results and results[-1] is None:
        results = results[:-1]
    for value in results:
        text = value if isinstance(value, str) else output.to_json(value, ordered=True)
        output.write_text((safe(text) if sys.stdout.isatty() else text) + "\n")


def _excerpt(script: Text | None, error: KosmoError) -> str | None:
    """The line of the script that the error names, with the lines around it."""
    match = re.fullmatch(r"(.+):([0-9]{1,9})", getattr(error, "where", None) or "")
    if script and match and match[1] != script.name and error.code == "syntax_error" and isinstance(error.detail, str):
        return f"  > {match[2]:>4} | {error.detail[:160]}"
    if not script or not match or match[1] != script.name:
        return None
    lines = _lines(script.source)
    at = int(match[2])
    around = range(max(1, at - 1), min(len(lines), at + 1) + 1)
    return "\n".join(f"  {'>' if number == at else ' '} {number:>4} | {lines[number - 1][:160]}" for number in around)


def _lines(source: bytes) -> list[str]:
    """The lines of a source, without a byte order mark and carriage returns."""
    return [line.removesuffix("\r") for line in source.decode("utf-8-sig", errors="replace").split("\n")]


def _envelope(options: Options, result: Result, script: Text | None, shown: ScriptOutput | None) -> dict[str, Any]:
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
        "call_log": result.log,
        "meta": {
            **failed["meta"],
            "script": script.name if script else None,
            "account": options.account,
            "emulated": options.emulate,
            "engine": result.engine,
            "isolation": result.isolation,
            "cpu_time_ms": round(result.cpu * 1000, 3) if result.cpu is not None else None,
            **_about(result),
        },
    }


def _about(result: Result) -> dict[str, Any]:
    """What the gate reports about the run, if there was a call."""
    if result.run is None:
        return {}
    running = [{"kind": kind, "id": identifier, "account": account} for kind, identifier, account in result.running]
    return {
        "run": result.run,
        "spent": result.spent,
        **({"guessed": result.guessed} if result.guessed else {}),
        **({"budget": result.caps} if result.caps else {}),
        **({"running": running} if running else {}),
        **({"calls_not_logged": result.unlogged} if result.unlogged else {}),
    }
