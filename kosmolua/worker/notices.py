"""Notifies people of the questions that submitted runs ask. The database holds the notices still to be sent, so that
another worker sends them if this one dies.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kosmolua.errors import KosmoError
from kosmolua.journal.approvals import Approval, fields_of
from kosmolua.services import notices
from kosmolua.settings.config import Approving
from kosmolua.worker import approvals

if TYPE_CHECKING:
    from psycopg import Connection

    from kosmolua.worker.database import Database

THREADS = 4
_TAKE = """
UPDATE approvals SET notified = notified + 1, notify_at = CASE WHEN notified + 1 < %s
  THEN clock_timestamp() + make_interval(secs => %s) END
WHERE id IN (SELECT id FROM approvals WHERE notify_at <= clock_timestamp() AND decision IS NULL
  ORDER BY notify_at LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id, notified
"""


class Notifier:
    """Sends notices in a few threads, so that nothing else waits. Each notice is tried at most
    `kosmolua.services.notices.TRIES` times. ``tell`` gets the reason if that fails.
    """

    def __init__(self, database: Database, settings: Callable[[], Approving], tell: Callable[[str], None]) -> None:
        self._database = database
        self._settings = settings
        self._tell = tell
        self._threads = ThreadPoolExecutor(THREADS, "kosmo-notice")
        self._open = 0

    def tick(self, connection: Connection[Any]) -> None:
        """Send the notices that are due. ``connection`` is in autocommit mode. Raises a ``psycopg.Error``."""
        room = THREADS - self._open
        if room <= 0:
            return
        values = (notices.TRIES, notices.SECONDS + notices.PAUSE, room)
        for identifier, times in connection.execute(_TAKE, values).fetchall():
            self._open += 1
            self._threads.submit(self._deliver, identifier, times)

    def close(self) -> None:
        """Send no further notices; those being sent are completed."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, identifier: str, times: int) -> None:
        try:
            with suppress(KosmoError):  # the database may be back soon; the notice is then sent again
                self._tell_of(approvals.find(self._database, identifier), times)
        finally:
            self._open -= 1

    def _tell_of(self, one: Approval, times: int) -> None:
        target = self._settings().notify
        failure = notices.attempt(target, notices.message_of(fields_of(one))) if target else None
        if failure is None:
            self._database.rows("UPDATE approvals SET notify_at = NULL WHERE id = %s", (one.id,))
        elif times >= notices.TRIES:
            self._tell(f"could not notify anybody of approval {one.id}: {failure}")
