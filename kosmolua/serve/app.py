"""The ASGI application: its paths, their handlers, and the format of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kosmolua.serve.bounds import Refusal, Slots, address_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kosmolua.serve.replicate import Receiver
    from kosmolua.serve.triggers import Starter

Answering = Callable[[Request], Awaitable[dict[str, Any]]]
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_ACCEPTED = 202
DRAINED, DRAIN_SECONDS = (
    32 * 1024 * 1024,
    5.0,
)  # how many bytes of a refused request's body are read, and for how many seconds


def app_of(receiver: Receiver, starter: Starter) -> Starlette:
    """The application with Replicate's webhooks at ``/replicate/ACCOUNT`` and triggers at ``/trigger/NAME``."""
    slots = Slots()

    async def healthy(_: Request) -> dict[str, Any]:
        return {"ok": True}

    return Starlette(
        routes=[
            Route("/replicate/{account}", _endpoint(receiver.receive, slots), methods=["POST"]),
            Route("/trigger/{name}", _endpoint(starter.start, slots, _ACCEPTED), methods=["POST"]),
            Route("/healthz", _endpoint(healthy, slots), methods=["GET"]),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )


def _endpoint(answer: Answering, slots: Slots, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            with slots.one(address_of(request)):
                found = await answer(request)
        except Refusal as refusal:
            return _refused(refusal)
        return _json(found, 200 if found.get("new") is False else status)

    return endpoint


def _refused(refusal: Refusal) -> Response:
    more = {} if refusal.retry is None else {"retry-after": f"{max(1, ceil(refusal.retry))}"}
    if refusal.status == 401:  # noqa: PLR2004 - HTTP
        more["www-authenticate"] = "Bearer"
    return _json({"error": str(refusal)}, refusal.status, more, kind=_Refused)


def _json(
    found: dict[str, Any], status: int, more: dict[str, str] | None = None, kind: type[Response] = Response
) -> Response:
    body = msgspec.json.encode(found) + b"\n"
    return kind(body, status, headers={**_HEADERS, **(more or {})}, media_type="application/json")


class _Refused(Response):
    """An answer to a request whose body may be unread. After the answer, the rest of the body is read for a while: if
    the connection were closed at once, a sender that is still writing would get a connection reset instead of the
    answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if not any(
            name == b"expect" for name, _ in scope["headers"]
        ):  # such a sender waits for the answer before it sends the body
            await _drain(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    left, more = DRAINED, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and left > 0:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                left -= len(message.get("body", b""))


async def _not_found(_: Request, __: Exception) -> Response:
    return _json({"error": "not found"}, 404)


async def _not_allowed(_: Request, __: Exception) -> Response:
    return _json({"error": "method not allowed"}, 405)
