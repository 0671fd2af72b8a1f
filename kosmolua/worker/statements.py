"""SQL statements about runs and their journals. Statements that add rows take effect only for the worker that holds the
run.
"""

from __future__ import annotations

NOW = "extract(epoch FROM clock_timestamp())::float8"
REQUEST = "task, request, function, account, digest, arguments, at, seen"
HELD = """WITH held AS (SELECT r.id, r.epoch FROM runs r JOIN workers w ON w.id = r.worker
  WHERE r.id = %s AND r.epoch = %s AND r.worker = %s AND w.lease_until > clock_timestamp() AND {} FOR SHARE OF r) """
# A database that crashes may lose its latest commits. If an answer was lost, nothing that follows it is written.
INTACT = "(SELECT coalesce(max(o.number), 0) FROM outcomes o WHERE o.run = r.id) IN (%s, %s)"
ONE = "SELECT 1 FROM held"
FREE = "WITH held AS (SELECT id, epoch FROM runs WHERE id = %s) "
DURABLE = "set_config('synchronous_commit', 'on', true)"  # for the transaction that selects it
START = f"INSERT INTO starts (run, at, digest) SELECT id, {NOW}, %s FROM held RETURNING number"  # noqa: S608 - a constant
INTEND = (
    f"INSERT INTO intents (run, {REQUEST}, model, essence, epoch) "  # noqa: S608 - a constant
    f"SELECT id, %s, %s, %s, %s, %s, %s, {NOW}, %s, %s, %s, epoch FROM held RETURNING number, {DURABLE}"
)
FINISH = (
    f"INSERT INTO outcomes (run, {REQUEST}, model, state, value, ended, sent) "  # noqa: S608 - a constant
    f"SELECT id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {NOW}, %s FROM held RETURNING number"
)
FINISH_WRITE = (
    ", closed AS (UPDATE intents i SET open = false FROM held "  # noqa: S608 - constants
    "WHERE i.run = held.id AND i.task = %s AND i.request = %s AND i.open), "
    "took AS (INSERT INTO taken SELECT %s::text, id FROM held WHERE %s::text IS NOT NULL ON CONFLICT DO NOTHING) "
    f"{FINISH}, {DURABLE}"
)
LOAD = (
    f"SELECT {REQUEST}, number, state, sent, cut, model, "  # noqa: S608 - a constant
    "CASE WHEN octet_length(value) <= %s OR (sent AND state = 'ok') THEN value END, octet_length(value) "
    "FROM outcomes WHERE run = %s ORDER BY number"
)
# The request may have been sent at any time before its worker died, so at the latest when the run was started again.
LOAD_ATTEMPTS = (
    f"SELECT {REQUEST}, number, essence, "  # noqa: S608 - a constant
    "coalesce((SELECT min(s.at) FROM starts s WHERE s.run = i.run AND s.at > i.at), i.at) "
    "FROM intents i WHERE run = %s AND open AND NOT cut ORDER BY number"
)
CONSUME = """WITH u AS (UPDATE approvals a SET used_at = coalesce(used_at, clock_timestamp())
  WHERE id = ANY(%s) AND run = %s AND decision = 'approved' AND task = %s AND request = %s AND (used_at IS NULL
    OR EXISTS (SELECT 1 FROM intents i WHERE i.run = a.run AND i.open AND i.task = %s AND i.request = %s))
  RETURNING 1) SELECT count(*) FROM u"""
CLAIM = f"""
UPDATE runs r SET worker = %(me)s, epoch = epoch + 1, state = 'running', wake_at = NULL,
  takeovers = CASE WHEN worker IS NULL THEN 0 WHEN n.newest > progress THEN 1 ELSE takeovers + 1 END,
  progress = n.newest
FROM (SELECT coalesce(max(number), 0) AS newest FROM outcomes WHERE run = %(run)s) n
WHERE r.id = %(run)s AND NOT cancel AND state IN ('ready', 'running') AND (worker IS NULL OR NOT EXISTS
  (SELECT 1 FROM workers w WHERE w.id = r.worker AND w.lease_until > clock_timestamp()))
RETURNING script, source, args, account, emulated, caps, epoch, takeovers, started_by, began, seed, {DURABLE}
"""  # noqa: S608 - constants
# What earlier segments left: the number of prints, whether calls were interrupted, the last start, and a row for each
# wait. A job that has ended is not polled for again.
EARLIER = """
SELECT (SELECT coalesce(max(number), 0) FROM prints WHERE run = o.run),
  EXISTS (SELECT 1 FROM intents i WHERE i.run = o.run AND i.open), s.digest, s.ended, s.ok, s.error,
  w.task, w.request, w.kind, extract(epoch FROM w.until - clock_timestamp())::float8, w.account,
  CASE WHEN w.until <= clock_timestamp()
    OR EXISTS (SELECT 1 FROM events e WHERE e.job = w.job AND e.account = w.account) THEN w.job END
FROM (SELECT %s::text AS run) o LEFT JOIN waits w ON w.run = o.run LEFT JOIN LATERAL
  (SELECT digest, ended, ok, error FROM starts WHERE run = o.run ORDER BY number DESC LIMIT 1) s ON true
"""
# A run is not marked as ended if the database lost rows of it in a crash.
ENDED = f"""
WITH u AS (UPDATE runs r SET worker = NULL, state = %s, error = %s, results = %s, ended = clock_timestamp()
  WHERE id = %s AND worker = %s AND epoch = %s
  AND (%s::bigint[] IS NULL OR (SELECT coalesce(max(number), 0) FROM outcomes WHERE run = r.id) = ANY(%s))
  AND (SELECT coalesce(max(number), 0) FROM prints WHERE run = r.id) >= %s RETURNING id, {DURABLE}),
s AS (UPDATE starts SET ended = {NOW}, ok = true FROM u WHERE run = u.id AND number = %s)
SELECT 1 FROM u
"""  # noqa: S608 - constants
# Updates the run and adds its waits in one statement; rows of earlier waits were deleted before, if there were any.
LEFT = f"""
WITH u AS (UPDATE runs SET state = 'waiting', worker = NULL WHERE id = %s AND worker = %s AND epoch = %s
  RETURNING id, {DURABLE}),
w AS (INSERT INTO waits (run, task, request, kind, job, account, until)
  SELECT u.id, x.task, x.request, x.kind, x.job, x.account, clock_timestamp() + make_interval(secs => x.seconds)
  FROM u, unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[])
    AS x (task, request, kind, job, account, seconds))
SELECT 1 FROM u
"""  # noqa: S608 - constants
