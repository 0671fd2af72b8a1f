"""The HTTP client for the API: one connection pool, one token, one origin.

It uses the transport directly, since it must not follow redirects, store cookies or run auth flows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import msgspec
from msgspec import Struct

from kosmolua.errors import KosmoError, TransportError
from kosmolua.replicate import answers, certificates, problem, redact
from kosmolua.replicate.answers import REDIRECTS, SUCCESS, Answer
from kosmolua.replicate.body import MAX_ANSWER, MAX_FILE, MAX_PROBLEM, Garbled, Room, TooMuch
from kosmolua.replicate.catalogue import DOWNLOAD, SERVER, TRANSFERS, Operation
from kosmolua.replicate.inline import content_of, is_inline
from kosmolua.replicate.redact import redactor_of
from kosmolua.replicate.request import MAX_URL, Headers, Parts, build, headers_of
from kosmolua.replicate.retry import Clock, RetryTransport
from kosmolua.replicate.token import checked_token
from kosmolua.replicate.transport import SocketTransport
from kosmolua.replicate.urls import authority, checked_url, joined, origin_of, transport_for
from kosmolua.replicate.wire import ExtraHeader, Fields, Origin, Request, Response, Sending, Transport, Whole, WireError

if TYPE_CHECKING:
    import httpx

    from kosmolua.replicate.pace import Paced
    from kosmolua.replicate.transfer import Opened

_PATH = "/%:@!$&'()*+,;=-._~"  # characters of a path that need no escaping
PIECE_TIMEOUT = 45.0  # seconds between two pieces of a transfer; the API ends a stream after 30


class Client:
    """A client of the API for one account. Thread-safe; `close` it when done.

    ``base_url`` is the URL of API version 1; plain http is allowed only for loopback, unless ``insecure_http``.
    Requests are sent inside ``with sending()``, which raises if sending is no longer allowed. ``on_retry`` gets the
    reason and the seconds until each retry. Clients may share a ``room`` for large answers. The extra ``headers`` are
    sent only to the origin of ``base_url``.
    """

    def __init__(
        self,
        *,
        token: str,
        base_url: str = SERVER,
        transport: Transport | httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        insecure_http: bool = False,
        on_retry: Callable[[str, float], None] | None = None,
        sending: Sending = nullcontext,
        room: Room | None = None,
        headers: Sequence[ExtraHeader] = (),
        paces: Callable[[str], Paced] | None = None,
    ) -> None:
        self.base_url = checked_url(base_url, insecure_http=insecure_http)
        self._redactor = redactor_of(checked_token(token), [each.value for each in headers if each.secret])
        self._extra: Headers = tuple((each.name, each.value) for each in headers)
        self._authorization = ("Authorization", f"Bearer {checked_token(token)}")
        self._origin = origin_of(self.base_url)
        self._host = authority(self._origin)
        self._path = self.base_url.partition("://")[2].partition("/")[2].rstrip("/")
        self._path = f"/{quote(self._path, safe=_PATH)}" if self._path else ""
        self._room = room or Room()
        self._inner = _adapted(transport, sending) if transport else transport_for(self.base_url, sending)
        self._transport = RetryTransport(
            self._inner, clock=clock, on_retry=self._cleaned(on_retry), room=self._room, paces=paces
        )
        self._fields = lru_cache(maxsize=64)(self._all_fields)

    def send(self, operation: Operation, arguments: Struct) -> Answer:
        """Send a request and read its answer. Raises `ApiError`, `CredentialError`, `TransportError`."""
        parts = build(operation, arguments)
        most = MAX_FILE if operation.answer == "bytes" else MAX_ANSWER
        self._room.enter()
        try:
            response = self._transport.send(self._request(parts, most))
            return answers.read(operation, response, most, self._room, self._redactor)
        except KosmoError as error:
            raise self._redacted(error) from None
        except (TooMuch, Garbled) as error:
            raise self._redacted(answers.unread(operation, error)) from None
        except WireError as error:
            raise self._redacted(self._unanswered(operation, error)) from None
        finally:
            self._room.leave()

    def open(self, operation: Operation, arguments: Any) -> Opened:
        """Open the transfer of ``arguments.url``. The token is sent only to its own origins, never after a redirect.

        Raises what `send` raises, and a `UsageError` for a URL that does not belong to Replicate.
        """
        from kosmolua.replicate.transfer import MAX_REDIRECTS

        if _is_inline(operation, arguments):
            return self._inline(operation, arguments.url)
        target, trusted = arguments.url, True
        headers = headers_of(operation, arguments)
        for _ in range(MAX_REDIRECTS + 1):
            url, may_have_token = self._placed(operation, target)
            trusted = trusted and may_have_token
            response = self._opened(operation, url, headers, with_token=trusted)
            if response.status not in REDIRECTS:
                return self._accepted(operation, response)
            response.close()
            target, trusted = joined(str(url), response.headers.get("location", "")[: MAX_URL + 1]), False
        raise self._redacted(answers.redirected(operation, response.status, response.headers))

    def check_place(self, operation: Operation, arguments: Any) -> None:
        """Raise a `UsageError` for a URL that `open` would refuse. Sends nothing."""
        if not _is_inline(operation, arguments):
            self._placed(operation, arguments.url)

    def _placed(self, operation: Operation, url: str) -> tuple[httpx.URL, bool]:
        from kosmolua.replicate.transfer import place

        try:
            return place(url, self._base, function=operation.name)
        except KosmoError as error:  # a redirect's target may contain the token
            raise self._redacted(error) from None

    @cached_property
    def _base(self) -> httpx.URL:
        import httpx  # loaded only for URLs of files and streams

        return httpx.URL(self.base_url)

    def _inline(self, operation: Operation, url: str) -> Opened:
        from kosmolua.replicate.transfer import Opened

        kind, content = content_of(url, function=operation.name)
        headers = {"content-type": kind.encode("ascii", "replace").decode(), "content-length": str(len(content))}
        return Opened(Whole(200, headers, content), headers, _unchanged, self._redactor)

    def _opened(self, operation: Operation, url: httpx.URL, headers: Headers, *, with_token: bool) -> Response:
        origin = Origin(url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80))
        fields: Fields = (("Host", authority(origin)), *headers)
        if with_token:
            fields += (self._authorization, *(self._extra if origin == self._origin else ()))
        target = url.raw_path.decode("ascii")
        request = Request("GET", origin, target, fields, None, PIECE_TIMEOUT, piecewise=True)
        try:
            return self._transport.send(request)
        except WireError as error:
            raise self._redacted(self._unanswered(operation, error)) from None

    def _accepted(self, operation: Operation, response: Response) -> Opened:
        from kosmolua.replicate.transfer import Opened

        def explain(error: Exception) -> KosmoError:
            return self._redacted(self._unanswered(operation, error))

        headers = response.headers
        if response.status in SUCCESS:
            return Opened(response, self._redactor.without(dict(headers)), explain, self._redactor)
        try:
            body = answers.content_of(operation, response, headers, MAX_PROBLEM)
        except (WireError, TimeoutError, Garbled) as error:
            raise explain(error) from None
        finally:
            response.close()
        clean = self._redactor.body(body)
        failure = problem.error(operation, response.status, headers, clean)
        failure.note = "" if clean is body else redact.NOTE
        raise self._redacted(failure)

    def describe(self, operation: Operation, arguments: Struct) -> dict[str, Any]:
        """The request that `send` would send, as plain data, without the token."""
        if operation in TRANSFERS:
            return {"method": operation.method, "url": getattr(arguments, "url", "")}
        parts = build(operation, arguments)
        headers = {**dict(parts.headers), "Authorization": "Bearer [hidden]"}
        headers |= {name: "[hidden]" for name, _ in self._extra}
        body: Any = None
        if parts.body is not None:
            kind = (operation.content_type or "").partition("/")[2]
            sent = parts.body
            body = f"{len(sent) if isinstance(sent, bytes) else sent.size} bytes"
            if isinstance(sent, bytes):
                body = msgspec.json.decode(sent) if kind == "json" else sent.decode() if kind == "plain" else body
        return {"method": parts.method, "url": self.base_url + parts.target, "headers": headers, "body": body}

    def masked(self, value: Any) -> Any:
        """Plain data without the token and secret headers."""
        return self._redactor.without(value)

    def reveals(self, text: str) -> bool:
        """Whether the text contains the token, or a secret header."""
        return self._redactor.reveals(text)

    def pause(self, seconds: float) -> None:
        """Wait between two reads. Raises if the run ends meanwhile."""
        self._transport.pause(seconds)

    def close(self) -> None:
        self._transport.close()

    def abandon(self) -> None:
        """Close the copies of idle connections in a forked process. The client cannot be used afterwards."""
        if isinstance(self._inner, SocketTransport):
            self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, parts: Parts, most: int) -> Request:
        target = self._path + parts.target
        fields = self._fields(parts.headers)
        return Request(parts.method, self._origin, target, fields, parts.body, parts.read_timeout, most=most)

    def _all_fields(self, headers: Headers) -> Fields:
        return (("Host", self._host), *headers, self._authorization, *self._extra)

    def _cleaned(self, on_retry: Callable[[str, float], None] | None) -> Callable[[str, float], None] | None:
        """The callback, with reasons that are safe to print."""
        if on_retry is None:
            return None
        return lambda reason, seconds: on_retry(self._redactor.without(problem.clean(reason)), seconds)

    def _unanswered(self, operation: Operation, error: Exception) -> TransportError:
        origin = f"{self._origin.scheme}://{self._host}"
        reason = problem.clean(str(error)) or type(error).__name__
        if operation.safe or (isinstance(error, WireError) and not error.sent):
            known = error.hint if isinstance(error, WireError) else ""
            hint = f"{known or 'check the network and REPLICATE_URL'}; the call had no effect"
            if isinstance(error, WireError) and error.untrusted:
                hint = certificates.hint(os.environ)
            return TransportError(
                f"{operation.name}: no answer from {origin}: {reason}",
                function=operation.name,
                hint=hint,
            )
        return answers.uncertain(
            operation, f"the connection to {origin} ended before the answer was complete: {reason}"
        )

    def _redacted(self, error: KosmoError) -> KosmoError:
        """The error without the token, which a server may have echoed."""
        for name in ("message", "detail", "title", "hint", "request_id", "invalid_fields"):
            if getattr(error, name, None):
                setattr(error, name, self._redactor.without(getattr(error, name)))
        error.args = (error.message,)
        return error


def _is_inline(operation: Operation, arguments: Any) -> bool:
    return operation is DOWNLOAD and is_inline(arguments.url)


def _unchanged(error: Exception) -> KosmoError:
    return TransportError(str(error))


def _adapted(transport: Transport | httpx.BaseTransport, sending: Sending) -> Transport:
    """The transport itself, or an adapter for one of httpx."""
    if hasattr(transport, "send"):
        return transport
    from kosmolua.replicate.httpx_transport import HttpxTransport

    return HttpxTransport(transport, sending=sending)
