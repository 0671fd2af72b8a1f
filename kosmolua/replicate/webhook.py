"""Verifies webhooks from Replicate: the signature of id, time and body, and the age."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from kosmolua.errors import ArgumentError, CredentialError, WebhookError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = 300.0
"""Seconds by which a webhook may be older or newer than the receiver's clock."""
_SECRET = "whsec_"  # noqa: S105 - the prefix of every secret
_VERSION = "v1,"
_SECONDS = re.compile(r"[0-9]{1,12}")


class HasItems(Protocol):
    """Names and values: a mapping, or the headers of an HTTP library."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


Headers = HasItems | Iterable[tuple[Any, Any]]
"""Headers as a mapping, or as pairs as in ASGI; names may also be as in WSGI: HTTP_WEBHOOK_ID."""


class Seen(Protocol):
    """Remembers the ids of webhooks, for all processes that receive webhooks."""

    def remember(self, identifier: str, until: float) -> bool:
        """Remember an id up to that Unix time. False if it is remembered already. Must be atomic."""


class SeenWebhooks:
    """A `Seen` in the memory of one process."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def remember(self, identifier: str, until: float) -> bool:
        """Remember an id up to that Unix time. False if it is remembered already."""
        with self._lock:
            now = time.time()
            self._until = {each: end for each, end in self._until.items() if end > now}
            is_new = identifier not in self._until
            self._until.setdefault(identifier, until)
            return is_new

    def forget(self, identifier: str) -> None:
        """Accept the next delivery of this id: handling this one has failed."""
        with self._lock:
            self._until.pop(identifier, None)


def verify_webhook(
    headers: Headers,
    body: bytes,
    secret: str | bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
    seen: Seen | None = None,
) -> str:
    """Check that a request was signed with the secret, and recently. Returns its id. ``body`` are the bytes as
    received: JSON that was decoded and encoded again has another signature. A repeated delivery has the same id: with
    ``seen`` it is refused, with the reason "replay". The ids are remembered for twice the tolerance, after which the
    age refuses them. ``tolerance`` is in seconds, before and after ``now``, which is in Unix seconds. Raises a
    `WebhookError` that names the problem, a `CredentialError` for an invalid secret, an `ArgumentError` for a body that
    is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise ArgumentError(
            f"verify_webhook: expected the body as bytes, as it was received, got {type(body).__name__}",
            hint="pass the raw body of the request, before anything decodes it",
        )
    key = _key(secret)
    pairs = _pairs(headers)
    identifier, stamp, signatures = (_header(pairs, name) for name in (ID, TIMESTAMP, SIGNATURE))
    if not _SECONDS.fullmatch(stamp):
        raise WebhookError(f"expected Unix seconds in the header {TIMESTAMP}", reason="malformed")
    _check_signature(signatures, _sign(key, identifier, stamp, body))
    now = time.time() if now is None else now
    _check_age(int(stamp), now, tolerance)
    if seen is not None and not seen.remember(identifier, now + 2 * tolerance):
        raise WebhookError(
            "the webhook was received before", reason="replay", hint="answer with status 200, and ignore it"
        )
    return identifier


def _sign(key: bytes, identifier: str, stamp: str, body: bytes | bytearray | memoryview) -> bytes:
    signed = f"{identifier}.{stamp}.".encode("utf-8", "replace") + bytes(body)
    return base64.b64encode(hmac.digest(key, signed, "sha256"))


def _key(secret: str | bytes) -> bytes:
    """The key in a secret: the Base64 after ``whsec_``."""
    text = _text(secret).strip()
    try:
        key = base64.b64decode(text.removeprefix(_SECRET), validate=True) if text.startswith(_SECRET) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise CredentialError(
            f"the signing secret is not {_SECRET} followed by Base64 (it is not shown here)",
            hint="show it: kosmo integrations:replicate get_default_webhook_secret",
        )
    return key


def _header(pairs: Sequence[tuple[Any, Any]], name: str) -> str:
    found = next((value for key, value in pairs if _plain(key) == name), None)
    text = _text(found).strip()
    if not text:
        raise WebhookError(
            f"the header {name} is missing", reason="missing", hint=f"pass {ID}, {TIMESTAMP}, {SIGNATURE}"
        )
    return text


def _pairs(headers: Any) -> list[tuple[Any, Any]]:
    try:
        return [(key, value) for key, value in (headers.items() if hasattr(headers, "items") else headers)]
    except (TypeError, ValueError):
        raise ArgumentError(
            f"verify_webhook: expected headers as a mapping or as pairs, got {type(headers).__name__}",
            hint="pass request.headers, request.META or scope['headers']",
        ) from None


def _plain(name: Any) -> str:
    """A header's name in lower case, also from a WSGI environment."""
    return _text(name).lower().removeprefix("http_").replace("_", "-")


def _text(value: Any) -> str:
    """A header's name or value; servers give them as text or as bytes."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _check_signature(given: str, expected: bytes) -> None:
    """Compare each signature in constant time."""
    candidates = [one.removeprefix(_VERSION) for one in given.split() if one.startswith(_VERSION)]
    if not candidates:
        raise WebhookError(f"the header {SIGNATURE} has no signature of version v1", reason="malformed")
    matches = [hmac.compare_digest(one.encode("utf-8", "replace"), expected) for one in candidates]
    if not any(matches):
        raise WebhookError(
            f"no signature matches ({len(candidates)} of version v1): wrong secret, or changed body",
            reason="signature",
            hint="pass the body as received, and the secret of the account that created the prediction",
        )


def _check_age(stamp: int, now: float, tolerance: float) -> None:
    age = now - stamp
    if abs(age) <= tolerance:
        return
    reason, where = ("old", "old") if age > 0 else ("future", "ahead of this clock")
    raise WebhookError(
        f"the webhook is signed, but {abs(age):.0f} s {where}; {tolerance:g} s are tolerated",
        reason=reason,
        hint="check this machine's clock; if it is right, somebody may have sent the webhook again",
    )
