"""Reads what the console shows: pages of the list of runs, counts by state, spending by day, and the workers."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from kosmolua.worker.database import Database

STATES = ("running", "waiting", "ready", "scheduled", "done", "failed", "canceled")
LIVE = STATES[:4]
_UNIT = 1_000_000_000
_ERROR = 300  # the maximum characters of an error

# The rows are chosen first, so that the subqueries run for one page only. The list never reads sources or results.
_PAGE = """
SELECT r.id, r.key, r.script, r.account, r.state, r.began, extract(epoch FROM r.ended)::float8, left(r.error, {error}),
  (SELECT count(*) FROM outcomes WHERE run = r.id AND sent),
  CASE WHEN r.state IN ('waiting', 'scheduled') THEN extract(epoch FROM coalesce(
    r.wake_at, (SELECT min(until) FROM waits WHERE run = r.id)))::float8 END,
  CASE WHEN r.state = 'waiting' THEN (SELECT count(*) FROM waits WHERE run = r.id AND job IS NOT NULL) ELSE 0 END,
  CASE WHEN r.state IN ('running', 'ready', 'waiting') THEN (SELECT count(*) FROM approvals
    WHERE run = r.id AND decision IS NULL AND used_at IS NULL AND expires_at > clock_timestamp()) ELSE 0 END
FROM (SELECT * FROM runs WHERE {where} ORDER BY began {order}, id {order} LIMIT %s) r
ORDER BY r.began DESC, r.id DESC
"""


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs to list: their ``states`` (empty for all), and a part of the script's name or key. ``before`` and
    ``after`` select the runs that began before or after a run, given as its start time and id.
    """

    states: tuple[str, ...] = ()
    part: str = ""
    before: tuple[float, str] | None = None
    after: tuple[float, str] | None = None


class Row(Struct, frozen=True, kw_only=True):
    """A run in the list. Times are in Unix seconds; ``wakes`` is when a sleep or the schedule wakes the run, ``waits``
    how many jobs it waits for, ``approvals`` how many of its questions are open, and ``cost`` what it has charged to
    budgets, or None.
    """

    id: str
    key: str | None
    script: str
    account: str
    state: str
    began: float
    ended: float | None
    error: str | None
    calls: int
    wakes: float | None
    waits: int
    approvals: int
    cost: Decimal | None = None


class Listed(Struct, frozen=True):
    """A page of runs, newest first, and whether there are ``newer`` and ``older`` ones."""

    rows: list[Row]
    newer: bool
    older: bool


class Spending(Struct, frozen=True):
    """The charges of an account on one day: the amount in the price table's currency, and how many have no known
    price.
    """

    day: str
    account: str
    spent: Decimal
    reserved: Decimal
    predictions: int
    unpriced: int


class WorkerRow(Struct, frozen=True):
    """A worker. ``lease`` is the remaining time of its lease in seconds."""

    id: str
    host: str
    pid: int
    version: str
    slots: int
    began: float
    lease: float
    runs: int

    @property
    def state(self) -> str:
        return "alive" if self.lease > 0 else "dead"


def page(database: Database, wanted: RunFilter, limit: int) -> Listed:
    """One page of the list of runs."""
    where, values = _conditions(wanted)
    forward = wanted.after is not None and wanted.before is None
    text = _PAGE.format(error=_ERROR, where=where, order="ASC" if forward else "DESC")
    rows = [
        Row(**dict(zip(Row.__struct_fields__, row, strict=False))) for row in database.rows(text, (*values, limit + 1))
    ]
    more = len(rows) > limit
    kept = rows[-limit:] if forward else rows[:limit]
    newer, older = (more, True) if forward else (wanted.before is not None, more)
    return Listed(_with_costs(database, kept), newer, older)


def counts(database: Database, wanted: RunFilter) -> dict[str, int]:
    """How many runs are in each state, among those that the filter's text selects."""
    where, values = _conditions(RunFilter(part=wanted.part))
    text = f"SELECT state, count(*) FROM runs r WHERE {where} GROUP BY state"  # noqa: S608 - constants
    return dict(database.rows(text, values))


def _conditions(wanted: RunFilter) -> tuple[str, list[object]]:
    parts, values = ["true"], list[object]()
    if wanted.states:
        parts.append("state = ANY(%s)")
        values.append(list(wanted.states))
    if wanted.part:
        like = "%" + wanted.part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        parts.append("(script ILIKE %s OR key ILIKE %s OR id = %s)")
        values += [like, like, wanted.part]
    for name, place in (("<", wanted.before), (">", wanted.after)):
        if place:
            parts.append(f"(began, id) {name} (%s, %s)")
            values += place
    return " AND ".join(parts), values


def _with_costs(database: Database, rows: list[Row]) -> list[Row]:
    if not rows:
        return rows
    charged = dict(
        database.rows(
            "SELECT run, sum(coalesce(spent, held)) FROM charges WHERE at >= %s AND run = ANY(%s) GROUP BY run",
            (min(row.began for row in rows), [row.id for row in rows]),
        )
    )
    return [_costing(row, charged[row.id]) if charged.get(row.id) is not None else row for row in rows]


def _costing(row: Row, units: Decimal) -> Row:
    from msgspec.structs import replace

    return replace(row, cost=units / _UNIT)


def open_approvals(database: Database) -> int:
    """How many questions are open."""
    ((count,),) = database.rows(
        "SELECT count(*) FROM approvals a JOIN runs r ON r.id = a.run WHERE a.decision IS NULL "
        "AND a.expires_at > clock_timestamp() AND r.state NOT IN ('done', 'failed', 'canceled')"
    )
    return int(count)


def decided_approvals(database: Database, limit: int) -> list[str]:
    """The ids of the questions that are no longer open, newest first."""
    rows = database.rows(
        "SELECT a.id FROM approvals a JOIN runs r ON r.id = a.run WHERE a.decision IS NOT NULL "
        "OR a.expires_at <= clock_timestamp() OR r.state IN ('done', 'failed', 'canceled') "
        "ORDER BY coalesce(a.decided_at, a.expires_at) DESC, a.id LIMIT %s",
        (limit,),
    )
    return [identifier for (identifier,) in rows]


def spending(database: Database, days: int) -> list[Spending]:
    """Charges by day (in UTC) and account, newest first."""
    rows = database.rows(
        "SELECT to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, account, coalesce(sum(spent), 0), "
        "coalesce(sum(held) FILTER (WHERE spent IS NULL), 0), count(*), count(*) FILTER (WHERE held IS NULL AND "
        "coalesce(spent, 0) = 0) FROM charges WHERE at >= extract(epoch FROM clock_timestamp()) - 86400 * %s "
        "GROUP BY day, account ORDER BY day DESC, account",
        (days,),
    )
    return [Spending(day, account, spent / _UNIT, held / _UNIT, *rest) for day, account, spent, held, *rest in rows]


def workers(database: Database) -> list[WorkerRow]:
    """The workers, in the order in which they started."""
    rows = database.rows(
        "SELECT id::text, host, pid, version, slots, extract(epoch FROM began)::float8, "
        "extract(epoch FROM lease_until - clock_timestamp())::float8, "
        "(SELECT count(*) FROM runs WHERE worker = w.id) FROM workers w ORDER BY began"
    )
    return [WorkerRow(*row) for row in rows]


class Detail(Struct, frozen=True, kw_only=True):
    """One run. ``args`` and ``results`` are MessagePack, or None if they are too long; ``sent`` counts its API calls,
    ``newest`` is the number of its newest answer.
    """

    id: str
    key: str | None
    script: str
    args: bytes | None
    account: str
    emulated: bool
    submitted_by: str | None
    caps: bytes
    state: str
    began: float
    ended: float | None
    wakes: float | None
    waits: int
    worker: str | None
    error: str | None
    results: bytes | None
    results_size: int | None
    sent: int
    newest: int


def detail(database: Database, run: str, longest: int, largest: int) -> Detail | None:
    """The run with that id; with its arguments if they have up to ``longest`` bytes, and its results up to
    ``largest``.
    """
    rows = database.rows(
        "SELECT r.id, r.key, r.script, CASE WHEN octet_length(r.args) <= %s THEN r.args END, r.account, r.emulated, "
        "r.submitted_by, r.caps, r.state, r.began, extract(epoch FROM r.ended)::float8, "
        "CASE WHEN r.state IN ('waiting', 'scheduled') THEN extract(epoch FROM coalesce(r.wake_at, "
        "(SELECT min(until) FROM waits WHERE run = r.id)))::float8 END, "
        "(SELECT count(*) FROM waits WHERE run = r.id AND job IS NOT NULL AND r.state = 'waiting'), "
        "(SELECT host || ':' || pid FROM workers w WHERE w.id = r.worker), r.error, "
        "CASE WHEN octet_length(r.results) <= %s THEN r.results END, octet_length(r.results), o.sent, o.newest "
        "FROM runs r, LATERAL (SELECT count(*) FILTER (WHERE sent) AS sent, coalesce(max(number), 0) AS newest "
        "FROM outcomes WHERE run = r.id) o WHERE r.id = %s",
        (longest, largest, run),
    )
    return Detail(**dict(zip(Detail.__struct_fields__, rows[0], strict=True))) if rows else None


class ApiCall(Struct, frozen=True):
    """An API call of a run. Its state is "ok", "error", "unsure", or "open" if it has not ended. Arguments and answers
    that are too long are None.
    """

    function: str
    account: str
    arguments: bytes | None
    model: str | None
    at: float
    ended: float | None
    state: str
    answer: bytes | None


def api_calls(database: Database, run: str, limit: int, largest: int) -> list[ApiCall]:
    """The newest API calls of a run, oldest first, without answers of more than ``largest`` bytes; then its open
    calls.
    """
    rows = database.rows(
        "SELECT * FROM (SELECT function, account, CASE WHEN octet_length(arguments) <= %s THEN arguments END, model, "
        "at, ended, state, CASE WHEN octet_length(value) <= %s THEN value END FROM outcomes WHERE run = %s AND NOT cut "
        "AND (function NOT LIKE 'host.%%' OR function = 'host.await') ORDER BY number DESC LIMIT %s) c "
        "UNION ALL SELECT function, account, CASE WHEN octet_length(arguments) <= %s THEN arguments END, model, at, "
        "NULL, 'open', NULL FROM intents WHERE run = %s AND open AND NOT cut ORDER BY 5, 6",
        (largest, largest, run, limit, largest, run),
    )
    return [ApiCall(*row) for row in rows]


def count_of_calls(database: Database, run: str) -> int:
    """How many API calls of the run have an answer."""
    ((count,),) = database.rows(
        "SELECT count(*) FROM outcomes WHERE run = %s AND NOT cut AND (function NOT LIKE 'host.%%' OR "
        "function = 'host.await')",
        (run,),
    )
    return int(count)


def printed(database: Database, run: str, limit: int, largest: int) -> list[tuple[int, bytes]]:
    """The newest printed texts of a run, oldest first: the stream (1 or 2), and up to ``largest`` bytes of each
    text.
    """
    rows = database.rows(
        "SELECT stream, substring(text from 1 for %s) FROM prints WHERE run = %s ORDER BY number DESC LIMIT %s",
        (largest, run, limit),
    )
    return [(stream, piece) for stream, piece in reversed(rows)]
