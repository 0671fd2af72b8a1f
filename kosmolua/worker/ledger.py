"""The persistent budgets of all workers: the ledger of `kosmolua.gate.ledger`, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kosmolua.gate.ledger import Ledger
from kosmolua.worker.database import Database, unavailable

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

_ONE_AT_A_TIME = 0x6C656467  # of an advisory lock: without it, two concurrent reservations would not see each other


class _Rows:
    """A connection that accepts SQLite's placeholders."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def execute(self, text: str, values: Sequence[Any] = ()) -> _Row:
        adds = text.startswith("INSERT INTO charges")
        text = text.replace("?", "%s") + (" RETURNING id" if adds else "")
        cursor = self._connection.execute(text, values)
        return _Row(cursor, adds=adds)


class _Row:
    """A cursor with the id of the row that was added."""

    def __init__(self, cursor: Cursor[Any], *, adds: bool) -> None:
        row = cursor.fetchone() if adds else None
        self.lastrowid = row[0] if row else None
        self._cursor = cursor

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return list(self._cursor)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class SharedLedger(Ledger):
    """Reservations are on disk before anything is sent. A thread that is already in a transaction of the database, such
    as its journal's, reserves and settles in the same transaction. Raises an `UnavailableError` if the database is
    unavailable.
    """

    joins = True

    def __init__(self, database: Database) -> None:
        super().__init__("the database", database.now)
        self._database = database

    def close(self) -> None:
        """Nothing to close: the connections belong to the database."""

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        import psycopg

        try:
            with self._database.transaction(joins=True, durable=True) as connection:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
                yield _Rows(connection)
        except psycopg.Error as error:
            raise unavailable(error) from None
