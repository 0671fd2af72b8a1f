"""A pool of connections to PostgreSQL, for threads that need a connection for only one or two statements."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

PATIENCE = 5.0  # seconds to wait for a free connection, and for a database that restarts
_PAUSE = 0.2  # seconds between attempts to connect


class Connections:
    """At most ``size`` connections. The most recently used one is taken first: it has the most prepared statements.
    Thread-safe. ``connect`` opens a connection.
    """

    def __init__(self, connect: Callable[[], Connection[Any]], size: int) -> None:
        self._connect = connect
        self._room = threading.BoundedSemaphore(size)
        self._free: list[Connection[Any]] = []
        self._closed = False

    def take(self) -> Connection[Any]:
        """Take a connection, which the caller gives back. Raises a ``psycopg.OperationalError``."""
        import psycopg

        if self._closed:
            raise psycopg.OperationalError("the connections are closed")
        if not self._room.acquire(timeout=PATIENCE):
            raise psycopg.OperationalError(f"no connection was free for {PATIENCE:g} s")
        try:
            while self._free:
                connection = self._pop()
                if connection and _is_quiet(connection):
                    return connection
            return self._opened()
        except BaseException:
            self._room.release()
            raise

    def give_back(self, connection: Connection[Any]) -> None:
        """Return a connection to the pool; an uncommitted transaction is rolled back."""
        if self._closed or not _is_idle(connection):
            connection.close()
        else:
            self._free.append(connection)
        self._room.release()

    def close(self) -> None:
        """Close the idle connections now, and the others when they are given back."""
        self._closed = True
        while connection := self._pop():
            connection.close()

    def _pop(self) -> Connection[Any] | None:
        try:
            return self._free.pop()
        except IndexError:  # another thread took the last one
            return None

    def _opened(self) -> Connection[Any]:
        import psycopg

        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
            time.sleep(_PAUSE)


def _is_idle(connection: Connection[Any]) -> bool:
    """Whether the connection is usable and not in a transaction, after a rollback if needed."""
    import psycopg
    from psycopg.pq import TransactionStatus

    if connection.pgconn.transaction_status == TransactionStatus.IDLE:
        return True
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK", prepare=False)
    return connection.pgconn.transaction_status == TransactionStatus.IDLE


def _is_quiet(connection: Connection[Any]) -> bool:
    """Whether the server has sent nothing since the last use. If it has sent something, it has closed the
    connection.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    connection.close()
    return False
