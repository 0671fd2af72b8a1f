"""Connections to the PostgreSQL database of workers, and the database's clock."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kosmolua.errors import ConfigurationError, JournalError
from kosmolua.worker import schema
from kosmolua.worker.connections import Connections

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT = 5  # the maximum seconds to connect
# An unanswered connection is closed within ten seconds, and a suspended process holds no lock for longer than that.
OPTIONS = {
    "connect_timeout": CONNECT,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "kosmo",
}
_BEGIN, _DURABLE = "BEGIN;", "SET LOCAL synchronous_commit = on"
_SETTINGS = (
    "-c search_path=kosmo,public -c synchronous_commit=off -c lock_timeout=20s "
    "-c idle_in_transaction_session_timeout=10s"
)


_ENCODED = r"(?:[^@/?#\[\]\s%{}]|%[0-9a-fA-F]{{2}})*"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:{_ENCODED.format(':')}(?::{_ENCODED.format('')})?@)?[^@?#\s]*"
    r"(?:\?\w+=[^&\s]*(?:&\w+=[^&\s]*)*)?"
)


class Unit:
    """A connection whose statements are committed one by one until a transaction begins, which ends with the unit. The
    connection is taken from the pool when it is first needed.
    """

    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._taken: Connection[Any] | None = None
        self._in_transaction = False

    @property
    def connection(self) -> Connection[Any]:
        if self._taken is None:
            self._taken = self._pool.take()
        return self._taken

    def begun(self, *, durable: bool = False) -> Connection[Any]:
        """The connection, in a transaction. A ``durable`` transaction is on disk once it is committed."""
        connection = self.connection
        if not self._in_transaction:
            connection.execute(_BEGIN + _DURABLE if durable else _BEGIN, prepare=False)
            self._in_transaction = True
        elif durable:
            connection.execute(_DURABLE, prepare=False)
        return connection

    def commit(self) -> None:
        import psycopg

        if self._in_transaction and self._taken:
            self._in_transaction = False
            ended = self._taken.execute("COMMIT", prepare=False)
            if ended.statusmessage != "COMMIT":  # one of its statements had failed
                raise psycopg.errors.InFailedSqlTransaction("the transaction was rolled back")

    def close(self) -> None:
        """Roll back an uncommitted transaction."""
        if self._taken:
            self._pool.give_back(self._taken)


class Database:
    """A PostgreSQL database with the tables of `kosmolua.worker.schema`. Thread-safe.

    Raises a `ConfigurationError` if the database cannot be reached or has newer tables. With ``prepare``, missing
    tables are created and older ones migrated.
    """

    def __init__(self, url: str, *, prepare: bool = False, size: int = 4) -> None:
        check_url(url)
        self.url = url
        self._current = threading.local()  # the unit of this thread
        self._ahead = 0.0  # the database's clock minus time.monotonic
        with self.explained():
            import psycopg

            with psycopg.connect(url, autocommit=True, **self.options) as connection:
                if prepare:
                    schema.prepare(connection)
                self._check(connection)
                self.read_time(connection)
            self._pool = Connections(lambda: psycopg.connect(url, autocommit=True, **self.options), size)

    @property
    def options(self) -> dict[str, Any]:
        """The options with which each connection is opened."""
        return {**OPTIONS, "options": _SETTINGS}

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """A connection for this thread, whose transaction begins when one is needed. Raises a ``psycopg.Error``."""
        outer = getattr(self._current, "unit", None)
        unit = self._current.unit = Unit(self._pool)
        try:
            yield unit
            unit.commit()
        finally:
            self._current.unit = outer
            unit.close()

    @contextmanager
    def transaction(self, *, joins: bool = False, durable: bool = False) -> Iterator[Connection[Any]]:
        """A connection in a transaction, which is committed at the end; a ``durable`` transaction is on disk then. With
        ``joins``, use the transaction of this thread's `unit`, if the thread is in one. Raises a ``psycopg.Error``.
        """
        outer: Unit | None = getattr(self._current, "unit", None)
        if joins and outer:
            yield outer.begun(durable=durable)
            return
        with self.unit() as unit:
            yield unit.begun(durable=durable)

    def rows(self, text: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that one statement returns. Raises a `ConfigurationError`."""
        with self.explained():
            return self.fetched(text, values)

    def fetched(self, text: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Like `rows`, but raises a ``psycopg.Error``."""
        connection = self._pool.take()
        try:
            cursor = connection.execute(text, values)
            # `Cursor.description` would do, but describes each column.
            return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []
        finally:
            self._pool.give_back(connection)

    def now(self) -> float:
        """The database's time in Unix seconds. This machine's own clock is not used."""
        return time.monotonic() + self._ahead

    def read_time(self, connection: Connection[Any]) -> None:
        """Read the database's time over this connection, for `now`."""
        before = time.monotonic()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        if row:
            self._ahead = row[0] - (before + time.monotonic()) / 2

    def close(self) -> None:
        self._pool.close()

    def _check(self, connection: Connection[Any]) -> None:
        found = schema.version_of(connection)
        schema.check(found)
        if found < schema.VERSION:
            raise ConfigurationError(
                "the database has no kosmolua tables, or older ones", hint="start a worker: kosmo worker --database URL"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the database into a `ConfigurationError`."""
        try:
            import psycopg
        except ImportError:
            raise missing() from None
        try:
            yield
        except psycopg.Error as error:
            raise unreachable(error) from None


def check_url(url: str) -> None:
    """Raise a `ConfigurationError` for a URL with a password that libpq would parse wrongly, and then show in its
    error.
    """
    if not _URL.fullmatch(url):
        raise ConfigurationError(
            "the URL of the database is invalid, or its user name or password contains unencoded characters",
            hint="write postgresql://USER:PASSWORD@HOST/DATABASE with @ as %40, / as %2F, : as %3A, % as %25",
        )


def missing() -> ConfigurationError:
    return ConfigurationError(
        "the packages for workers are not installed", hint="install them: pip install 'kosmolua[worker]'"
    )


class DatabaseError(ConfigurationError):
    """The database is unreachable, or refuses the connection."""


class UnavailableError(JournalError):
    """The database was unavailable when a run needed it. The run ends on this worker and is continued later."""


def unavailable(error: Exception, what: str = "") -> UnavailableError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UnavailableError(
        f"cannot use the database: {lines[0][:300]}" + (f"; {what}" if what else ""),
        hint="check the database; existing journals remain valid, and interrupted runs continue",
    )


def unreachable(error: Exception) -> DatabaseError:
    """An error that does not contain the URL, which may hold a password."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DatabaseError(
        f"cannot use the database: {lines[0][:300]}",
        hint="check --database, or KOSMO_DATABASE, and that PostgreSQL accepts connections",
    )
