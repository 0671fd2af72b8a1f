"""Events from webhooks: predictions and trainings that have ended. The runs that wait for them continue at once.

An event is stored first, and the runs that wait are looked up in a second transaction; a run that parks stores its
waits first, and looks for events then. So one of the two sees the other, however they interleave. A lost event costs
only time: the poller notices the end of the job as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from kosmolua.worker.database import Database
from kosmolua.worker.runs import wake

if TYPE_CHECKING:
    from psycopg import Connection

CHANNEL = "kosmo_events"  # the channel on which workers listen
PATH = "/replicate/"  # the path on the server that receives webhooks; the account follows
KEPT = "2 days"  # longer than the minutes after which an old delivery is refused
_WAITING = """
SELECT DISTINCT w.run FROM waits w JOIN runs r ON r.id = w.run
WHERE w.job = %s AND w.account = %s AND r.state = 'waiting'
"""


class Ended(Struct, frozen=True, kw_only=True):
    """The delivery with this ``id``: a job of an account has ended with this status."""

    id: str
    account: str
    kind: str
    job: str
    status: str


def address(public: str, account: str) -> str:
    """The URL to which the API sends the webhooks of an account."""
    return f"{public.rstrip('/')}{PATH}{quote(account, safe='')}"


def record(database: Database, ended: Ended) -> bool:
    """Store a delivery, and wake the runs that wait for its job. False if the delivery was stored before; its runs are
    woken all the same, since the process that stored it may have died before it woke them.
    """
    with database.explained(), database.transaction(durable=True) as connection:
        row = connection.execute(
            "INSERT INTO events (id, account, kind, job, status) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (id) DO NOTHING RETURNING 1",
            (ended.id, ended.account, ended.kind, ended.job, ended.status),
        ).fetchone()
    with database.explained(), database.transaction(durable=True) as connection:
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{ended.account}\n{ended.job}"))
        wake(connection, [run for (run,) in connection.execute(_WAITING, (ended.job, ended.account)).fetchall()])
    return row is not None


def wake_if_ended(connection: Connection[Any], run: str) -> None:
    """Continue a run that has just parked, if a job that it waits for has ended by then."""
    found = connection.execute(
        "SELECT 1 FROM waits w JOIN events e ON e.job = w.job AND e.account = w.account WHERE w.run = %s LIMIT 1",
        (run,),
    ).fetchone()
    if found:
        wake(connection, [run])


def forget_old(connection: Connection[Any]) -> None:
    connection.execute(f"DELETE FROM events WHERE at < clock_timestamp() - interval '{KEPT}'")  # noqa: S608 - a constant
