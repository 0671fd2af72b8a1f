"""Answers of the API as data or errors, and errors for writes whose outcome is unknown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from kosmolua.errors import ApiError, KosmoError, TransportError, UncertainError
from kosmolua.replicate import body as body_
from kosmolua.replicate import catalogue, problem, redact
from kosmolua.replicate.body import LARGE, MAX_PROBLEM, Room, TooMuch
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.decode import MAX_DEPTH, TooDeepError, decode
from kosmolua.replicate.ids import id_of
from kosmolua.replicate.redact import AnyRedactor
from kosmolua.replicate.request import MAX_URL
from kosmolua.replicate.urls import split
from kosmolua.replicate.wire import Response, Whole, WireError

REDIRECTS = frozenset(range(300, 400)) - {304}
SUCCESS = range(200, 300)
_SERVER_FAULT = 500


class Answer(Struct, frozen=True):
    """A successful answer. ``data`` is the unchanged JSON, text, bytes, or None without a body; ``date`` is the
    server's Date header; ``note`` describes changes to the data.
    """

    status: int
    data: Any
    content_type: str
    request_id: str | None
    date: str = ""
    note: str = ""


def read(operation: Operation, response: Response, most: int, room: Room, redactor: AnyRedactor) -> Answer:
    status = response.status
    headers = response.headers
    is_success = status in SUCCESS
    if status in REDIRECTS:
        raise redirected(operation, status, headers)
    if status < SUCCESS.start:
        raise WireError(f"unexpected informational status {status}", sent=True)
    content = content_of(operation, response, headers, most if is_success else MAX_PROBLEM, room)
    body = redactor.body(content)
    if not is_success:
        failure = problem.error(operation, status, headers, body)
        failure.note = "" if body is content else redact.NOTE
        if status >= _SERVER_FAULT and not operation.safe:
            failure.hint = f"the API may have executed the call; {_how_to_look(operation)}"
        raise failure
    content_type = headers.get("content-type", "")
    data, note = _data(operation, status, content_type, body, room)
    if operation.starts and id_of(data) is None:
        raise uncertain(operation, f"the API answered {status} with JSON that has no usable id")
    request_id = problem.request_id(headers)
    if request_id:
        request_id = redactor.without(request_id)
    if body is not content:
        note = f"{note}; {redact.NOTE}" if note else redact.NOTE
    return Answer(status, data, content_type, request_id, headers.get("date", ""), note)


def content_of(
    operation: Operation, response: Response, headers: Mapping[str, str], most: int, room: Room | None = None
) -> bytes:
    """The decoded body. The body of an error is truncated."""
    if type(response) is Whole and "content-encoding" not in headers:
        found = response.body
        if len(found) <= LARGE and len(found) <= most:
            return found
    try:
        pieces = body_.decoded(response.pieces(), headers)
        return body_.gathered(pieces, most, room, cut=response.status not in SUCCESS)
    except TooMuch as error:
        raise unread(operation, error, response.status) from None


def unread(operation: Operation, error: Exception, status: int = 0) -> KosmoError:
    """The error for an answer that was not read; without a status if reading stopped before the status was known."""
    if not operation.safe:
        return uncertain(operation, str(error))
    if status:
        return ApiError(f"{operation.name}: {error}", status=status, function=operation.name)
    return TransportError(f"{operation.name}: {error}", function=operation.name)


def _data(operation: Operation, status: int, content_type: str, body: bytes, room: Room) -> tuple[Any, str]:
    """The data of an answer, and a note about changes to it."""
    answer = operation.answer
    if answer == "bytes":
        return body, ""
    if answer == "text":
        return body.decode("utf-8", "replace"), ""
    if not body or body.isspace():
        if operation.answer == "none":
            return None, ""
        raise _unreadable(operation, status, "is empty")
    try:
        if len(body) > body_.FEW:
            body_.check_values(body, room)
        return decode(body)
    except TooMuch as error:
        raise unread(operation, error, status) from None
    except TooDeepError:
        raise _unreadable(operation, status, f"has more than {MAX_DEPTH} levels") from None
    except ValueError:
        if operation.answer == "none":
            return None, ""
        kind = (problem.clean(content_type) or "no content type").partition(";")[0]
        raise _unreadable(operation, status, f"is not JSON ({kind}, {len(body)} bytes)") from None


def _unreadable(operation: Operation, status: int, what: str) -> KosmoError:
    if operation.safe:
        return ApiError(
            f"{operation.name}: the API answered {status}, but the body {what}",
            status=status,
            function=operation.name,
            hint="check REPLICATE_URL and proxies: another server may have answered",
        )
    return uncertain(operation, f"the API answered {status}, but the body {what}")


def redirected(operation: Operation, status: int, headers: Mapping[str, str]) -> ApiError:
    target = split(headers.get("location", "")[:MAX_URL])
    # netloc, unlike hostname, keeps upper case, so that a token in it is found and removed.
    host = target.netloc.rpartition("@")[2] if target and target.hostname else ""
    where = ascii(f"{target.scheme}://{host}")[1:-1] if target and host else "another address"
    return ApiError(
        f"{operation.name}: {status}: the API redirects to {where}; the token is not sent there",
        status=status,
        function=operation.name,
        hint="set REPLICATE_URL to the API's address",
    )


def uncertain(operation: Operation, why: str) -> UncertainError:
    """The error for a write that may have been executed, with how to check. The write is never repeated
    automatically.
    """
    text = f"{operation.name}: {why}. The API may have executed the call"
    if operation.creates:
        made = f"The {operation.creates} may have been created; the call is not repeated automatically"
        text = f"{operation.name}: {why}. {made}"
    return UncertainError(text, function=operation.name, hint=_how_to_look(operation))


def _how_to_look(operation: Operation) -> str:
    """How to check whether the write was executed, with `…` for each name, which `kosmolua.gate.failures` fills in."""
    proof = operation.proof
    if proof is None or not (proof.list or proof.read):
        return "check whether the change was made before you repeat the call"
    reading = catalogue.find(proof.read)
    names = [each.name for each in reading.parameters if each.place == "path"] if reading else []
    look = proof.list or " ".join([proof.read, *(f"--{name}=…" for name in names)])
    listing = catalogue.find(proof.list)
    if listing and listing.parameter("created_after"):
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
        look += f" --created_after={since:%Y-%m-%dT%H:%M:%SZ}"
    what = "look for the result first" if operation.creates else "check first whether the change was made"
    return f"{what}: kosmo integrations:call replicate.{look}"
