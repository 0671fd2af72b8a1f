"""A worker: takes runs from the queue of Procrastinate, and survives failures of the database."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from kosmolua.errors import KosmoError
from kosmolua.gate.ledger import Ledger
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
from kosmolua.worker.rates import CREATES, OTHERS, Rate, SharedPace
from kosmolua.worker.runs import TASK, queue_of
from kosmolua.worker.segment import Segments
from kosmolua.worker.waker import TICK, Waker

if TYPE_CHECKING:
    import procrastinate
    from psycopg import Connection

    from kosmolua.replicate.pace import Paced

PAUSE = 1.0  # seconds before the queue is read again after a failure
DRAIN = 60.0  # seconds for runs to end when the worker stops: requests that may cost money are waited for


class Options(Struct, frozen=True, kw_only=True):
    """``slots`` runs at once, of these ``accounts`` or of all. A dead worker's runs continue after ``lease`` seconds;
    what it sent counts as not done if it is not found in ``settling`` seconds more. Runs that wait for ``park_after``
    seconds need no process from then on. A question that nobody has answered after ``approval_timeout`` seconds counts
    as denied. ``creates`` and ``others`` are the request rates of an account, ``webhooks`` is the public URL of the
    server that receives them. ``approvers`` narrows who may decide approvals.
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
    """Works until `drain`. ``tell`` gets messages for the operator; ``point`` is that of `Segments`."""

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
        self._draining = threading.Event()
        self._queue: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Returns after `drain`, or after SIGTERM or SIGINT. For the main thread."""
        for name in ("psycopg.pool", "procrastinate"):  # the worker reports failures itself
            logging.getLogger(name).propagate = False
            logging.getLogger(name).addHandler(logging.NullHandler())
        self._lease.begin()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.drain())
        keeper = threading.Thread(target=self._keep, name="kosmo-keeper", daemon=True)
        keeper.start()
        self._tell(
            f"worker {socket.gethostname()}:{os.getpid()} is ready: {self._options.slots} slots, "
            f"a lease of {self._lease.seconds:g} s; to add a run: kosmo submit FILE"
        )
        with ThreadPoolExecutor(self._options.slots, "kosmo-segment") as threads:
            asyncio.run(self._serve_on(threads))
            self._end_runs()
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
        if self._loop and self._queue:
            self._loop.call_soon_threadsafe(self._queue.cancel)

    def _end_runs(self) -> None:
        self._segments.drain()
        until = time.monotonic() + DRAIN
        while len(self._segments) and time.monotonic() < until:
            time.sleep(0.05)

    # The queue ----------------------------------------------------------------------------------------------------

    async def _serve_on(self, threads: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._draining.is_set():
            self._queue = asyncio.create_task(self._serve(threads))
            with suppress(asyncio.CancelledError):
                try:
                    await self._queue
                except Exception as error:  # noqa: BLE001 - the database may be back soon
                    self._tell(
                        f"the queue cannot be read: {str(error).splitlines()[0][:200] if str(error) else error!r}"
                    )
            if not self._draining.is_set():
                await asyncio.sleep(PAUSE)

    async def _serve(self, threads: ThreadPoolExecutor) -> None:
        """Work on jobs until that fails. Procrastinate returns after a restart of the database, or stops listening."""
        app = self._app(threads)
        lease, accounts = self._options.lease, self._options.accounts
        queues = None if accounts is None else [queue_of(each) for each in accounts]
        async with app.open_async():
            work = asyncio.create_task(
                app.run_worker_async(
                    queues=cast("list[str]", queues),  # None, which it takes for all
                    concurrency=self._options.slots,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    fetch_job_polling_interval=2.0,
                    update_heartbeat_interval=lease / 5,
                    stalled_worker_timeout=lease,
                    shutdown_graceful_timeout=0.0,
                )
            )
            alive = asyncio.create_task(self._listen(app))
            try:
                await asyncio.wait({work, alive}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, alive):
                    task.cancel()
                ended = await asyncio.gather(work, alive, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    async def _listen(self, app: procrastinate.App) -> None:
        """Returns with an error once the database is unavailable."""
        while True:
            await asyncio.sleep(TICK)
            await app.connector.execute_query_one_async("SELECT 1 AS one")

    def _app(self, threads: ThreadPoolExecutor) -> procrastinate.App:
        import procrastinate

        connector = procrastinate.PsycopgConnector(
            conninfo=self._database.url, kwargs=self._database.options, min_size=1, max_size=4, timeout=5
        )
        app = procrastinate.App(connector=connector)

        async def segment(run: str) -> None:
            await asyncio.get_running_loop().run_in_executor(threads, self._segment, run)

        app.task(name=TASK)(segment)
        return app

    def _segment(self, run: str) -> None:
        try:
            self._segments.run(run)
        except KosmoError as error:
            self._tell(f"run {run} is continued later: {error.message}")
        except Exception as error:  # noqa: BLE001 - one run does not end a worker
            self._tell(f"run {run} is continued later: {type(error).__name__}: {error}")

    # In between ---------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Wake, rescue and cancel runs, until drained; the connection is renewed when it fails."""
        import psycopg

        while not self._draining.is_set():
            waker = Waker(self._lease.id, self._host, self._options.accounts)
            with suppress(psycopg.Error, KosmoError), closing(waker):
                self._keep_on(waker)
            self._draining.wait(PAUSE)

    def _keep_on(self, waker: Waker) -> None:
        import psycopg

        due, left = 0.0, set[tuple[str, int]]()
        with psycopg.connect(self._database.url, autocommit=True, **self._database.options) as connection:
            events.listen(connection)
            while not self._draining.is_set():
                self._receive_job_ends(connection)
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
                    due = time.monotonic() + min(3.0, self._options.lease / 5)

    def _receive_job_ends(self, connection: Connection[Any]) -> None:
        """Wait for one tick, and end the waits for jobs whose webhooks arrive meanwhile."""
        for each in connection.notifies(timeout=TICK):
            account, _, job = each.payload.partition("\n")
            self._host.note_end(job, account=account)
