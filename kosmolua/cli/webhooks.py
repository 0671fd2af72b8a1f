"""``webhooks:verify``: whether a webhook that was received comes from Replicate."""

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
    """Exit status 0 where it is signed and lately, 1 where not."""
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
        "Checks a webhook's signature and age. The body is read from standard input, byte for byte as received.",
        f"kosmo {command} --headers request.headers --secret-env WEBHOOK_SECRET < request.body",
    )
    made.add_argument("--id", metavar="ID", help=f"the header {ID}")
    made.add_argument("--timestamp", metavar="SECONDS", help=f"the header {TIMESTAMP}")
    made.add_argument("--signature", metavar="TEXT", help=f"the header {SIGNATURE}")
    made.add_argument("--headers", metavar="FILE", help="all headers, a line each as HTTP has them, instead")
    made.add_argument("--secret-env", metavar="NAME", help="take the secret from this environment variable")
    made.add_argument("--secret-file", metavar="FILE", help="take the secret from this file; without either: the API")
    made.add_argument(
        "--tolerance", type=options_.seconds, default=TOLERANCE, metavar="S", help=f"seconds (default: {TOLERANCE:.0f})"
    )
    options_.add_shared(made)
    return made


def _check_no_secret(argv: list[str]) -> None:
    """An argument stands in the list of processes and in the shell's history, and so does what is repeated of it."""
    if any("whsec_" in word or word.partition("=")[0] == "--secret" for word in argv):
        raise UsageError(
            "a secret is not taken as an argument: everybody on this machine can read it there",
            hint="name where it is: --secret-env NAME or --secret-file FILE, or leave both out to ask the API",
        )


# What is given ----------------------------------------------------------------------------------------------------


def _headers(parsed: argparse.Namespace) -> dict[str, str]:
    single = {ID: parsed.id, TIMESTAMP: parsed.timestamp, SIGNATURE: parsed.signature}
    given = {name: value for name, value in single.items() if value is not None}
    if parsed.headers is None:
        missing = [f"--{name.removeprefix('webhook-')}" for name in single if name not in given]
        if missing:
            raise UsageError(f"missing {', '.join(missing)}", hint="give all three, or --headers FILE")
        return given
    return {**_read_headers(parsed.headers), **given}


def _read_headers(path: str) -> dict[str, str]:
    """Lines of ``Name: value``; others, such as the request's first, say nothing."""
    lines = _file(path).decode("latin-1").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _secret(parsed: argparse.Namespace, options: options_.Options) -> str:
    if parsed.secret_env is not None and parsed.secret_file is not None:
        raise UsageError("--secret-env and --secret-file: one is taken")
    if parsed.secret_env is not None:
        if not os.environ.get(parsed.secret_env):
            raise ConfigurationError(  # the name is not repeated: it may be the secret itself
                "the environment variable that --secret-env names is not set", hint="export NAME=whsec_…"
            )
        return os.environ[parsed.secret_env]
    if parsed.secret_file is not None:
        return _file(parsed.secret_file, _MAX_SECRET).decode("latin-1")
    return _fetched(options)


def _fetched(options: options_.Options) -> str:
    """The account's own, from the API."""
    if options.dry_run:
        raise UsageError(
            "--dry-run asks nobody for the secret", hint="name it: --secret-env NAME or --secret-file FILE"
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
        raise UsageError("the body is read from standard input", hint="… < request.body")
    return sys.stdin.buffer.read()
