"""Converts error answers of any form to `ApiError`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kosmolua.errors import ApiError
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.decode import decode

_MAX_DETAIL = 2000
_REQUEST_IDS = ("x-request-id", "replicate-request-id", "cf-ray")
_SECONDS = re.compile(r"~?\b(\d+(?:\.\d+)?)\s?(?:s|sec|seconds?)\b")
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_MAX_PAGE = 64 * 1024  # bytes to search for a title
_MAX_SECONDS = 366 * 24 * 3600
_CREDIT = "insufficient_credit"
_CODES = {400: "invalid_input", 401: "not_authenticated", 402: _CREDIT, 404: "not_found", 409: "invalid_input",
          413: "invalid_input", 422: "invalid_input", 429: "rate_limited"}  # fmt: skip
_LOW_CREDIT = re.compile(r"\bcredits?\b", re.IGNORECASE)  # in an answer with status 429
_BILLING = "add credit: https://replicate.com/account/billing"
_HINTS = {
    401: "check the token: https://replicate.com/account/api-tokens, then export REPLICATE_API_KEY=…",
    304: "check proxies and REPLICATE_URL: a cache answered, although no condition was sent",
    402: _BILLING,
    403: "use the token of an account that may do this",
    404: "check the spelling, and that the account may see it",
    407: "a proxy asks for a user name and a password: export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    413: "pass an HTTPS URL of the file instead of its content",
    429: "wait, then try again; an account with little credit may create 6 predictions a minute",
}
_LIMITED = 429
_SERVER_FAULT = 500


def error(operation: Operation, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error in an answer: a problem document, other JSON, a proxy's HTML page, or an empty body."""
    fields = _fields(headers.get("content-type", ""), body)
    phrase = _phrase(status)
    title = fields.get("title") or phrase
    detail = clean(fields.get("detail"))
    text = f"{operation.name}: {status} {clean(title) or phrase}"
    code = "server_error" if status >= _SERVER_FAULT else _CODES.get(status, "api_error")
    hint = (
        operation.refusals.get(status)
        or _HINTS.get(status)
        or ("the API failed; try again later" if status >= _SERVER_FAULT else None)
    )
    if status == _LIMITED and _LOW_CREDIT.search(f"{title} {detail}"):
        code, hint = _CREDIT, f"{_BILLING}; until then an account with little credit may create 6 predictions a minute"
    return ApiError(
        f"{text}: {detail}" if detail and detail != title else text,
        status=status,
        code=code,
        title=clean(title),
        detail=detail,
        invalid_fields=fields.get("invalid_fields"),
        retry_after=retry_after(headers, body),
        request_id=request_id(headers),
        hint=hint,
        function=operation.name,
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    for name in _REQUEST_IDS:
        if found := headers.get(name):
            return clean(found)
    return None


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Seconds to wait: from the header, in seconds or as a date; else from the document's field, else its detail."""
    seconds = _from_header(headers.get("retry-after"))
    if seconds is not None:
        return seconds
    document = _json(body)
    if not isinstance(document, dict):
        return None
    field = document.get("retry_after")
    if isinstance(field, int | float) and not isinstance(field, bool) and 0 <= field <= _MAX_SECONDS:
        return float(field)
    match = _SECONDS.search(str(document.get("detail", "")))
    return float(match[1]) if match and "throttled" in str(document["detail"]) else None


def _from_header(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value)
    return seconds if 0 <= seconds <= _MAX_SECONDS else None


def _until(value: str) -> float | None:
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    document = _json(body)
    match document:
        case dict():
            return _from_document(document)
        case list() | str() if document:
            return {"detail": _text(document)}
        case None if b"<" in body[:500] or "html" in content_type:
            return {"detail": _from_html(body)}
    text = body[:_MAX_DETAIL].decode(errors="replace").strip()
    return {"detail": text} if document is None and text else {}


def _from_document(document: dict[str, Any]) -> dict[str, Any]:
    detail = document.get("detail") or document.get("error") or document.get("message") or document.get("errors")
    invalid = document.get("invalid_fields")
    return {
        "title": _text(document.get("title")),
        "detail": _text(detail),
        "invalid_fields": [item for item in invalid if isinstance(item, dict)] if isinstance(invalid, list) else None,
    }


def _from_html(body: bytes) -> str:
    match = _TITLE.search(body[:_MAX_PAGE])
    found = match[1].decode(errors="replace").strip() if match else ""
    return f"an HTML page{f' titled {found!r}' if found else ''}, probably from a proxy"


def _json(body: bytes) -> Any:
    try:
        return decode(body)[0]
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def clean(text: str | None) -> str | None:
    """One line of limited length without control characters."""
    if not text:
        return None
    shown = "".join(c if c.isprintable() else " " for c in text[: _MAX_DETAIL + 1])
    return (shown if len(shown) <= _MAX_DETAIL else shown[:_MAX_DETAIL] + "…").strip()


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
