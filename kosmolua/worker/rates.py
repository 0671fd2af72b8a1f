"""The request rate of an account, shared by all workers: one row for each lane (GCRA, the generic cell rate algorithm).

``tat`` is the theoretical arrival time of the next request. A request may leave once the clock has reached ``tat``
minus the burst. After a 429 the gap doubles; it shrinks again with each request that the API accepts.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kosmolua.replicate.pace import LONGEST, SHRINKS, Turn
from kosmolua.worker.database import Database, unavailable

_TURN = """
INSERT INTO rates AS r (account, lane, tat, gap, least, burst)
VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s), %s, %s, %s)
ON CONFLICT (account, lane) DO UPDATE SET
  tat = greatest(r.tat, clock_timestamp()) + make_interval(secs => r.gap), gap = greatest(r.gap, excluded.least),
  least = excluded.least, burst = excluded.burst
RETURNING greatest(0, extract(epoch FROM tat - clock_timestamp()) - gap * burst)::float8, epoch
"""


class Rate(Struct, frozen=True):
    """Requests per second, and how many may be sent at once."""

    per_second: float
    burst: float = 5.0


# https://replicate.com/docs/topics/predictions/rate-limits: 600 creates and 3000 other requests a minute.
CREATES, OTHERS = Rate(10.0), Rate(50.0, 25.0)


class SharedPace:
    """The `kosmolua.replicate.pace.Pace` of one lane of an account, in the database. Thread-safe."""

    def __init__(self, database: Database, account: str, lane: str, rate: Rate) -> None:
        self._database = database
        self._key = (account, lane)
        self._rate = rate
        self._slowed = False

    def turn(self) -> Turn:
        """Take the next turn. Raises an `UnavailableError` if the database is unavailable; then nothing is sent."""
        gap = 1 / self._rate.per_second
        ((wait, epoch),) = self._rows(_TURN, *self._key, gap, gap, gap, self._rate.burst)
        return Turn(wait, epoch)

    def taken(self) -> None:
        if self._slowed:
            rows = self._rows(
                "UPDATE rates SET gap = greatest(least, gap * %s) WHERE account = %s AND lane = %s "
                "RETURNING gap > least",
                SHRINKS,
                *self._key,
            )
            self._slowed = bool(rows and rows[0][0])

    def refused(self, turn: Turn, asked: float) -> None:
        self._slowed = True
        self._rows(
            "UPDATE rates SET tat = greatest(tat, clock_timestamp() + make_interval(secs => %s + gap * burst)), "
            "gap = CASE WHEN epoch = %s THEN least(greatest(2 * gap, least), %s) ELSE gap END, "
            "epoch = CASE WHEN epoch = %s THEN epoch + 1 ELSE epoch END WHERE account = %s AND lane = %s",
            asked,
            turn.epoch,
            LONGEST,
            turn.epoch,
            *self._key,
        )

    def _rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        try:
            return self._database.fetched(text, values)
        except psycopg.Error as error:
            raise unavailable(error, "nothing of this call was sent") from None
