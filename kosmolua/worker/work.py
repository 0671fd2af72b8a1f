"""A worker: takes runs from the queue of Procrastinate, and survives failures of the database."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kosmolua.errors import KosmoError
from kosmolua.gate.ledger import Ledger
from kosmolua.host import needed
from kosmolua.host.host import Host
from kosmolua.host.options import HostOptions
from kosmolua.journal.approvals import TIMEOUT
from kosmolua.runtime.parking import AFTER
from kosmolua.settings import config
from kosmolua.settings.config import Approving
from kosmolua.worker import events, medic, schedules
from kosmolua.worker.approvals import Asks
from kosmolua.worker.database import Database
from kosmolua.worker.lease import Lease
from kosmolua.worker.ledger import SharedLedger
from kosmolua.worker.notices import Notifier
from kosmolua.worker.queue import PAUSE, Queue
from kosmolua.worker.rates import CREATES, OTHERS, Rate, SharedPace
from kosmolua.worker.segment import Segments
from kosmolua.worker.waker import TICK, Waker

if TYPE_CHECKING:
    from psycopg import Connection

    from kosmolua.replicate.pace import Paced

SIGNALS = 1.0  # seconds between two checks for a received signal
DRAIN = 60.0  # seconds that runs have to end when the worker stops: it waits for requests that may cost money


class Options(Struct, frozen=True, kw_only=True):
    """The worker runs up to ``slots`` runs at once, of these ``accounts`` or of all. A dead worker's runs continue
    after ``lease`` seconds; if an interrupted request's result is not found within another ``settling`` seconds, the
    request counts as not executed. A run that has waited for ``park_after`` seconds gives up its process. A question
    that nobody has answered after ``approval_timeout`` seconds counts as denied. ``creates`` and ``others`` are the
    request rates of an account, ``webhooks`` is the public URL of the server that receives webhooks. ``approvers``
    narrows who may decide approvals.
    """

    slots: int = 8
    accounts: list[str] | None = None
    lease: float = 15.0
    settling: float = 30.0
    park_after: float = AFTER
    approval_timeout: float = TIMEOUT
    creates: Rate = CREATES
    others: Rate = OTHERS
    webhooks: str | None = None
    approvers: list[str] | None = None


def _approving() -> Approving:
    """Who may decide approvals, by the current configuration of this machine."""
    return config.load(os.environ).approvals


def _asks(options: Options, point: Callable[[str], None]) -> Asks:
    return Asks(timeout=options.approval_timeout, settings=_approving, approvers=options.approvers, point=point)


class _Shared:
    """Budgets and rates in the database."""

    def __init__(self, database: Database, options: Options) -> None:
        self._database = database
        self._rates = {"create": options.creates, "other": options.others}
        self._webhooks = options.webhooks

    def ledger(self) -> Ledger:
        return SharedLedger(self._database)

    def paces(self, account: str) -> Callable[[str], Paced]:
        return lambda lane: SharedPace(self._database, account, lane, self._rates[lane])

    def webhook(self, account: str) -> str | None:
        return self._webhooks and events.address(self._webhooks, account)


class Worker:
    """A worker, which works until `drain`. ``tell`` gets messages for the operator; ``point`` is the same as in
    `Segments`.
    """

    def __init__(
        self,
        url: str,
        options: Options,
        host: HostOptions,
        tell: Callable[[str], None],
        point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._tell = tell
        self._database = Database(url, prepare=True, size=options.slots + 4)
        self._lease = Lease(self._database, options.lease, options.slots)
        self._emulate = host.emulate
        self._host = Host.of(host, _Shared(self._database, options))
        self._segments = Segments(
            self._database,
            self._host,
            self._lease,
            settling=options.settling,
            after=options.park_after,
            asks=_asks(options, point),
            point=point,
        )
        self._notifier = Notifier(self._database, _approving, tell)
        self._queue = Queue(self._database, options.accounts, options.slots, self._segment, tell)
        self._draining = threading.Event()
        self._end: SimpleQueue[None] = SimpleQueue()  # unlike an Event, a signal handler may set it while it is awaited

    def run(self) -> None:
        """Work until `drain`, SIGTERM or SIGINT. Call it in the main thread."""
        needed.load_often(emulate=self._emulate)
        gc.freeze()  # existing objects remain, and are not scanned again
        self._lease.begin()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.drain())
        keeper = threading.Thread(target=self._keep, name="kosmo-keeper", daemon=True)
        keeper.start()
        self._tell(
            f"worker {socket.gethostname()}:{os.getpid()} is ready: {self._options.slots} slots, "
            f"a lease of {self._lease.seconds:g} s; to add a run: kosmo submit FILE"
        )
        self._queue.begin()
        while not self._draining.is_set():  # a signal that another thread received does not interrupt the wait
            with suppress(Empty):
                self._end.get(timeout=SIGNALS)
        self._queue.stop()
        self._end_runs()
        self._queue.join()
        keeper.join()
        self._notifier.close()
        self._host.close()
        self._lease.end()
        self._database.close()
        self._tell("worker stopped; the next worker continues its runs")

    def renewals(self) -> tuple[int, int]:
        """How often the lease was renewed, and how often that failed."""
        return self._lease.renewed, self._lease.failed

    def drain(self) -> None:
        """Take no more runs, and end the running ones. For any thread or signal handler."""
        self._draining.set()
        self._end.put(None)

    def _end_runs(self) -> None:
        self._segments.drain()
        until = time.monotonic() + DRAIN
        while len(self._segments) and time.monotonic() < until:
            time.sleep(0.05)

    def _segment(self, run: str) -> None:
        try:
            self._segments.run(run)
        except KosmoError as error:
            self._tell(f"run {run} will be continued later: {error.message}")
        except Exception as error:  # noqa: BLE001 - one run does not end a worker
            self._tell(f"run {run} will be continued later: {type(error).__name__}: {error}")

    # Between runs -------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Wake, rescue and cancel runs until drained. Reconnects when the connection fails."""
        import psycopg

        while not self._draining.is_set():
            waker = Waker(self._lease.id, self._host, self._options.accounts)
            with suppress(psycopg.Error, KosmoError), closing(waker):
                self._keep_on(waker)
            self._draining.wait(PAUSE)

    def _keep_on(self, waker: Waker) -> None:
        import psycopg
        from psycopg import sql

        due, left = 0.0, set[tuple[str, int]]()
        with psycopg.connect(self._database.url, autocommit=True, **self._database.options) as connection:
            for channel in (events.CHANNEL, *self._queue.channels):
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._queue.look()
            while not self._draining.is_set():
                self._listen(connection)
                schedules.fire(connection)
                waker.tick(connection)
                self._notifier.tick(connection)
                self._segments.flush()
                self._segments.cancel(medic.canceled(connection, self._segments.held()))
                if time.monotonic() >= due:
                    found = medic.left(connection, self._lease.id, self._segments.held())
                    medic.give_back(connection, self._lease.id, found & left)
                    left = found
                    medic.round_of(connection, self._options.lease)
                    events.forget_old(connection)
                    self._queue.beat(connection, self._options.lease)
                    self._queue.look()
                    due = time.monotonic() + min(3.0, self._options.lease / 5)

    def _listen(self, connection: Connection[Any]) -> None:
        """Listen for one tick: take new jobs of the queue, and wake runs that wait for jobs whose webhooks arrive."""
        for each in connection.notifies(timeout=TICK):
            if each.channel != events.CHANNEL:
                self._queue.ring()
                continue
            account, _, job = each.payload.partition("\n")
            self._host.note_end(job, account=account)
