"""Error answers of the API: problem documents with title, detail and status."""

from __future__ import annotations

from typing import Any

PROBLEM_TYPE = "application/problem+json"


class ProblemError(Exception):
    """An error answer. ``extra`` are additional members of the document."""

    def __init__(
        self, status: int, title: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.document = {"title": title, "detail": detail, "status": status, **extra}


def not_found(detail: str = "The requested resource could not be found.") -> ProblemError:
    return ProblemError(404, "Not found", detail)


def unauthenticated() -> ProblemError:
    return ProblemError(401, "Unauthenticated", "You did not pass a valid authentication token")


def forbidden(detail: str) -> ProblemError:
    return ProblemError(403, "Permission denied", detail)


def conflict(detail: str) -> ProblemError:
    return ProblemError(409, "Conflict", detail)


def bad_request(detail: str) -> ProblemError:
    return ProblemError(400, "Bad request", detail)


def too_large(detail: str) -> ProblemError:
    return ProblemError(413, "Request entity too large", detail)


def throttled(seconds: int) -> ProblemError:
    unit = "second" if seconds == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {seconds} {unit}."
    headers = {"Retry-After": str(seconds)}
    return ProblemError(429, "Too many requests", detail, headers=headers, retry_after=seconds)


def low_credit(seconds: int) -> ProblemError:
    detail = (
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a "
        f"burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~{seconds}s."
    )
    headers = {"Retry-After": str(seconds)}
    return ProblemError(429, "Too many requests", detail, headers=headers, retry_after=seconds)


def no_credit() -> ProblemError:
    detail = (
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing to add credit."
    )
    return ProblemError(402, "Insufficient credit", detail)


def invalid(fields: list[tuple[str, str, str]]) -> ProblemError:
    """422 for fields given as (type, field, description)."""
    found = [{"type": kind, "field": field, "description": text} for kind, field, text in fields]
    detail = "".join(f"- {field}: {text}\n" for _, field, text in fields)
    return ProblemError(422, "Input validation failed", detail, invalid_fields=found)


def unknown_version() -> ProblemError:
    return ProblemError(
        422,
        "Invalid version or not permitted",
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
    )
