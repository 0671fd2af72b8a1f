"""The flags for observing servers: metrics, spans and a JSON log."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from kosmolua.cli import options as options_
from kosmolua.errors import ConfigurationError

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.serve.metrics import Metrics

FORMATS = ("text", "json")


def add_metrics(made: options_.Parser) -> None:
    made.add_argument(
        "--metrics",
        type=options_.port,
        metavar="PORT",
        help="serve /metrics for Prometheus on this port of 127.0.0.1",
    )


def add_log(made: options_.Parser) -> None:
    made.add_argument(
        "--log-format",
        choices=FORMATS,
        default=FORMATS[0],
        help="log to standard error as text, or as JSON that includes calls and run states (default: text)",
    )
    made.add_argument(
        "--spans",
        action="store_true",
        help="record an OpenTelemetry span for each call; your SDK's configuration applies",
    )


class Observers:
    """Passes each call that has ended to the observers."""

    def __init__(self) -> None:
        self.calls: list[Callable[[Entry], None]] = []

    def call(self, entry: Entry) -> None:
        for each in self.calls:
            each(entry)


def observers(parsed: argparse.Namespace) -> Observers:
    """The observers that the flags select, except metrics, which need a database."""
    found = Observers()
    if parsed.spans:
        from kosmolua.serve import spans

        found.calls.append(spans.recorder())
    return found


def log_of(parsed: argparse.Namespace, plain: Callable[[str], None]) -> Callable[[str], None]:
    """The function that writes messages for the operator, in the chosen log format."""
    if parsed.log_format == "text":
        return plain
    from kosmolua.serve import logs

    logs.configure()
    return logs.notice


@contextmanager
def measured(
    port: int | None, url: str, renewals: Callable[[], tuple[int, int]] | None = None
) -> Iterator[Metrics | None]:
    """The metrics of this process, served until the block ends; None without a port."""
    if port is None:
        yield None
        return
    from importlib.util import find_spec

    for module, package in (("prometheus_client", "prometheus-client"), ("uvicorn", "uvicorn")):
        if find_spec(module) is None:
            raise ConfigurationError(
                f"--metrics: {package} is not installed", hint="install it: pip install 'kosmolua[serve]'"
            )
    from kosmolua.serve import metrics
    from kosmolua.worker.database import Database

    with ExitStack() as stack:
        database = Database(url, size=1)
        stack.callback(database.close)
        made = metrics.Metrics(database, renewals)
        stack.callback(metrics.serve(made, port))
        yield made
