"""Wakes waiting runs: when a job has ended (one worker polls for each account), or at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import UUID

from kosmolua.errors import KosmoError
from kosmolua.host.host import Host
from kosmolua.worker.runs import wake

if TYPE_CHECKING:
    from psycopg import Connection

TICK = 1.0  # seconds between checks for new and due waits
WHOLE = 15.0  # seconds between comparisons with all waits
REFUSED = 60.0  # seconds until an account without a token is tried again
_DUE = """
SELECT DISTINCT r.id FROM waits w JOIN runs r ON r.id = w.run
WHERE w.until <= clock_timestamp() AND r.state = 'waiting'
UNION SELECT id FROM runs WHERE state = 'scheduled' AND wake_at <= clock_timestamp() LIMIT 500
"""
_NEW = """
SELECT w.number, w.run, w.kind, w.job FROM waits w JOIN runs r ON r.id = w.run
WHERE w.account = %s AND w.job IS NOT NULL AND w.number > %s AND r.state = 'waiting' ORDER BY w.number
"""
_TAKE = """
INSERT INTO polled AS p VALUES (%(account)s, %(worker)s) ON CONFLICT (account) DO UPDATE SET worker = excluded.worker
WHERE p.worker = excluded.worker
OR NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = p.worker AND w.lease_until > clock_timestamp()) RETURNING 1
"""


class Waker:
    """Does one round of work for each `tick`. For each account, the worker named in its row polls while that worker's
    lease lasts. An advisory lock would not do: a suspended process would keep it.
    """

    def __init__(self, worker: UUID, host: Host, accounts: list[str] | None) -> None:
        self._worker = worker
        self._host = host
        self._accounts = accounts
        self._by_account: dict[str, _AccountWaits] = {}
        self._refused: dict[str, float] = {}
        self._ready: deque[tuple[int, str]] = deque()  # number of a wait that has ended -> its run

    def tick(self, connection: Connection[Any]) -> None:
        """Do one round of work. ``connection`` is in autocommit mode, and is the same in each round. Raises a
        ``psycopg.Error``.
        """
        due, over = {run for (run,) in connection.execute(_DUE)}, list[int]()
        while self._ready:
            number, run = self._ready.popleft()
            over.append(number)
            due.add(run)
        wake(connection, list(due), over)
        self._lead(connection)
        for account, waits in list(self._by_account.items()):
            self._watch(connection, account, waits)

    def close(self) -> None:
        for waits in self._by_account.values():
            waits.close()
        self._by_account.clear()

    def _lead(self, connection: Connection[Any]) -> None:
        """Start polling for accounts that have waits and that no other worker polls for."""
        for (account,) in connection.execute("SELECT DISTINCT account FROM waits WHERE job IS NOT NULL"):
            mine = self._accounts is None or account in self._accounts
            if not mine or account in self._by_account or self._refused.get(account, 0.0) > time.monotonic():
                continue
            if connection.execute(_TAKE, {"account": account, "worker": self._worker}).fetchone():
                self._by_account[account] = _AccountWaits()
        rows = connection.execute("SELECT account FROM polled WHERE worker = %s", (self._worker,)).fetchall()
        for account in self._by_account.keys() - {account for (account,) in rows}:
            self._by_account.pop(account).close()

    def _watch(self, connection: Connection[Any], account: str, waits: _AccountWaits) -> None:
        rows = connection.execute(_NEW, (account, waits.after())).fetchall()
        try:
            waits.update(rows, lambda *wait: self._begin(account, *wait))
        except KosmoError:
            waits.close()
            del self._by_account[account]
            self._refused[account] = time.monotonic() + REFUSED
            connection.execute("DELETE FROM polled WHERE account = %s AND worker = %s", (account, self._worker))

    def _begin(self, account: str, number: int, run: str, kind: str, job: str) -> Callable[[], None]:
        named = cast("Literal['prediction', 'training']", kind)
        return self._host.watch(named, job, lambda: self._ready.append((number, run)), account=account)


class _AccountWaits:
    """The waits of one account that this worker watches."""

    def __init__(self) -> None:
        self._watched: dict[int, Callable[[], None]] = {}
        self._newest = 0
        self._compared = time.monotonic()
        self._whole = True
        self._lock = threading.Lock()

    def after(self) -> int:
        """The number after which waits are read. Sometimes it is 0, to read all of them and forget those that are
        gone.
        """
        self._whole = time.monotonic() - self._compared > WHOLE
        return 0 if self._whole else self._newest

    def update(
        self, rows: list[tuple[int, str, str, str]], begin: Callable[[int, str, str, str], Callable[[], None]]
    ) -> None:
        if self._whole:
            self._compared = time.monotonic()
            for gone in self._watched.keys() - {number for number, *_ in rows}:
                self._watched.pop(gone)()
        for number, run, kind, job in rows:
            if number not in self._watched:
                self._watched[number] = begin(number, run, kind, job)
                self._newest = max(self._newest, number)

    def close(self) -> None:
        for leave in self._watched.values():
            leave()
        self._watched.clear()
