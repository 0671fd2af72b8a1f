"""``serve``: the console, web pages about the runs in a database."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kosmolua.cli import options as options_
from kosmolua.cli.worker import add_database, opened
from kosmolua.errors import EXIT_SIGNALED, ConfigurationError, UsageError
from kosmolua.replicate.token import quoted
from kosmolua.settings import approvers
from kosmolua.terminal.safe import visible

if TYPE_CHECKING:
    from kosmolua.console.access import Secret
    from kosmolua.console.views import Settings
    from kosmolua.replicate.prices import Prices
    from kosmolua.settings.config import Allowance, Approving

HOST, PORT = "127.0.0.1", 8789
MAX_PORT = 65_535


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    if parsed.port > MAX_PORT:
        raise UsageError(f"--port: expected 0 to {MAX_PORT}, got {parsed.port}", hint="--port 0 picks a free port")
    public = _public(parsed.public_url)
    with opened(parsed.database) as database:
        try:
            from kosmolua.console import server
        except ImportError:
            raise ConfigurationError(
                "the packages for the console are not installed", hint="install them: pip install 'kosmolua[serve]'"
            ) from None
        secrets = _secrets(parsed, public)
        socket = server.listening(parsed.host, parsed.port)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        url = public or f"http://{host}:{socket.getsockname()[1]}"
        number = server.serve(database, _settings(secrets, public), socket, lambda: _announce(parsed, url, secrets))
    return EXIT_SIGNALED + number if number else 0


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Serve web pages that show the runs, approvals, schedules, budgets and workers in a database. On a loopback "
        "address nobody has to sign in. On any other address, or with --login, --secret-file or --public-url, users "
        "sign in with a secret for the role read or approve.",
        f"kosmo {command} --port {PORT}",
    )
    made.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"listen on this address (default: {HOST})")
    made.add_argument(
        "--port", type=options_.port, default=PORT, metavar="PORT", help=f"listen on this port (default: {PORT})"
    )
    add_database(made)
    made.add_argument("--login", action="store_true", help="require a secret even on a loopback address")
    made.add_argument(
        "--secret-file",
        metavar="FILE",
        help="read secrets from FILE, one 'ROLE NAME SECRET' per line (default: generate them)",
    )
    made.add_argument(
        "--public-url",
        metavar="URL",
        help="the address that browsers use, if a proxy on this machine serves the console",
    )
    return made


def _public(given: str | None) -> str:
    """The origin of the URL given with --public-url."""
    if given is None:
        return ""
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
        raise UsageError(
            f"--public-url: expected an address such as https://kosmo.example.com, got {quoted(given)}",
            hint="give the console its own host name: --public-url https://kosmo.example.com",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _secrets(parsed: argparse.Namespace, public: str) -> tuple[Secret, ...]:
    """The secrets to sign in with; none if only this machine can connect and no flag requires them."""
    from kosmolua.console import access
    from kosmolua.console.requests import is_loopback

    if parsed.secret_file is not None:
        return tuple(access.read(parsed.secret_file))
    return tuple(access.made()) if parsed.login or public or not is_loopback(parsed.host) else ()


def _settings(secrets: tuple[Secret, ...], public: str) -> Settings:
    from kosmolua.console.views import Settings

    return Settings(
        prices=_prices,
        approvals=_approving,
        budgets=_budgets,
        tell=_tell,
        secrets=secrets,
        public_url=public,
        name=approvers.current(),
    )


def _tell(text: str) -> None:
    print(f"kosmo serve: {visible(text)}", file=sys.stderr, flush=True)


def _prices() -> Prices:
    from kosmolua.settings import config, pricelist

    return pricelist.in_force(config.load(os.environ), os.environ)


def _approving() -> Approving:
    from kosmolua.settings import config

    return config.load(os.environ).approvals


def _budgets() -> list[Allowance]:
    from kosmolua.settings import config

    return [budget for _, budget in config.load(os.environ).budgets]


def _announce(parsed: argparse.Namespace, url: str, secrets: tuple[Secret, ...]) -> None:
    from kosmolua.console.requests import is_loopback

    lines = [f"the console is at {url}"]
    if secrets and parsed.secret_file is None:
        lines += [f"secret for the role {each.role}: {each.value}" for each in secrets]
    elif not secrets:
        lines.append("every user of this machine can use the console; to require a secret: kosmo serve --login")
    if not is_loopback(parsed.host) and not url.startswith("https://"):
        lines.append(
            "secrets and pages are sent without encryption: use the console in a private network or through a proxy "
            "with TLS"
        )
    print("\n".join(lines), file=sys.stderr, flush=True)
