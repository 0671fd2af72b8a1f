"""Triggers: scripts that a request over HTTP starts. Of a secret only its SHA-256 is stored.

A run of a trigger has its request as arguments by name: in the database they are one JSON text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import UsageError
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.worker.database import Database
from kosmolua.worker.runs import earlier, enqueue
from kosmolua.worker.store import add_run, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

PREFIX = "trigger:"  # of the key and of ``started_by`` of a run
QUEUE = 1000  # runs of a trigger that wait for a worker
_BYTES = 32  # of a secret
_NONE = bytes(32)  # is the digest of no secret that is known


class Trigger(Struct, frozen=True, kw_only=True):
    """A trigger and what it did. ``signed`` says whether requests are signed instead of bringing the secret."""

    name: str
    script: str
    account: str
    signed: bool
    added: float
    runs: int
    last_run: str | None
    last_state: str | None


class Credential(Struct, frozen=True):
    """What a request has to prove: that it knows a secret with this digest, or the key that signs."""

    digest: bytes = _NONE
    signing: str | None = None

    def opens(self, given: str) -> bool:
        """Whether the secret is right. The time taken does not depend on how much of it is."""
        return hmac.compare_digest(hashlib.sha256(given.encode(errors="replace")).digest(), self.digest)


class Request(Struct, frozen=True, kw_only=True):
    """What a script gets as its arguments, and ``json`` besides: the body decoded, if it is JSON. ``id`` is that of the
    delivery.
    """

    trigger: str
    body: str
    headers: dict[str, str]
    query: dict[str, str]
    id: str | None = None


class FullError(UsageError):
    """Too many runs of the trigger wait for a worker."""


def add(
    database: Database,
    name: str,
    head: Head,
    *,
    caps: Caps | None = None,
    by: str | None = None,
    signed: bool = False,
    replace: bool = False,
) -> str:
    """Add a trigger and return its secret, which cannot be shown again. If it is ``signed``, the database has to hold
    the secret, to verify signatures. Raises a `UsageError` if there is one of that name, unless it is replaced; a
    replaced one has a new secret.
    """
    made = secrets.token_bytes(_BYTES)
    secret = f"whsec_{base64.b64encode(made).decode()}" if signed else f"kst_{secrets.token_urlsafe(_BYTES)}"
    digest = _NONE if signed else hashlib.sha256(secret.encode()).digest()
    script = head.script.encode(errors="replace").decode()
    values = (script, head.source, head.account, msgspec.msgpack.encode(caps or Caps()), digest)
    row = (*values, secret if signed else None, by, name)
    text = (
        "INSERT INTO triggers (script, source, account, caps, secret, signing, added_by, name) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO "
    )
    changes = (
        "UPDATE SET script = excluded.script, source = excluded.source, account = excluded.account, "
        "caps = excluded.caps, secret = excluded.secret, signing = excluded.signing, added_by = excluded.added_by "
    )
    if not database.rows(text + (changes if replace else "NOTHING ") + "RETURNING 1", row):
        raise UsageError(
            f"there is a trigger {name} already",
            hint="add --replace, which also makes a new secret; or see it: kosmo triggers list",
        )
    return secret


def listed(database: Database) -> list[Trigger]:
    """All triggers by name."""
    rows = database.rows(
        "SELECT name, script, account, signing IS NOT NULL, extract(epoch FROM added)::float8, runs, last_run, "
        "(SELECT state FROM runs r WHERE r.id = t.last_run) FROM triggers t ORDER BY name"
    )
    return [Trigger(**dict(zip(Trigger.__struct_fields__, row, strict=True))) for row in rows]


def remove(database: Database, name: str) -> None:
    """Remove a trigger; its runs stay. Raises a `UsageError` if there is none of that name."""
    if not database.rows("DELETE FROM triggers WHERE name = %s RETURNING 1", (name,)):
        raise UsageError(f"no trigger {name[:100]!r}", hint="list them: kosmo triggers list")


def credential(database: Database, name: str) -> Credential:
    """What requests to a trigger have to prove; nobody can for a name that does not exist."""
    rows = database.rows("SELECT secret, signing FROM triggers WHERE name = %s", (name,))
    return Credential(*rows[0]) if rows else Credential()


def submit(database: Database, request: Request, most: int = QUEUE) -> tuple[str, bool]:
    """Add a run for a request, or find the one that its delivery has started before. Returns its id, and whether it is
    new. Raises a `FullError` if ``most`` runs of the trigger wait for a worker, a `UsageError` if it is gone.
    """
    name, key = request.trigger, None if request.id is None else f"{PREFIX}{request.trigger}:{request.id}"
    with database.explained(), database.transaction(durable=True) as connection:
        row = connection.execute(
            "SELECT script, source, account, caps, added_by FROM triggers WHERE name = %s FOR UPDATE", (name,)
        ).fetchone()
        if row is None:
            raise UsageError(f"no trigger {name[:100]!r}", hint="list them: kosmo triggers list")
        before = earlier(connection, key)
        if before:
            return before[0], False
        _check_queue(connection, name, most)
        script, source, account, caps, by = row
        run, args = new_id(), [msgspec.json.encode(request).decode()]
        head = Head(script=script, source=source, args=args, account=account)
        digest = hashlib.sha256(msgspec.msgpack.encode((source, args, account, caps))).digest()
        more = {"key": key, "digest": digest, "caps": caps, "submitted_by": by, "started_by": PREFIX + name}
        add_run(connection, run, head, **more)
        enqueue(connection, [(run, account)])
        connection.execute("UPDATE triggers SET runs = runs + 1, last_run = %s WHERE name = %s", (run, name))
    return run, True


def _check_queue(connection: Connection[Any], name: str, most: int) -> None:
    waiting = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM runs WHERE started_by = %s AND state = 'ready' LIMIT %s) w",
        (PREFIX + name, most),
    ).fetchone()
    if waiting and waiting[0] >= most:
        raise FullError(f"{most} runs of trigger {name} wait for a worker", hint="start more workers, or retry later")


def started(started_by: str | None) -> bool:
    """Whether a trigger has started a run."""
    return started_by is not None and started_by.startswith(PREFIX)


def named_of(args: Sequence[str]) -> dict[str, Any]:
    """The arguments by name of a run that a trigger has started."""
    found = msgspec.json.decode(args[0], type=Request)
    named = {name: value for name, value in msgspec.structs.asdict(found).items() if value is not None}
    kind = found.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        with suppress(msgspec.MsgspecError, RecursionError, OverflowError, UnicodeError):
            body = msgspec.json.decode(found.body)
            msgspec.msgpack.encode(body)  # integers beyond 64 bits cannot be carried
            named["json"] = body
    return named
