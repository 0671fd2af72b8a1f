"""Receives Replicate's webhooks: verifies them with the account's signing secret, stores them, and wakes the runs that
wait for their jobs.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from starlette.requests import Request

from kosmolua.errors import KosmoError, WebhookError
from kosmolua.gate.budget import TERMINAL
from kosmolua.replicate.webhook import TOLERANCE, verify_webhook
from kosmolua.serve.bounds import Buckets, Rate, Refusal, address_of, body_of
from kosmolua.worker import events
from kosmolua.worker.database import Database

MAX_BODY = 4 * 1024 * 1024  # bytes; a longer body is ignored, and polling finds the end of the job
FORGERIES = Rate(20, 3.0)  # invalid webhooks from one address
RENEWAL = 60.0  # minimum seconds between two requests for a signing secret
_TRAINING = "/trainings/"
_ID = re.compile(r"[!-~]{1,200}")  # the characters of an id that a PostgreSQL notification can hold


class _Body(msgspec.Struct):
    """The fields of a prediction or training that are used."""

    id: str
    status: str
    urls: dict[str, Any] = {}


class Secrets:
    """The signing secrets of accounts. ``fetch`` requests a secret from the API, at most once a minute for each
    account, so that forged webhooks do not cause many requests. Thread-safe.
    """

    def __init__(self, fetch: Callable[[str], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._asked: dict[str, float] = {}

    def of(self, account: str, *, newer: bool = False) -> str | None:
        """The account's secret. With ``newer``, only a newly fetched one, in case the secret has changed. None if the
        last request to the API was too recent. Raises a `KosmoError`.
        """
        with self._lock:
            if not newer and account in self._known:
                return self._known[account]
            if self._clock() - self._asked.get(account, -RENEWAL) < RENEWAL:
                return None
            self._asked[account] = self._clock()
            self._known[account] = self._fetch(account)
            return self._known[account]


class Receiver:
    """Receives the webhooks of some accounts. ``count`` is called with the outcome of each."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        accounts: Collection[str],
        count: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._accounts = frozenset(accounts)
        self._count = count
        self._clock = clock
        self._forgeries = Buckets(FORGERIES)

    async def receive(self, request: Request) -> dict[str, Any]:
        """Handle one delivery and return the answer. Raises a `Refusal`."""
        account, address = request.path_params["account"], address_of(request)
        if account not in self._accounts:
            raise Refusal(404, "unknown account")
        wait = self._forgeries.wait(address)
        if wait:
            raise Refusal(429, "too many invalid webhooks", wait)
        body = await body_of(request, MAX_BODY)
        try:
            identifier = await asyncio.to_thread(self._verified, account, list(request.headers.items()), body)
        except WebhookError as error:
            self._forgeries.take(address)
            self._count(error.reason)
            raise Refusal(401, error.message) from None
        outcome = await asyncio.to_thread(self._record, account, identifier, body)
        self._count(outcome)
        return {"received": identifier, "outcome": outcome}

    def _verified(self, account: str, headers: list[tuple[str, str]], body: bytes) -> str:
        """Verify a delivery and return its id. If the signature does not match, verify it again with a newer secret."""
        secret = self._secret(account)
        try:
            return verify_webhook(headers, body, secret, tolerance=TOLERANCE, now=self._clock())
        except WebhookError as error:
            newer = self._newer(account) if error.reason == "signature" else None
            if newer is None or newer == secret:
                raise
            return verify_webhook(headers, body, newer, tolerance=TOLERANCE, now=self._clock())

    def _secret(self, account: str) -> str:
        try:
            found = self._secrets.of(account)
        except KosmoError as error:
            raise Refusal(503, f"the signing secret is not available: {error.code}", RENEWAL) from None
        if found is None:
            raise Refusal(503, "the signing secret is not available", RENEWAL)
        return found

    def _newer(self, account: str) -> str | None:
        try:
            return self._secrets.of(account, newer=True)
        except KosmoError:
            return None

    def _record(self, account: str, identifier: str, body: bytes) -> str:
        try:
            found = msgspec.json.decode(body, type=_Body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise Refusal(400, "the body is not a prediction or training") from None
        if not _ID.fullmatch(found.id):
            raise Refusal(400, "the body has no valid id")
        if found.status not in TERMINAL:
            return "not_ended"
        is_training = _TRAINING in str(found.urls.get("get", ""))
        ended = events.Ended(
            id=identifier,
            account=account,
            kind="training" if is_training else "prediction",
            job=found.id,
            status=found.status,
        )
        try:
            return "stored" if events.record(self._database, ended) else "duplicate"
        except KosmoError as error:
            raise Refusal(503, f"not stored: {error.code}", 5.0) from None
