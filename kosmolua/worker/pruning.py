"""Deletes runs that have ended, with their journals and output. Keeps what is needed to avoid paying twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from kosmolua.errors import UsageError
from kosmolua.settings import ages
from kosmolua.worker.runs import ENDED

if TYPE_CHECKING:
    from kosmolua.worker.database import Database
    from kosmolua.worker.runs import RunInfo

LEAST = 3600.0  # seconds after a run's end: until then, searches for interrupted calls of other runs may find its jobs
BATCH = 500  # the maximum number of runs deleted in one transaction
_UNSETTLED = """
(EXISTS (SELECT 1 FROM intents i WHERE i.run = r.id AND i.open)
 OR EXISTS (SELECT 1 FROM outcomes o WHERE o.run = r.id AND o.state = 'unsure' AND NOT o.cut))
"""
# The search for an interrupted call of another run must know that what this run created belongs to this run.
_SOUGHT = """
EXISTS (SELECT 1 FROM intents mine JOIN intents other ON other.essence = mine.essence AND other.open
  WHERE mine.run = r.id AND other.run <> r.id)
"""
_OLD = "r.state = ANY(%(ended)s) AND r.ended <= clock_timestamp() - make_interval(secs => %(age)s)"
_CHOSEN = "(%(runs)s::text[] IS NULL OR r.id = ANY(%(runs)s))"
_DELETE = f"""
WITH old AS (SELECT r.id, r.key, r.digest FROM runs r
    WHERE {_CHOSEN} AND {_OLD} AND NOT {_UNSETTLED} AND NOT {_SOUGHT} ORDER BY r.ended LIMIT %(most)s
    FOR UPDATE SKIP LOCKED),
  kept AS (INSERT INTO pruned (key, run, digest) SELECT key, id, digest FROM old WHERE key IS NOT NULL
    ON CONFLICT (key) DO NOTHING)
DELETE FROM runs WHERE id IN (SELECT id FROM old) RETURNING id
"""  # noqa: S608 - constants
_LEFT = f"SELECT r.id FROM runs r WHERE {_CHOSEN} AND {_OLD} AND ({_UNSETTLED} OR {_SOUGHT}) ORDER BY r.ended"  # noqa: S608


class Pruned(Struct, frozen=True):
    """The ids of the runs that were deleted, and of those that were kept because the result of a write is unknown."""

    removed: list[str]
    kept: list[str]


def prune(database: Database, age: float, runs: Sequence[str] | None = None) -> Pruned:
    """Delete those of all runs, or of these ``runs``, that ended at least ``age`` seconds ago, and at least an hour
    ago.
    """
    given = {"ended": list(ENDED), "age": max(age, LEAST), "most": BATCH, "runs": None if runs is None else list(runs)}
    removed: list[str] = []
    while True:
        with database.explained(), database.transaction() as connection:
            found = [identifier for (identifier,) in connection.execute(_DELETE, given)]
        removed += found
        if len(found) < BATCH:
            return Pruned(removed, [identifier for (identifier,) in database.rows(_LEFT, given)])


def check(database: Database, one: RunInfo) -> None:
    """Raise a `UsageError` for a run that cannot be deleted by name."""
    see = f"see it: kosmo runs show {one.id} --database"
    if one.state not in ENDED:
        raise UsageError(f"run {one.id} is {one.state}; only a run that has ended can be pruned", hint=see)
    left = LEAST - (database.now() - (one.ended or 0.0))
    if left > 0:
        raise UsageError(
            f"run {one.id} ended less than an hour ago; other runs may still look for what it created",
            hint=f"prune it after {ages.local_time(database.now() + left)}",
        )
