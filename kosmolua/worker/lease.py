"""The lease of a worker, which only the database's clock measures, and the kernel timer that kills the worker process
before the lease ends.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from uuid import UUID, uuid4

from kosmolua._version import __version__
from kosmolua.errors import ConfigurationError, KosmoError
from kosmolua.worker.database import Database

MARGIN = 0.2  # the part of the lease before its end at which the process is killed
RENEWALS = 5  # attempts to renew during one lease


class Lease:
    """A lease that renews itself in a thread. While it lasts, no other worker takes over this worker's runs.

    A process that is stopped, swapped out or cut off from the database cannot notice that its lease ends. So each
    renewal sets ITIMER_REAL, whose SIGALRM kills the process by its default action, even if it is stopped.
    """

    def __init__(self, database: Database, seconds: float, slots: int) -> None:
        self.id: UUID = uuid4()
        self.seconds = seconds
        self.renewed = self.failed = 0
        self._database = database
        self._slots = slots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kosmo-lease", daemon=True)

    def begin(self) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        began = time.monotonic()
        with self._database.transaction(durable=True) as connection:
            connection.execute(
                "INSERT INTO workers (id, lease_until, host, pid, version, slots) "
                "VALUES (%s, clock_timestamp() + make_interval(secs => %s), %s, %s, %s, %s)",
                (self.id, self.seconds, socket.gethostname(), os.getpid(), __version__, self._slots),
            )
        self._arm(began)
        self._thread.start()

    def end(self) -> None:
        """Give up the lease, after all runs of this worker have ended."""
        self._over.set()
        self._thread.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            self._database.rows("DELETE FROM workers WHERE id = %s RETURNING 1", (self.id,))
        except KosmoError:
            return  # the lease then expires

    def _run(self) -> None:
        while not self._over.wait(self.seconds / RENEWALS):
            try:
                self._renew()
            except Exception:  # noqa: BLE001 - the timer ends the process unless a later renewal succeeds
                self.failed += 1

    def _renew(self) -> None:
        import psycopg

        began = time.monotonic()  # before the statement is sent: the lease starts no earlier than now
        try:
            with self._database.transaction() as connection:
                row = connection.execute(
                    "UPDATE workers SET lease_until = clock_timestamp() + make_interval(secs => %s) "
                    "WHERE id = %s AND lease_until > clock_timestamp() RETURNING 1",
                    (self.seconds, self.id),
                ).fetchone()
                self._database.read_time(connection)
        except psycopg.Error as error:
            raise ConfigurationError(str(error)) from None
        if row:
            self._arm(began)
            self.renewed += 1
        else:
            os.kill(os.getpid(), signal.SIGALRM)  # other workers may already hold its runs

    def _arm(self, began: float) -> None:
        left = self.seconds * (1 - MARGIN) - (time.monotonic() - began)
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))
