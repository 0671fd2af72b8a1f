"""``webhooks:verify``: verify that a received webhook was signed by Replicate."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.cli.host import host_of
from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate.webhook import ID, SIGNATURE, TIMESTAMP, TOLERANCE, verify_webhook
from kosmolua.terminal.safe import safe

_MAX_SECRET = 4096


def run(command: str, argv: list[str]) -> int:
    """Verify a webhook. The exit status is 0 if its signature and age are valid, else 1."""
    _check_no_secret(argv)
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    headers = _headers(parsed)
    identifier = verify_webhook(headers, _body(), _secret(parsed, options), tolerance=parsed.tolerance)
    if options.json:
        output.show_json({"success": True, "id": identifier, "timestamp": int(headers[TIMESTAMP].strip())})
    else:
        output.write_text(safe(f"{identifier}: signed\n"))
    return 0


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Verify the signature and age of a webhook. Pass the body on standard input, byte for byte as received.",
        f"kosmo {command} --headers request.headers --secret-env WEBHOOK_SECRET < request.body",
    )
    made.add_argument("--id", metavar="ID", help=f"value of the header {ID}")
    made.add_argument("--timestamp", metavar="SECONDS", help=f"value of the header {TIMESTAMP}")
    made.add_argument("--signature", metavar="TEXT", help=f"value of the header {SIGNATURE}")
    made.add_argument(
        "--headers", metavar="FILE", help="read all headers from FILE instead, one 'Name: value' per line"
    )
    made.add_argument(
        "--secret-env", metavar="NAME", help="read the secret from this environment variable (default: ask the API)"
    )
    made.add_argument("--secret-file", metavar="FILE", help="read the secret from FILE (default: ask the API)")
    made.add_argument(
        "--tolerance",
        type=options_.seconds,
        default=TOLERANCE,
        metavar="SECONDS",
        help=f"accept a webhook up to SECONDS old (default: {TOLERANCE:.0f})",
    )
    options_.add_shared(made)
    return made


def _check_no_secret(argv: list[str]) -> None:
    """Refuse a secret as an argument, where it is visible in the process list and the shell history."""
    if any("whsec_" in word or word.partition("=")[0] == "--secret" for word in argv):
        raise UsageError(
            "a secret cannot be an argument: other users of this machine could read it",
            hint="use --secret-env NAME or --secret-file FILE; without them the secret comes from the API",
        )


# Input ------------------------------------------------------------------------------------------------------------


def _headers(parsed: argparse.Namespace) -> dict[str, str]:
    single = {ID: parsed.id, TIMESTAMP: parsed.timestamp, SIGNATURE: parsed.signature}
    given = {name: value for name, value in single.items() if value is not None}
    if parsed.headers is None:
        missing = [f"--{name.removeprefix('webhook-')}" for name in single if name not in given]
        if missing:
            raise UsageError(f"missing {', '.join(missing)}", hint="pass all three, or --headers FILE")
        return given
    return {**_read_headers(parsed.headers), **given}


def _read_headers(path: str) -> dict[str, str]:
    """Read lines of the form ``Name: value``; other lines, such as the request line, are skipped."""
    lines = _file(path).decode("latin-1").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _secret(parsed: argparse.Namespace, options: options_.Options) -> str:
    if parsed.secret_env is not None and parsed.secret_file is not None:
        raise UsageError("--secret-env and --secret-file cannot be combined", hint="leave one of them out")
    if parsed.secret_env is not None:
        if not os.environ.get(parsed.secret_env):
            raise ConfigurationError(  # the name is not shown: it may be the secret itself
                "--secret-env: this environment variable is not set", hint="set it: export NAME=whsec_…"
            )
        return os.environ[parsed.secret_env]
    if parsed.secret_file is not None:
        return _file(parsed.secret_file, _MAX_SECRET).decode("latin-1")
    return _fetched(options)


def _fetched(options: options_.Options) -> str:
    """The secret of the account, from the API."""
    if options.dry_run:
        raise UsageError(
            "--dry-run cannot ask the API for the secret", hint="use --secret-env NAME or --secret-file FILE"
        )
    with host_of(options, isolation="none") as host:
        answer: Any = host.call("get_default_webhook_secret")
    return str(answer.get("key")) if isinstance(answer, dict) else ""


def _file(path: str, limit: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise UsageError(f"cannot read {path!r}: {error.strerror}") from None


def _body() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("missing body on standard input", hint="redirect it: < request.body")
    return sys.stdin.buffer.read()
