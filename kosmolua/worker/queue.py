"""Reads the queue of Procrastinate with Procrastinate's SQL functions, in the threads that work on the jobs.

Procrastinate's `App.run_worker` would do the same with asyncio tasks, with three times the CPU time for each job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kosmolua.errors import KosmoError
from kosmolua.worker.database import Database
from kosmolua.worker.runs import TASK, queue_of

if TYPE_CHECKING:
    from psycopg import Connection

PAUSE = 1.0  # seconds before the queue is read again after a failure
_ALL = "procrastinate_any_queue_v1"  # the channel for new jobs of all queues
_ONE = "procrastinate_queue_v1#"  # the channel for new jobs of one queue, whose name follows
# Removes the finished job and takes the next one, which may have waited for it. A job that cannot be removed now is
# left to `kosmolua.worker.medic`.
_NEXT = """
WITH d AS (DELETE FROM procrastinate_jobs WHERE id = %s RETURNING id)
SELECT j.id, j.task_name, j.args->>'run'
FROM (SELECT count(*) AS n FROM d) d, LATERAL procrastinate_fetch_job_v2(%s::varchar[], %s + 0 * d.n) j
"""
_BEAT = """
SELECT procrastinate_update_heartbeat_v1(%s), (SELECT count(*) FROM procrastinate_prune_stalled_workers_v1(%s))
"""


class Queue:
    """``slots`` threads that call ``work`` with the run of each job, for these ``accounts`` or for all. ``tell`` gets
    messages for the operator.
    """

    def __init__(
        self,
        database: Database,
        accounts: list[str] | None,
        slots: int,
        work: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._database = database
        self._names = None if accounts is None else [queue_of(each) for each in accounts]
        self._work = work
        self._tell = tell
        self._id: int | None = None  # this worker's id in Procrastinate
        self._registering = threading.Lock()
        self._bell = threading.Condition()
        self._rung = self._idle = 0
        self._has_more = False  # whether there may be more jobs than calls of `ring`
        self._over = threading.Event()
        self._is_away = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"kosmo-segment_{number}", daemon=True) for number in range(slots)
        ]

    def begin(self) -> None:
        for each in self._threads:
            each.start()
        self.look()

    def stop(self) -> None:
        """Take no more jobs."""
        self._over.set()
        with self._bell:
            self._bell.notify_all()

    def join(self) -> None:
        """Wait for the current jobs to end, after `stop`."""
        for each in self._threads:
            each.join()
        with suppress(KosmoError):
            self._database.rows("SELECT procrastinate_unregister_worker_v1(%s)", (self._id,))

    # For a connection that listens ------------------------------------------------------------------------------------

    @property
    def channels(self) -> Iterable[str]:
        """The channels on which new jobs are announced."""
        return [_ALL] if self._names is None else [_ONE + each for each in self._names]

    def ring(self) -> None:
        """Wake an idle thread to look for a job, since one was added."""
        with self._bell:
            room = max(1, self._idle)  # a thread that is not idle yet may have looked too early
            self._has_more = self._has_more or self._rung >= room
            self._rung = min(self._rung + 1, room)
            self._bell.notify()

    def look(self) -> None:
        """Look for jobs that were not announced, or whose announcements were lost."""
        with self._bell:
            self._has_more = True
        self.ring()

    def beat(self, connection: Connection[Any], lease: float) -> None:
        """Report that this worker is alive, and remove dead workers from the queue. Raises a ``psycopg.Error``."""
        if self._id is not None:
            connection.execute(_BEAT, (self._id, lease))

    # The threads ------------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        done: int | None = None
        while not self._over.is_set():
            try:
                found = self._next(done)
            except KosmoError as error:
                self._note_away(error)
                continue
            done = None
            if found is None:
                self._await_ring()
                continue
            done, task, run = found
            if task == TASK:
                self._work(run)
        if done is not None:
            with suppress(KosmoError):
                self._database.rows("DELETE FROM procrastinate_jobs WHERE id = %s", (done,))

    def _await_ring(self) -> None:
        with self._bell:
            self._idle += 1
            while not self._rung and not self._over.is_set():
                self._bell.wait()
            self._idle -= 1
            self._rung = max(0, self._rung - 1)

    def _next(self, done: int | None) -> tuple[int, str, str] | None:
        """Remove the job with the id ``done``, if any, and take the next one, if there is one. Raises a
        `ConfigurationError`.
        """
        with self._bell:
            has_more, self._has_more = self._has_more, False
        worker = self._registered()
        try:
            ((job, task, run),) = self._database.rows(_NEXT, (done, self._names, worker))
        except KosmoError:
            with self._registering:
                if self._id == worker:
                    self._id = None  # another worker may have removed its row
            raise
        self._is_away = False
        if job is None:
            return None
        if has_more:
            self.look()
        return job, task, run

    def _registered(self) -> int:
        with self._registering:
            if self._id is None:
                ((self._id,),) = self._database.rows("SELECT * FROM procrastinate_register_worker_v1()")
            return self._id

    def _note_away(self, error: KosmoError) -> None:
        if not self._is_away:
            self._is_away = True
            self._tell(f"the queue cannot be read: {error.message.partition(': ')[2] or error.message}")
        self._over.wait(PAUSE)
