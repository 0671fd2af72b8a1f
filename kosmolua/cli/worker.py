"""``worker``: execute submitted runs; ``workers``: list the workers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from kosmolua.cli import observed, output
from kosmolua.cli import options as options_
from kosmolua.errors import UsageError
from kosmolua.replicate.token import quoted
from kosmolua.settings import ages, approvers, config
from kosmolua.terminal.safe import safe
from kosmolua.terminal.text import table

if TYPE_CHECKING:
    from kosmolua.worker.database import Database
    from kosmolua.worker.work import Options

VARIABLE = "KOSMO_DATABASE"
WORKER_NEEDED = (
    "A worker must be running on the same database: start kosmo worker with the same --database, and list workers with "
    "kosmo workers."
)
LEASES = (2.0, 300.0)
LEAST_PARK = 1.0  # second


def run(command: str, argv: list[str]) -> int:
    if command == "workers":
        return _list(command, argv)
    parsed = _parser(command).parse_args(argv)
    options = options_.shared(parsed)
    own = _own(parsed)
    from kosmolua.cli.host import check_settings, options_of, print_notice
    from kosmolua.services import notices

    check_settings()
    notices.check(config.load(os.environ).approvals.notify)
    limits = options_.limits(parsed)
    files = {"allow_read": parsed.allow_read, "allow_write": parsed.allow_write}
    seen, tell = observed.observers(parsed), observed.log_of(parsed, print_notice)
    watched = seen.call if seen.calls or parsed.metrics is not None else None
    host = options_of(
        options,
        _Nobody(),
        limits=limits,
        isolation=parsed.isolation,
        caps=options_.caps(parsed),
        on_call=watched,
        **files,
    )
    with _place(parsed.database, start=True) as url:
        from kosmolua.worker.work import Worker

        worker = Worker(url, own, host, tell)
        with observed.measured(parsed.metrics, url, worker.renewals) as metrics:
            seen.calls += [metrics.call] if metrics else []
            worker.run()
    return 0


class _Nobody:
    """A prompter that never answers. A script's call that needs an answer waits for an approval; other calls are
    refused.
    """

    def ask(self, _: object) -> None:
        return None

    def withdraw(self, _: object) -> None:
        """Do nothing: no question is ever open."""


def _own(parsed: argparse.Namespace) -> Options:
    from_, to = LEASES
    if not from_ <= parsed.lease <= to:
        raise UsageError(
            f"--lease: expected {from_:g} to {to:g} seconds, got {parsed.lease:g}", hint="omit it for 15 seconds"
        )
    if parsed.slots < 1:
        raise UsageError("--slots: expected at least 1, got 0", hint="omit it for 8 slots")
    from kosmolua.worker.rates import OTHERS, Rate
    from kosmolua.worker.work import Options

    names = None if parsed.accounts is None else parsed.accounts.split(",")
    if names and not all(names):
        raise UsageError(
            f"--accounts: expected names separated by commas, got {parsed.accounts!r}", hint="omit it for all accounts"
        )
    settings = config.load(os.environ)
    return Options(
        slots=parsed.slots,
        accounts=names,
        lease=parsed.lease,
        settling=parsed.settling_time,
        park_after=parsed.park_after,
        approval_timeout=parsed.approval_timeout,
        creates=Rate(parsed.creates_per_second, parsed.burst),
        others=OTHERS,
        webhooks=None if parsed.emulate else settings.webhooks.url,
        approvers=approvers.chosen(settings.approvals, parsed.approvers),
    )


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Execute submitted runs until stopped. Without --database, the worker starts its own PostgreSQL and keeps "
        "the runs there; with it, any number of workers on any machines share the work. SIGTERM ends the worker, "
        "and another worker continues its runs.",
        f"kosmo {command} --database postgresql://kosmo@db.internal/kosmo --slots 16",
    )
    add_database(made)
    made.add_argument("--slots", type=options_.count, default=8, metavar="N", help="run N scripts at once (default: 8)")
    made.add_argument("--accounts", metavar="NAMES", help="take only runs of these accounts, such as default,work")
    made.add_argument(
        "--lease",
        type=options_.seconds,
        default=15.0,
        metavar="SECONDS",
        help="let other workers continue the runs of a dead worker after SECONDS (default: 15)",
    )
    made.add_argument(
        "--settling-time",
        type=options_.seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to search for an interrupted call before resending it (default: 30)",
    )
    made.add_argument(
        "--park-after",
        type=_park_after,
        default=15.0,
        metavar="SECONDS",
        help="end the process of a run that has only waited for SECONDS; the run continues in a new process "
        "(default: 15)",
    )
    made.add_argument(
        "--creates-per-second",
        type=options_.seconds,
        default=10.0,
        metavar="N",
        help="limit all workers together to N new predictions per second and account (default: 10)",
    )
    made.add_argument(
        "--burst",
        type=options_.seconds,
        default=5.0,
        metavar="N",
        help="allow bursts of up to N new predictions (default: 5)",
    )
    options_.add_approval_timeout(made)
    options_.add_approvers(made)
    observed.add_metrics(made)
    observed.add_log(made)
    options_.add_shared(made)
    options_.add_isolation(made)
    options_.add_limits(made)
    options_.add_gate(made)
    return made


def _park_after(text: str) -> float:
    """Parse a time of at least `LEAST_PARK`: with less, a resumed run would be parked again before it has read the
    result that it waits for.
    """
    found = options_.amount(text)
    if found < LEAST_PARK:
        raise argparse.ArgumentTypeError(f"expected at least {LEAST_PARK:g} second, got {text!r}")
    return found


def add_database(made: options_.Parser) -> None:
    made.add_argument(
        "--database",
        nargs="?",
        const="",
        type=_url,
        metavar="URL",
        help=f"the PostgreSQL database with the runs, postgresql://… (default: {VARIABLE}, else the database of "
        "kosmo worker)",
    )


def _url(given: str) -> str:
    """The value of ``--database``, unless it is a word, such as an action; other values may have a password."""
    if given.isalnum():
        raise argparse.ArgumentTypeError(
            f"expected a URL that begins with postgresql://, got {quoted(given)}; write --database after other words"
        )
    return given


@contextmanager
def _place(given: str | None, *, start: bool = False) -> Iterator[str]:
    """The URL of the database: the given one, the one in the environment, or the one of this user's worker."""
    url = given or os.environ.get(VARIABLE)
    if url:
        if not url.startswith(("postgresql://", "postgres://")):
            raise UsageError(
                "--database: expected a URL that begins with postgresql://", hint="postgresql://USER@HOST/DATABASE"
            )
        yield url
        return
    from kosmolua.worker import embedded

    where = embedded.directory(os.environ)
    if not start:
        yield embedded.url_of(where)
        return
    with embedded.running(where) as url:
        yield url


@contextmanager
def opened(given: str | None, *, size: int = 2) -> Iterator[Database]:
    """The database for a command."""
    from kosmolua.worker.database import Database

    with _place(given) as url:
        database = Database(url, size=size)
        try:
            yield database
        finally:
            database.close()


def _list(command: str, argv: list[str]) -> int:
    made = options_.parser(command, "List the workers of a database.", f"kosmo {command} list")
    made.add_argument("action", nargs="?", choices=("list",), default="list", metavar="list", help="may be left out")
    add_database(made)
    options_.add_json(made)
    parsed = made.parse_args(argv)
    with opened(parsed.database) as database:
        from kosmolua.worker import overview

        workers = overview.workers(database)
    found: list[dict[str, Any]] = [{**asdict(one), "state": one.state} for one in workers]
    if parsed.json:
        output.show_json({"success": True, "workers": found})
    elif not found:
        output.write_text("no workers; to start one: kosmo worker\n")
    else:
        shown = [
            (
                safe(f"{one['host']}:{one['pid']}"),
                one["state"],
                f"{one['runs']} of {one['slots']}",
                f"{one['lease']:.0f} s",
                ages.local_time(one["began"]),
                safe(one["version"]),
            )
            for one in found
        ]
        output.write_text(
            table([("worker", "state", "runs", "lease", "began", "version"), *shown], "", ("bold",)) + "\n"
        )
    return 0
