"""Requeues runs whose worker died, and removes jobs from the queue that no worker holds.

The rows of runs say what is to be done; a job of Procrastinate only means that its run may need work. So a dead
worker's job is removed rather than retried: if the run's next job is already queued, a retry fails with a unique
violation, and the run's lock is never freed. A job that a living worker has finished also remains in the queue if the
database was unreachable when it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from kosmolua.worker.runs import TASK, enqueue

if TYPE_CHECKING:
    from psycopg import Connection

_MOST = 500  # the maximum number of rows handled in one round
_STALLED = """
DELETE FROM procrastinate_jobs WHERE id IN (
  SELECT j.id FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
  WHERE j.status = 'doing' AND j.task_name = %s
  AND (w.id IS NULL OR w.last_heartbeat < clock_timestamp() - make_interval(secs => %s) OR (
    NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = j.lock AND r.state = 'running')
    AND NOT EXISTS (SELECT 1 FROM procrastinate_events e WHERE e.job_id = j.id AND e.type = 'started'
      AND e.at > clock_timestamp() - make_interval(secs => %s)))) LIMIT %s)
"""
_FORGOTTEN = """
SELECT r.id, r.account FROM runs r LEFT JOIN workers w ON w.id = r.worker
WHERE (r.state = 'ready' OR (r.state = 'running' AND (w.id IS NULL OR w.lease_until < clock_timestamp())))
AND NOT r.cancel
AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j WHERE j.lock = r.id AND j.status IN ('todo', 'doing')) LIMIT %s
"""
_CANCELED = """
UPDATE runs r SET state = 'canceled', worker = NULL, ended = clock_timestamp() WHERE r.state = 'running' AND r.cancel
AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = r.worker AND w.lease_until > clock_timestamp())
"""


def round_of(connection: Connection[Any], lease: float) -> None:
    """Do one round of checks. ``connection`` is in autocommit mode. Raises a ``psycopg.Error``."""
    connection.execute(_STALLED, (TASK, lease, lease, _MOST))
    with connection.transaction():
        enqueue(connection, connection.execute(_FORGOTTEN, (_MOST,)).fetchall())
    connection.execute(_CANCELED)
    connection.execute("DELETE FROM workers WHERE lease_until < clock_timestamp() - interval '1 hour'")


def left(connection: Connection[Any], worker: UUID, busy: list[str]) -> set[tuple[str, int]]:
    """The runs, with their epochs, that this worker holds without working on them."""
    text = "SELECT id, epoch FROM runs WHERE worker = %s AND state = 'running' AND id <> ALL(%s)"
    return {(run, epoch) for run, epoch in connection.execute(text, (worker, busy))}


def give_back(connection: Connection[Any], worker: UUID, runs: set[tuple[str, int]]) -> None:
    """Release runs that this worker still holds: the database was unreachable when their segments ended."""
    for run, epoch in runs:
        connection.execute(
            "UPDATE runs SET worker = NULL, state = 'ready' WHERE id = %s AND epoch = %s AND worker = %s",
            (run, epoch, worker),
        )


def canceled(connection: Connection[Any], runs: list[str]) -> list[str]:
    """The runs among these that are to be canceled."""
    found = connection.execute("SELECT id FROM runs WHERE cancel AND id = ANY(%s)", (runs,)).fetchall()
    return [run for (run,) in found]
