"""Starts a run for each request ``POST /trigger/NAME`` that carries the trigger's secret or is signed with the
secret.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from kosmolua.errors import KosmoError, WebhookError
from kosmolua.replicate.webhook import ID, SIGNATURE, verify_webhook
from kosmolua.serve.bounds import Buckets, Rate, Refusal, address_of, body_of
from kosmolua.worker import triggers
from kosmolua.worker.database import Database

MAX_BODY = 1024 * 1024  # the maximum bytes of a request's body
MAX_HEADERS, MAX_HEADER = 100, 8192  # the maximum number of headers that a script gets, and the maximum bytes of each
ATTEMPTS = Rate(10, 6.0)  # requests with a wrong secret, from one address
ATTEMPTS_OF_ALL = Rate(200, 0.1)
RUNS = Rate(100, 0.02)  # runs of one trigger
DELIVERY = (ID, "x-github-delivery", "x-gitlab-event-uuid", "idempotency-key", "x-delivery-id")
GITHUB = "x-hub-signature-256"
_SECRET = re.compile(r"auth|cookie|secret|token|signature|passw|credential|api-?key|session|csrf|client-cert")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DELIVERY = re.compile(r"[!-~]{1,200}")


class Starter:
    """Answers requests that start runs. ``count`` is called with the outcome of each."""

    def __init__(
        self, database: Database, queue: int = triggers.QUEUE, count: Callable[[str], None] = lambda _: None
    ) -> None:
        self._database = database
        self._queue = queue
        self._count = count
        self._attempts = Buckets(ATTEMPTS)
        self._attempts_of_all = Buckets(ATTEMPTS_OF_ALL)
        self._runs = Buckets(RUNS)

    async def start(self, request: Request) -> dict[str, Any]:
        """Start a run for a request and return the answer to the request. Raises a `Refusal`."""
        name, address = request.path_params["name"], address_of(request)
        wait = max(self._attempts.wait(address), self._attempts_of_all.wait(""))
        if wait:
            self._count("limited")
            raise Refusal(429, "too many requests with a wrong secret", wait)
        credential = await asyncio.to_thread(self._credential, name)
        bearer = _bearer(request)
        if bearer is not None or not any(header in request.headers for header in (GITHUB, SIGNATURE)):
            self._check(address, ok=credential.opens(bearer or "") and credential.signing is None)
            body, delivery = await body_of(request, MAX_BODY), _delivery(request)
        else:
            body = await body_of(request, MAX_BODY)
            is_signed, delivery = _signed(request, body, credential.signing)
            self._check(address, ok=is_signed)
        wait = self._runs.take(name)
        if wait:
            self._count("limited")
            raise Refusal(429, "too many requests for this trigger", wait)
        asked = _asked(request, name, body, delivery, bearer or credential.signing or "")
        run, new = await asyncio.to_thread(self._submit, asked)
        self._count("started" if new else "duplicate")
        return {"run": run, "new": new}

    def _credential(self, name: str) -> triggers.Credential:
        try:
            return triggers.credential(self._database, name) if _NAME.fullmatch(name) else triggers.Credential()
        except KosmoError as error:
            raise Refusal(503, f"not started: {error.code}", 5.0) from None

    def _check(self, address: str, *, ok: bool) -> None:
        if not ok:
            self._attempts.take(address)
            self._attempts_of_all.take("")
            self._count("unauthorized")
            raise Refusal(401, "unknown trigger, or wrong secret or signature")

    def _submit(self, asked: triggers.Request) -> tuple[str, bool]:
        try:
            return triggers.submit(self._database, asked, self._queue)
        except triggers.FullError as error:
            self._count("full")
            raise Refusal(429, error.message, 30.0) from None
        except KosmoError as error:
            raise Refusal(503, f"not started: {error.code}", 5.0) from None


def _bearer(request: Request) -> str | None:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def _signed(request: Request, body: bytes, secret: str | None) -> tuple[bool, str | None]:
    """Whether the request has a valid signature, of GitHub or a recent one of Standard Webhooks; and the delivery's id,
    which is the signed id if there is one.
    """
    key = secret or "whsec_AAAA"
    if SIGNATURE in request.headers:
        try:
            identifier = verify_webhook(list(request.headers.items()), body, key)
        except WebhookError:
            return False, None
        return secret is not None, _checked(identifier) if secret else None
    expected = f"sha256={hmac.new(key.encode(), body, 'sha256').hexdigest()}"
    given = request.headers.get(GITHUB, "")
    is_signed = hmac.compare_digest(given.encode(), expected.encode()) and secret is not None
    return is_signed, _delivery(request) if is_signed else None


def _asked(request: Request, name: str, body: bytes, delivery: str | None, secret: str) -> triggers.Request:
    """What the script gets from a request, without headers whose names suggest a secret, and without the trigger's
    secret.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Refusal(415, "the body is not UTF-8 text") from None
    headers = dict[str, str]()
    for given, value in list(request.headers.items())[:MAX_HEADERS]:
        if not _SECRET.search(given) and not (secret and secret in value):
            headers[given] = value[:MAX_HEADER]
    query = {key: value for key, value in list(request.query_params.items())[:MAX_HEADERS] if secret not in value}
    return triggers.Request(trigger=name, body=text, headers=headers, query=query, id=delivery)


def _delivery(request: Request) -> str | None:
    """The id of the delivery, which the sender repeats in a retry."""
    given = next((request.headers[header] for header in DELIVERY if request.headers.get(header)), None)
    return None if given is None else _checked(given)


def _checked(identifier: str) -> str:
    if not _DELIVERY.fullmatch(identifier):
        raise Refusal(400, "expected a delivery id of 1 to 200 visible ASCII characters")
    return identifier
