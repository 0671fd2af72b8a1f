"""Triggers: scripts that an HTTP request starts. Only the SHA-256 of a secret is stored, unless requests are signed.

A trigger's run gets the request as named arguments, which the database stores as one JSON text.
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

PREFIX = "trigger:"  # prefix of a run's key and its ``started_by``
QUEUE = 1000  # the maximum number of a trigger's runs that wait for a worker
_BYTES = 32  # the random bytes of a secret
_NONE = bytes(32)  # no known secret has this digest


class Trigger(Struct, frozen=True, kw_only=True):
    """A trigger and its history. ``signed`` says whether requests are signed instead of containing the secret."""

    name: str
    script: str
    account: str
    signed: bool
    added: float
    runs: int
    last_run: str | None
    last_state: str | None


class Credential(Struct, frozen=True):
    """What a request must prove: that its sender knows the secret with this digest, or the signing key."""

    digest: bytes = _NONE
    signing: str | None = None

    def opens(self, given: str) -> bool:
        """Whether the secret is right. The time taken does not depend on how much of the secret is right."""
        return hmac.compare_digest(hashlib.sha256(given.encode(errors="replace")).digest(), self.digest)


class Request(Struct, frozen=True, kw_only=True):
    """What a script gets as its arguments. It also gets ``json``, the decoded body, if the body is JSON. ``id``
    identifies the delivery.
    """

    trigger: str
    body: str
    headers: dict[str, str]
    query: dict[str, str]
    id: str | None = None


class FullError(UsageError):
    """Too many runs of the trigger are waiting for a worker."""


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
    """Add a trigger and return its secret, which cannot be shown again. For a ``signed`` trigger, the database stores
    the secret to verify signatures. Raises a `UsageError` if a trigger has that name, unless ``replace`` is set. A
    replaced trigger gets a new secret.
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
            f"trigger {name} already exists",
            hint="add --replace, which also makes a new secret; or see it: kosmo triggers list",
        )
    return secret


def listed(database: Database) -> list[Trigger]:
    """All triggers, sorted by name."""
    rows = database.rows(
        "SELECT name, script, account, signing IS NOT NULL, extract(epoch FROM added)::float8, runs, last_run, "
        "(SELECT state FROM runs r WHERE r.id = t.last_run) FROM triggers t ORDER BY name"
    )
    return [Trigger(**dict(zip(Trigger.__struct_fields__, row, strict=True))) for row in rows]


def remove(database: Database, name: str) -> None:
    """Remove a trigger, but keep its runs. Raises a `UsageError` if no trigger has that name."""
    if not database.rows("DELETE FROM triggers WHERE name = %s RETURNING 1", (name,)):
        raise UsageError(f"no trigger {name[:100]!r}", hint="list them: kosmo triggers list")


def credential(database: Database, name: str) -> Credential:
    """What requests to a trigger must prove. For a name that does not exist, nobody can prove it."""
    rows = database.rows("SELECT secret, signing FROM triggers WHERE name = %s", (name,))
    return Credential(*rows[0]) if rows else Credential()


def submit(database: Database, request: Request, most: int = QUEUE) -> tuple[str, bool]:
    """Add a run for a request, or find the run that the same delivery started before. Returns the run's id, and whether
    it is new. Raises a `FullError` if ``most`` runs of the trigger are waiting for a worker, and a `UsageError` if the
    trigger does not exist.
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
    """Whether a trigger started the run with this ``started_by``."""
    return started_by is not None and started_by.startswith(PREFIX)


def named_of(args: Sequence[str]) -> dict[str, Any]:
    """The named arguments of a run that a trigger started."""
    found = msgspec.json.decode(args[0], type=Request)
    named = {name: value for name, value in msgspec.structs.asdict(found).items() if value is not None}
    kind = found.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        with suppress(msgspec.MsgspecError, RecursionError, OverflowError, UnicodeError):
            body = msgspec.json.decode(found.body)
            msgspec.msgpack.encode(body)  # a script cannot get integers beyond 64 bits
            named["json"] = body
    return named
