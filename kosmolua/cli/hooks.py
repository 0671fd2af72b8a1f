"""``webhooks:serve``: receive Replicate's webhooks, and requests that start runs."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kosmolua.cli import observed
from kosmolua.cli import options as options_
from kosmolua.cli.worker import add_database, opened
from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.settings import config

if TYPE_CHECKING:
    from collections.abc import Callable

HOST, PORT = "127.0.0.1", 8711


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    if options.dry_run or options.json:
        raise UsageError("--dry-run and --json do not apply to a server", hint=f"kosmo {command} --help")
    _check_installed()
    from kosmolua.cli.host import check_settings, host_of, print_notice
    from kosmolua.serve import server
    from kosmolua.serve.app import app_of
    from kosmolua.serve.replicate import Receiver, Secrets
    from kosmolua.serve.triggers import Starter

    check_settings()
    accounts = _accounts(parsed)
    with (
        closing(server.listening(parsed.host, parsed.port)) as listening,
        opened(parsed.database, size=8) as database,
        host_of(options, isolation="none") as host,
        observed.measured(parsed.metrics, database.url) as metrics,
    ):
        count = metrics.received if metrics else lambda _: None
        receiver = Receiver(database, Secrets(_fetching(host)), accounts, count)
        app = app_of(receiver, Starter(database, parsed.queue, count))
        server.serve(app, listening, lambda: print_notice(_greeting(server.url_of(listening), accounts)), parsed.proxy)
    print("kosmo: stopped", file=sys.stderr)
    return 0


def _check_installed() -> None:
    from importlib.util import find_spec

    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ConfigurationError(
            "the packages of this server are not installed", hint="install them: pip install 'kosmolua[serve,worker]'"
        )


def _network(text: str) -> str:
    from ipaddress import ip_network

    try:
        return str(ip_network(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected an address or a network, such as 10.0.0.7 or 172.16.0.0/12, got {text!r}"
        ) from None


def _accounts(parsed: argparse.Namespace) -> list[str]:
    if parsed.accounts is None:
        return [config.DEFAULT_ACCOUNT, *config.accounts(os.environ)]
    names: list[str] = parsed.accounts.split(",")
    if not all(names):
        raise UsageError(
            f"--accounts: expected names separated by commas, got {parsed.accounts!r}", hint="omit it for all accounts"
        )
    return names


def _fetching(host: Any) -> Callable[[str], str]:
    """A function that gets the signing secret of an account from the API."""

    def fetch(account: str) -> str:
        found = host.call("get_default_webhook_secret", account=account)
        return str(found.get("key")) if isinstance(found, dict) else ""

    return fetch


def _greeting(url: str, accounts: list[str]) -> str:
    public = config.load(os.environ).webhooks.url
    unset = "webhooks.url is not set in config.toml, so Replicate sends no webhooks"
    where = f"Replicate sends them to {public}" if public else unset
    local = "" if url.startswith(("http://127.", "http://[::1]")) else "; put a proxy with TLS in front of it"
    return f"serving {url}/replicate/ACCOUNT for {', '.join(accounts)} ({where}), and {url}/trigger/NAME{local}"


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Receive Replicate's webhooks, which wake waiting runs, and requests that start runs (kosmo triggers). Put a "
        "proxy with TLS in front of this server, and set webhooks.url in config.toml to its public address. Without "
        "that address, workers poll instead.",
        f"kosmo {command} --port {PORT}",
    )
    add_database(made)
    made.add_argument("--host", default=HOST, metavar="HOST", help=f"address to listen on (default: {HOST})")
    made.add_argument("--port", type=options_.port, default=PORT, metavar="PORT", help=f"port (default: {PORT})")
    made.add_argument(
        "--proxy",
        type=_network,
        default=HOST,
        metavar="ADDRESS",
        help=f"trust X-Forwarded-For from a proxy with this address or in this network (default: {HOST})",
    )
    made.add_argument("--accounts", metavar="NAMES", help="receive webhooks of these accounts (default: all)")
    made.add_argument(
        "--queue",
        type=options_.count,
        default=1000,
        metavar="N",
        help="refuse requests for a trigger while N of its runs wait for a worker (default: 1000)",
    )
    observed.add_metrics(made)
    options_.add_shared(made)
    return made
