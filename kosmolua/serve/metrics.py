"""Metrics for Prometheus: about the database's content at each scrape, and about this process since its start."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry, Counter, make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from kosmolua.errors import ConfigurationError, KosmoError
from kosmolua.inbound.server import Server
from kosmolua.worker.database import Database

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from kosmolua.gate.entry import Entry

HOST = "127.0.0.1"
CONNECTIONS = 32  # the maximum number of connections; further ones are answered with 503
PATH = "/metrics"
FRESH = 5.0  # seconds for which the database's metrics are cached
STATES = ("scheduled", "ready", "running", "waiting", "done", "failed", "canceled")
_POLL = "wait"  # the origin of a read that checks whether a job has ended
_UNIT = 1e9  # the ledger stores amounts in units of one billionth
_ONE = """
SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'),
  (SELECT count(*) FROM workers WHERE lease_until > clock_timestamp()),
  (SELECT count(*) FROM approvals WHERE decision IS NULL AND expires_at > clock_timestamp()),
  (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(next_at)), 0)::float8 FROM schedules
   WHERE NOT paused AND next_at < clock_timestamp())
"""
_SPENT = "SELECT account, coalesce(sum(spent), 0)::float8 FROM charges GROUP BY account ORDER BY account"


class Metrics:
    """The metrics of one process. Thread-safe. ``renewals`` returns how often a worker's lease was renewed and how
    often that failed.
    """

    def __init__(self, database: Database, renewals: Callable[[], tuple[int, int]] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "kosmo_calls", "Calls of the API, by function and outcome", ("function", "outcome"), registry=self.registry
        )
        self._polls = Counter(
            "kosmo_poll_requests", "Requests that check whether a job has ended", registry=self.registry
        )
        self._received = Counter(
            "kosmo_requests", "Webhooks and requests for triggers, by outcome", ("outcome",), registry=self.registry
        )
        self.registry.register(cast("Any", _Stored(database)))
        if renewals:
            self.registry.register(cast("Any", _Renewals(renewals)))

    def call(self, entry: Entry) -> None:
        """Count a completed call."""
        self._calls.labels(entry.function, entry.code or entry.outcome).inc()
        if entry.by == _POLL:
            self._polls.inc()

    def received(self, outcome: str) -> None:
        self._received.labels(outcome).inc()


def serve(metrics: Metrics, port: int) -> Callable[[], None]:
    """Serve ``/metrics`` on loopback, in a thread. Returns a function that stops the server. Raises a
    `ConfigurationError`.
    """
    try:
        opened = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"--metrics: cannot listen on {HOST}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another port",
        ) from None
    app = app_of(metrics.registry)
    server = Server(app, server_header=False, lifespan="off", ws="none", limit_concurrency=CONNECTIONS)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, name="kosmo-metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join()
        opened.close()

    return stop


def app_of(registry: CollectorRegistry) -> Any:
    """An application that serves the metrics at one path, and answers 404 at all others."""
    figures = make_asgi_app(registry)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == PATH and scope["method"] in {"GET", "HEAD"}:
            await figures(scope, receive, send)
            return
        status = 405 if scope["path"] == PATH else 404
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return app


class _Stored:
    """Metrics about the database. They are read at most once every `FRESH` seconds, however often they are
    requested.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._at = -FRESH

    def describe(self) -> list[Metric]:
        """Return nothing, since the metrics' names are known only after the database has been read."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._at >= FRESH:
                self._found, self._at = self._read(), time.monotonic()
            yield from self._found

    def _read(self) -> list[Metric]:
        try:
            states = dict(self._database.rows("SELECT state, count(*) FROM runs GROUP BY state"))
            ((queued, workers, asked, delay),) = self._database.rows(_ONE)
            spent = self._database.rows(_SPENT)
        except KosmoError:
            return [_gauge("kosmo_database_up", "Whether the database answers", 0)]
        runs = GaugeMetricFamily("kosmo_runs", "Runs by state", labels=["state"])
        for state in STATES:
            runs.add_metric([state], states.get(state, 0))
        paid = GaugeMetricFamily("kosmo_spent", "Spent by account, in the currency of the prices", labels=["account"])
        for account, amount in spent:
            paid.add_metric([account], amount / _UNIT)
        return [
            _gauge("kosmo_database_up", "Whether the database answers", 1),
            runs,
            paid,
            _gauge("kosmo_queue_length", "Runs that wait for a free slot of a worker", queued),
            _gauge("kosmo_workers", "Workers with a lease", workers),
            _gauge("kosmo_approvals_open", "Approvals that nobody has decided", asked),
            _gauge("kosmo_schedule_delay_seconds", "How long the oldest slot has been due", delay),
        ]


class _Renewals:
    def __init__(self, renewals: Callable[[], tuple[int, int]]) -> None:
        self._renewals = renewals

    def collect(self) -> Iterator[Metric]:
        done, failed = self._renewals()
        found = CounterMetricFamily("kosmo_lease_renewals", "Renewals of the worker's lease", labels=["outcome"])
        found.add_metric(["ok"], done)
        found.add_metric(["failed"], failed)
        yield found


def _gauge(name: str, what: str, value: Any) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))
