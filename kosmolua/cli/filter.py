"""``--jq`` of every command that prints JSON: run it with ``--json``, and print the results of the expression."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

from kosmolua.cli import output
from kosmolua.errors import UsageError
from kosmolua.terminal.safe import safe

FLAG = "--jq"
_ENDLESS = frozenset({"emulator:serve", "mcp:serve", "repl", "serve", "worker"})


def taken(command: str, argv: list[str]) -> tuple[list[str], str | None]:
    """The words with ``--json`` instead of ``--jq``, and the expression; None if the command's words do not have
    ``--jq``.
    """
    own = _own(command, argv)
    at = next((at for at, word in enumerate(own) if word.partition("=")[0] == FLAG), None)
    if at is None or {"-h", "--help"} & {*own}:
        return argv, None
    if command in _ENDLESS:
        raise UsageError(f"{FLAG}: kosmo {command} runs until it is stopped", hint=f"leave out {FLAG}")
    _, equals, expression = own[at].partition("=")
    if not equals:
        expression = "".join(own[at + 1 : at + 2])
    if not expression:
        raise UsageError(f"{FLAG}: missing expression", hint="for example: --jq .data")
    return [*argv[:at], "--json", *argv[at + (1 if equals else 2) :]], expression


def _own(command: str, argv: list[str]) -> list[str]:
    """The words for the command itself, which precede those for a script that it runs."""
    if command != "integrations:lua":
        return argv[: argv.index("--")] if "--" in argv else argv
    from kosmolua.cli.division import divided
    from kosmolua.cli.lua import options_taken

    return divided(argv, options_taken(command))[0]


def run(command: Callable[[list[str]], int], argv: list[str], expression: str) -> int:
    """Run the command and print the expression's results. A failed command's error is printed as without ``--jq``."""
    query = _compiled(expression)
    status, text = _captured(command, argv)
    if status and _shows_failure(text):
        return status
    for found in _results(query, text):
        output.write_text((found if isinstance(found, str) else output.to_json(found)) + "\n")
    return status


def _captured(command: Callable[[list[str]], int], argv: list[str]) -> tuple[int, str]:
    """The exit status of the command, and what it wrote to standard output."""
    before, bytes_ = sys.stdout, io.BytesIO()
    sys.stdout = kept = io.TextIOWrapper(bytes_, "utf-8", write_through=True)
    try:
        status = command(argv)
    except UsageError as error:
        if error.message.startswith("unrecognized arguments: --json"):
            raise UsageError(f"{FLAG}: this command prints no JSON", hint=f"leave out {FLAG}") from None
        raise
    finally:
        sys.stdout = before
    kept.flush()
    return status, bytes_.getvalue().decode(errors="replace")


def _shows_failure(text: str) -> bool:
    """Print the error in an envelope. False if it has no error, as when a check found problems."""
    try:
        found = json.loads(text)
        message, hint = found["error"], found["meta"].get("hint")
    except (ValueError, TypeError, KeyError, AttributeError):
        return not text
    print(safe(f"error: {message}"), file=sys.stderr)
    if hint:
        print(safe(f"hint: {hint}"), file=sys.stderr)
    return True


def _compiled(expression: str) -> Any:
    """The compiled expression. Raises a `UsageError` if it is invalid or the package jq is missing."""
    try:
        import jq
    except ImportError:
        raise UsageError(
            f"{FLAG} needs the Python package jq, which is not installed",
            hint="install it: pip install 'kosmolua[jq]', or use the program: ... --json | jq EXPR",
        ) from None
    try:
        return jq.compile(expression)
    except ValueError as error:
        raise _wrong(error) from None


def _results(query: Any, text: str) -> list[Any]:
    try:
        found: list[Any] = query.input_text(text).all()
    except ValueError as error:
        raise _wrong(error) from None
    return found


def _wrong(error: ValueError) -> UsageError:
    return UsageError(f"{FLAG}: {str(error).splitlines()[0]}", hint="see the manual of jq: man jq")
