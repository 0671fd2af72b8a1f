"""The tables of workers, in the PostgreSQL schema ``kosmo``, and their migrations."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from kosmolua.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import Connection

VERSION = 6
_LOCK = 0x6B6F736D  # of the advisory lock held while migrating
_TABLES = """
CREATE TABLE workers (
  id uuid PRIMARY KEY, lease_until timestamptz NOT NULL, host text NOT NULL, pid bigint NOT NULL,
  version text NOT NULL, slots integer NOT NULL, began timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE runs (
  id text PRIMARY KEY, key text UNIQUE, digest bytea NOT NULL, script text NOT NULL, source bytea NOT NULL,
  args bytea NOT NULL, account text NOT NULL, emulated boolean NOT NULL, caps bytea NOT NULL,
  began double precision NOT NULL, seed bigint NOT NULL, state text NOT NULL, wake_at timestamptz,
  worker uuid, epoch bigint NOT NULL DEFAULT 0, cancel boolean NOT NULL DEFAULT false,
  takeovers integer NOT NULL DEFAULT 0, progress bigint NOT NULL DEFAULT 0,
  ended timestamptz, error text, results bytea);
CREATE INDEX runs_state ON runs (state) WHERE state IN ('ready', 'running', 'waiting', 'scheduled');
CREATE TABLE starts (
  run text NOT NULL REFERENCES runs ON DELETE CASCADE, number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at double precision NOT NULL, digest text NOT NULL, ended double precision, ok boolean, error text);
CREATE INDEX starts_run ON starts (run, number);
CREATE TABLE intents (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL REFERENCES runs ON DELETE CASCADE,
  task bigint NOT NULL, request bigint NOT NULL, function text NOT NULL, account text NOT NULL, digest bytea NOT NULL,
  arguments bytea NOT NULL, at double precision NOT NULL, seen bigint NOT NULL, model text, essence bytea NOT NULL,
  epoch bigint NOT NULL, cut boolean NOT NULL DEFAULT false, open boolean NOT NULL DEFAULT true);
CREATE INDEX intents_run ON intents (run, number);
CREATE INDEX intents_open ON intents (essence) WHERE open;
CREATE TABLE outcomes (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL REFERENCES runs ON DELETE CASCADE,
  task bigint NOT NULL, request bigint NOT NULL, function text NOT NULL, account text NOT NULL, digest bytea NOT NULL,
  arguments bytea NOT NULL, at double precision NOT NULL, seen bigint NOT NULL, model text, state text NOT NULL,
  value bytea, ended double precision NOT NULL, sent boolean NOT NULL, cut boolean NOT NULL DEFAULT false);
CREATE INDEX outcomes_run ON outcomes (run, number);
CREATE UNIQUE INDEX outcomes_place ON outcomes (run, task, request) WHERE NOT cut;
CREATE TABLE taken (id text PRIMARY KEY, run text NOT NULL REFERENCES runs ON DELETE CASCADE);
CREATE TABLE waits (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL REFERENCES runs ON DELETE CASCADE,
  task bigint NOT NULL, request bigint NOT NULL, kind text NOT NULL, job text, account text NOT NULL, until timestamptz,
  UNIQUE (run, task, request));
CREATE INDEX waits_until ON waits (until) WHERE until IS NOT NULL;
CREATE TABLE prints (
  run text NOT NULL REFERENCES runs ON DELETE CASCADE, number bigint NOT NULL, stream smallint NOT NULL,
  text bytea NOT NULL, PRIMARY KEY (run, number));
CREATE TABLE charges (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at double precision NOT NULL, account text NOT NULL, script text,
  caller text, run text NOT NULL, kind text NOT NULL, model text, prediction text, held bigint, spent bigint);
CREATE INDEX charges_at ON charges (at);
CREATE INDEX charges_open ON charges (prediction) WHERE spent IS NULL;
CREATE TABLE totals (
  scope text NOT NULL, start double precision NOT NULL, spent bigint NOT NULL, reserved bigint NOT NULL,
  predictions bigint NOT NULL, unpriced bigint NOT NULL, PRIMARY KEY (scope, start));
CREATE TABLE counted (
  charge bigint NOT NULL, scope text NOT NULL, start double precision NOT NULL, PRIMARY KEY (charge, scope, start));
CREATE TABLE polled (account text PRIMARY KEY, worker uuid NOT NULL);
CREATE TABLE rates (
  account text NOT NULL, lane text NOT NULL, tat timestamptz NOT NULL, gap double precision NOT NULL,
  least double precision NOT NULL, burst double precision NOT NULL, epoch bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (account, lane));
"""
_APPROVALS = """
ALTER TABLE runs ADD COLUMN submitted_by text;
CREATE TABLE approvals (
  id text PRIMARY KEY, run text NOT NULL REFERENCES runs ON DELETE CASCADE, task bigint NOT NULL,
  request bigint NOT NULL, function text NOT NULL, account text NOT NULL, access text NOT NULL, arguments text NOT NULL,
  digest bytea NOT NULL, estimate double precision, why text NOT NULL, rule text,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(), expires_at timestamptz NOT NULL, decision text,
  decided_by text, acting text, decided_at timestamptz, reason text, used_at timestamptz, notify_at timestamptz,
  notified integer NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX approvals_place ON approvals (run, task, request, digest) WHERE used_at IS NULL;
CREATE INDEX approvals_asked ON approvals (asked_at);
CREATE INDEX approvals_notify ON approvals (notify_at) WHERE notify_at IS NOT NULL;
"""
_STARTED = """
ALTER TABLE runs ADD COLUMN started_by text;
CREATE INDEX runs_started_by ON runs (started_by, began) WHERE started_by IS NOT NULL;
CREATE TABLE schedules (
  name text PRIMARY KEY, cron text NOT NULL, zone text NOT NULL, script text NOT NULL, source bytea NOT NULL,
  args bytea NOT NULL, account text NOT NULL, caps bytea NOT NULL, overlap text NOT NULL,
  paused boolean NOT NULL DEFAULT false, next_at timestamptz NOT NULL, added timestamptz NOT NULL DEFAULT now(),
  added_by text, last_slot timestamptz, last_run text, skipped bigint NOT NULL DEFAULT 0, error text);
CREATE INDEX schedules_next ON schedules (next_at) WHERE NOT paused;
CREATE TABLE triggers (
  name text PRIMARY KEY, script text NOT NULL, source bytea NOT NULL, account text NOT NULL, caps bytea NOT NULL,
  secret bytea NOT NULL, signing text, added timestamptz NOT NULL DEFAULT now(), added_by text,
  last_run text, runs bigint NOT NULL DEFAULT 0);
CREATE TABLE events (
  id text PRIMARY KEY, account text NOT NULL, kind text NOT NULL, job text NOT NULL, status text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX events_job ON events (job);
CREATE INDEX events_at ON events (at);
"""
# The call in a journal that a charge is for, so that the call's next attempt is not charged again.
_PLACES = """
ALTER TABLE charges ADD COLUMN place text;
CREATE INDEX charges_place ON charges (place) WHERE place IS NOT NULL;
"""
# Who may decide: for a run, the approvers that it is restricted to; for a question, those left after all restrictions.
_APPROVERS = """
ALTER TABLE runs ADD COLUMN approvers text[];
ALTER TABLE approvals ADD COLUMN approvers text[], ADD COLUMN own boolean;
"""
# Keys of deleted runs: the same submission or trigger delivery does not run again.
_PRUNED = """
CREATE TABLE pruned (
  key text PRIMARY KEY, run text NOT NULL, digest bytea NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
# version -> the statements that migrate from the version before
_STEPS: dict[int, str] = {1: _TABLES, 2: _APPROVALS, 3: _STARTED, 4: _PLACES, 5: _APPROVERS, 6: _PRUNED}


def prepare(connection: Connection[Any]) -> None:
    """Create or migrate the tables. Raises a `ConfigurationError` for tables of a newer version."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("CREATE SCHEMA IF NOT EXISTS kosmo")
        connection.execute("CREATE TABLE IF NOT EXISTS kosmo.facts (version integer NOT NULL)")
        row = connection.execute("SELECT version FROM kosmo.facts").fetchone()
        found = row[0] if row else 0
        check(found)
        for version in range(found + 1, VERSION + 1):
            if version == 1:
                connection.execute(_queue_tables())
            connection.execute(_STEPS[version])
        if found < VERSION:
            connection.execute("DELETE FROM kosmo.facts")
            connection.execute("INSERT INTO kosmo.facts VALUES (%s)", (VERSION,))


def version_of(connection: Connection[Any]) -> int:
    """The version of the tables, 0 if there are none."""
    row = connection.execute("SELECT to_regclass('kosmo.facts') IS NOT NULL").fetchone()
    if not (row and row[0]):
        return 0
    found = connection.execute("SELECT version FROM kosmo.facts").fetchone()
    return found[0] if found else 0


def check(found: int) -> None:
    if found > VERSION:
        raise ConfigurationError(
            f"the database has tables of version {found}; this kosmolua supports at most version {VERSION}",
            hint="upgrade kosmolua on this machine: pip install --upgrade 'kosmolua[worker]'",
        )


def _queue_tables() -> bytes:
    """The statements that create Procrastinate's tables. These go to the first schema of the search path, which is
    ours.
    """
    return resources.files("procrastinate").joinpath("sql", "schema.sql").read_bytes()
