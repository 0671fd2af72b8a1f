"""Speaks HTTP with the API: one connection pool, one token, one origin.

Requests go to an httpx transport without httpx's Client around it: no redirects, cookies or auth flows are wanted
here, and a Client costs as much CPU per request as the transport does.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import cache, lru_cache
from typing import Any, Self, cast
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

import httpx
import msgspec
from msgspec import Struct

from kosmolua.errors import ApiError, ConfigurationError, KosmoError, TransportError, UncertainError
from kosmolua.replicate import body as body_
from kosmolua.replicate import catalogue, certificates, problem, redact
from kosmolua.replicate.body import MAX_ANSWER, MAX_FILE, MAX_PROBLEM, Garbled, Room, TooMuch
from kosmolua.replicate.catalogue import DOWNLOAD, SERVER, TRANSFERS, Operation
from kosmolua.replicate.decode import MAX_DEPTH, TooDeepError, decode
from kosmolua.replicate.inline import content_of, is_inline
from kosmolua.replicate.redact import Redactor
from kosmolua.replicate.request import MAX_URL, Headers, Parts, build, headers_of
from kosmolua.replicate.retry import Clock, RetryTransport, Unanswered, is_untrusted
from kosmolua.replicate.token import checked_token
from kosmolua.replicate.transfer import MAX_REDIRECTS, Opened, place
from kosmolua.replicate.transport import PlainTransport, Sending

CONNECT_TIMEOUT, WRITE_TIMEOUT = 5.0, 60.0  # seconds
PIECE_TIMEOUT = 45.0  # between two pieces of what is fetched; the API ends a stream after 30
_REASONS = {
    "ConnectTimeout": "connecting took too long",
    "ReadTimeout": "the answer took too long",
    "WriteTimeout": "sending took too long",
    "PoolTimeout": "no connection was free",
}
_REDIRECTS = range(300, 400)
_SUCCESS = range(200, 300)
_SERVER_FAULT = 500


class Answer(Struct, frozen=True):
    """A successful answer. ``data`` is the JSON as it came, text, bytes, or None where there is no body; ``date`` the
    server's clock, as it writes it; ``note`` says what was changed in it.
    """

    status: int
    data: Any
    content_type: str
    request_id: str | None
    date: str = ""
    note: str = ""


class Client:
    """A connection to the API for one account, for any number of threads; `close` it when done.

    ``base_url`` is that of the API's first version; plain http is for loopback alone unless ``insecure_http``.
    Requests leave inside ``with sending()``, which raises where nothing may be sent any more.
    ``on_retry`` is told why something is sent again, and in how many seconds. Clients may share a ``room`` for large
    answers.
    """

    def __init__(
        self,
        *,
        token: str,
        base_url: str = SERVER,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        insecure_http: bool = False,
        on_retry: Callable[[str, float], None] | None = None,
        sending: Sending = nullcontext,
        room: Room | None = None,
    ) -> None:
        self.base_url = checked_url(base_url, insecure_http=insecure_http)
        self._redactor = Redactor(checked_token(token))
        self._authorization = f"Bearer {checked_token(token)}"
        self._base = httpx.URL(self.base_url)
        self._path = self._base.raw_path.decode().rstrip("/")
        self._host = self._base.netloc.decode()
        inner = transport or _transport(self.base_url, sending)
        self._inner = inner
        self._takes_target = isinstance(inner, PlainTransport)
        self._room = room or Room()
        self._transport = RetryTransport(
            inner, clock=clock, on_retry=self._told(on_retry), room=self._room, sending=sending
        )
        self._template = lru_cache(maxsize=64)(lambda method, headers: self._made(method, headers, b"/", None, 0.0))

    def send(self, operation: Operation, arguments: Struct) -> Answer:
        """Send a request and read its answer. Raises `ApiError`, `CredentialError`, `TransportError`."""
        parts = build(operation, arguments)
        most = MAX_FILE if operation.answer == "bytes" else MAX_ANSWER
        self._room.enter()
        try:
            response = self._transport.handle_request(self._request(parts, most))
            try:
                return _answer(operation, response, most, self._room, self._redactor)
            finally:
                response.close()
        except KosmoError as error:
            raise self._redacted(error) from None
        except (TooMuch, Garbled) as error:
            raise self._redacted(_unread(operation, error)) from None
        except Unanswered as error:
            raise self._redacted(self._unanswered(operation, error.cause, sent=error.sent)) from None
        except (httpx.HTTPError, OSError) as error:
            raise self._redacted(self._unanswered(operation, error, sent=True)) from None
        finally:
            self._room.leave()

    def open(self, operation: Operation, arguments: Any) -> Opened:
        """Begin to fetch what lies at ``arguments.url``. The token goes to where it belongs, and across no redirect.

        Raises as `send` does, and a `UsageError` for an address that is not Replicate's.
        """
        if _is_inline(operation, arguments):
            return self._inline(operation, arguments.url)
        target, trusted = arguments.url, True
        headers = headers_of(operation, arguments)
        for _ in range(MAX_REDIRECTS + 1):
            url, may_have_token = self._placed(operation, target)
            trusted = trusted and may_have_token
            response = self._opened(operation, url, headers, with_token=trusted)
            found = _headers(response)
            if response.status_code not in _REDIRECTS:
                return self._accepted(operation, response, found)
            response.close()
            target, trusted = _joined(str(url), found.get("location", "")[: MAX_URL + 1]), False
        raise self._redacted(_redirected(operation, response.status_code, found))

    def check_place(self, operation: Operation, arguments: Any) -> None:
        """Raise a `UsageError` for what `open` would not fetch; nothing is sent."""
        if not _is_inline(operation, arguments):
            self._placed(operation, arguments.url)

    def _placed(self, operation: Operation, url: str) -> tuple[httpx.URL, bool]:
        try:
            return place(url, self._base, function=operation.name)
        except KosmoError as error:  # where a server redirects to may hold the token
            raise self._redacted(error) from None

    def _inline(self, operation: Operation, url: str) -> Opened:
        kind, content = content_of(url, function=operation.name)
        headers = {"content-type": kind.encode("ascii", "replace").decode(), "content-length": str(len(content))}
        return Opened(httpx.Response(200, stream=httpx.ByteStream(content)), headers, _unchanged, self._redactor)

    def _opened(self, operation: Operation, url: httpx.URL, headers: Headers, *, with_token: bool) -> httpx.Response:
        authorization = [("Authorization", self._authorization)] if with_token else []
        request = httpx.Request(
            "GET",
            url,
            headers=[("Host", url.netloc.decode()), *headers, *authorization],
            extensions={"timeout": _timeouts(PIECE_TIMEOUT), "piecewise": True},
        )
        try:
            return self._transport.handle_request(request)
        except Unanswered as error:
            raise self._redacted(self._unanswered(operation, error.cause, sent=error.sent)) from None

    def _accepted(self, operation: Operation, response: httpx.Response, headers: Mapping[str, str]) -> Opened:
        def explain(error: BaseException) -> KosmoError:
            return self._redacted(self._unanswered(operation, error, sent=True))

        if response.status_code in _SUCCESS:
            return Opened(response, self._redactor.without(headers), explain, self._redactor)
        try:
            body = _read(operation, response, headers, MAX_PROBLEM)
        except (httpx.HTTPError, OSError, Garbled) as error:
            raise explain(error) from None
        finally:
            response.close()
        clean = self._redactor.body(body)
        failure = problem.error(operation, response.status_code, headers, clean)
        failure.note = "" if clean is body else redact.NOTE
        raise self._redacted(failure)

    def describe(self, operation: Operation, arguments: Struct) -> dict[str, Any]:
        """The request that `send` would send, as plain data, without the token."""
        if operation in TRANSFERS:
            return {"method": operation.method, "url": getattr(arguments, "url", "")}
        parts = build(operation, arguments)
        headers = {**dict(parts.headers), "Authorization": "Bearer [hidden]"}
        body: Any = None
        if parts.body is not None:
            kind = (operation.content_type or "").partition("/")[2]
            body = msgspec.json.decode(parts.body) if kind == "json" else f"{len(parts.body)} bytes"
            body = parts.body.decode() if kind == "plain" else body
        return {"method": parts.method, "url": self.base_url + parts.target, "headers": headers, "body": body}

    def reveals(self, text: str) -> bool:
        """Whether the token stands in the text."""
        return self._redactor.reveals(text)

    def pause(self, seconds: float) -> None:
        """Wait before the next look at something. Raises what ends the run meanwhile."""
        self._transport.pause(seconds)

    def close(self) -> None:
        self._transport.close()

    def abandon(self) -> None:
        """In a forked process: close what is idle here, where the parent goes on with it. Not for use again."""
        if isinstance(self._inner, PlainTransport):
            self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, parts: Parts, most: int) -> httpx.Request:
        target = (self._path + parts.target).encode("ascii")
        if parts.body is not None or not self._takes_target:
            return self._made(parts.method, parts.headers, target, parts.body, parts.read_timeout, most)
        # Without a body only the target differs from call to call; making a request costs a tenth of sending one.
        request = object.__new__(httpx.Request)
        request.__dict__.update(self._template(parts.method, parts.headers).__dict__)
        request.extensions = {"timeout": _timeouts(parts.read_timeout), "target": target, "most": most}
        return request

    def _made(
        self, method: str, headers: Headers, target: bytes, body: bytes | None, read_timeout: float, most: int = 0
    ) -> httpx.Request:
        return httpx.Request(
            method,
            self._base.copy_with(raw_path=target),
            headers=[("Host", self._host), *headers, ("Authorization", self._authorization)],
            content=body,
            extensions={"timeout": _timeouts(read_timeout), "most": most},
        )

    def _told(self, on_retry: Callable[[str, float], None] | None) -> Callable[[str, float], None] | None:
        """The same callback, given words that a terminal may show."""
        if on_retry is None:
            return None
        return lambda reason, seconds: on_retry(self._redactor.without(problem.clean(reason)), seconds)

    def _unanswered(self, operation: Operation, error: BaseException, *, sent: bool) -> TransportError:
        origin = self.base_url.partition("://")[0] + "://" + self._host
        reason = _reason(error)
        if operation.safe or not sent:
            return TransportError(
                f"{operation.name}: no answer from {origin}: {reason}",
                function=operation.name,
                hint=certificates.hint(os.environ)
                if is_untrusted(error)
                else "check the network and REPLICATE_URL; nothing was changed",
            )
        return uncertain(operation, f"the connection to {origin} ended before the answer was complete: {reason}")

    def _redacted(self, error: KosmoError) -> KosmoError:
        """A server that echoes the token must not get it into a message."""
        for name in ("message", "detail", "title", "hint", "request_id", "invalid_fields"):
            if getattr(error, name, None):
                setattr(error, name, self._redactor.without(getattr(error, name)))
        error.args = (error.message,)
        return error


def _is_inline(operation: Operation, arguments: Any) -> bool:
    return operation is DOWNLOAD and is_inline(arguments.url)


def _unchanged(error: BaseException) -> KosmoError:
    return TransportError(str(error))


def in_process(application: Any) -> httpx.BaseTransport:
    """A transport to a WSGI application in this process, without a socket; closing it closes the application."""
    return _InProcess(application)


class _InProcess(httpx.WSGITransport):
    def __init__(self, application: Any) -> None:
        def called(environ: dict[str, Any], start_response: Any) -> Any:
            # PEP 3333 wants the bytes of the path, each as a character; httpx hands over the text that they mean.
            environ["PATH_INFO"] = environ["PATH_INFO"].encode().decode("latin-1")
            return application(environ, start_response)

        super().__init__(app=called, raise_app_exceptions=True)
        self._application = application

    def close(self) -> None:
        self._application.close()  # an emulator, which is more than any application


# Answers ----------------------------------------------------------------------------------------------------------


def _answer(operation: Operation, response: httpx.Response, most: int, room: Room, redactor: Redactor) -> Answer:
    status = response.status_code
    headers = _headers(response)
    if status in _REDIRECTS:
        raise _redirected(operation, status, headers)
    if status < _SUCCESS.start:
        raise httpx.RemoteProtocolError(f"{status} says nothing of how it ended")
    read = _read(operation, response, headers, most if status in _SUCCESS else MAX_PROBLEM, room)
    body = redactor.body(read)
    if status not in _SUCCESS:
        failure = problem.error(operation, status, headers, body)
        failure.note = "" if body is read else redact.NOTE
        if status >= _SERVER_FAULT and not operation.safe:
            failure.hint = f"it may have been done all the same; {_how_to_look(operation)}"
        raise failure
    content_type = headers.get("content-type", "")
    data, note = _data(operation, status, content_type, body, room)
    request_id = redactor.without(problem.request_id(headers))
    notes = "; ".join(filter(None, (note, "" if body is read else redact.NOTE)))
    return Answer(status, data, content_type, request_id, headers.get("date", ""), note=notes)


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}


def _read(
    operation: Operation, response: httpx.Response, headers: Mapping[str, str], most: int, room: Room | None = None
) -> bytes:
    """The body, decoded. Of an answer that says what went wrong, as much as is looked at."""
    try:
        pieces = body_.decoded(cast("Iterable[bytes]", response.stream), headers)
        return body_.gathered(pieces, most, room, cut=response.status_code not in _SUCCESS)
    except TooMuch as error:
        raise _unread(operation, error, response.status_code) from None


def _unread(operation: Operation, error: Exception, status: int = 0) -> KosmoError:
    """The error for an answer that is not read; without a status it was given up before that was looked at."""
    if not operation.safe:
        return uncertain(operation, str(error))
    if status:
        return ApiError(f"{operation.name}: {error}", status=status, function=operation.name)
    return TransportError(f"{operation.name}: {error}", function=operation.name)


@cache
def _timeouts(read: float) -> dict[str, float]:
    return {"connect": CONNECT_TIMEOUT, "read": read, "write": WRITE_TIMEOUT, "pool": CONNECT_TIMEOUT}


def _data(operation: Operation, status: int, content_type: str, body: bytes, room: Room) -> tuple[Any, str]:
    """What an answer holds, and a note of what had to be changed in it."""
    match operation.answer:
        case "bytes":
            return body, ""
        case "text":
            return body.decode("utf-8", "replace"), ""
    if not body.strip():
        if operation.answer == "none":
            return None, ""
        raise _unreadable(operation, status, "is empty")
    try:
        body_.check_values(body, room)
        return decode(body)
    except TooMuch as error:
        raise _unread(operation, error, status) from None
    except TooDeepError:
        raise _unreadable(operation, status, f"has more than {MAX_DEPTH} levels") from None
    except ValueError:
        if operation.answer == "none":
            return None, ""
        kind = (problem.clean(content_type) or "of no type").partition(";")[0]
        raise _unreadable(operation, status, f"is not JSON but {kind}, {len(body)} bytes") from None


def _unreadable(operation: Operation, status: int, what: str) -> KosmoError:
    if operation.safe:
        return ApiError(
            f"{operation.name}: the API said {status}, but its answer {what}",
            status=status,
            function=operation.name,
            hint="something on the way may have answered instead: check REPLICATE_URL and proxies",
        )
    return uncertain(operation, f"the API said {status}, but its answer {what}")


def _redirected(operation: Operation, status: int, headers: Mapping[str, str]) -> ApiError:
    target = _split(headers.get("location", "")[:MAX_URL])
    where = ascii(f"{target.scheme}://{target.hostname}")[1:-1] if target and target.hostname else "another place"
    return ApiError(
        f"{operation.name}: {status}: the API redirects to {where}; the token is not sent there",
        status=status,
        function=operation.name,
        hint="set REPLICATE_URL to where the API is",
    )


def uncertain(operation: Operation, why: str) -> UncertainError:
    """A write may have been done; say so, and how to look, and never do it again unasked."""
    text = f"{operation.name}: {why}. It may have been done all the same"
    if operation.creates:
        made = f"The {operation.creates} may have been created; it is not created again by itself"
        text = f"{operation.name}: {why}. {made}"
    return UncertainError(text, function=operation.name, hint=_how_to_look(operation))


def _how_to_look(operation: Operation) -> str:
    import datetime as dt

    proof = operation.proof
    if not operation.creates or proof is None:
        return "read back what it changes before you call it again"
    look = proof.list or " ".join([proof.read, *(f"--{name}=…" for name in proof.place)])
    listing = catalogue.find(proof.list)
    if listing and listing.parameter("created_after"):
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
        look += f" --created_after={since:%Y-%m-%dT%H:%M:%SZ}"
    return f"look for it first: kosmo integrations:call replicate.{look}"


def _reason(error: BaseException) -> str:
    """What happened, in words, from the innermost cause that has any."""
    return _REASONS.get(type(error).__name__) or problem.clean(str(error)) or type(error).__name__


# Where ------------------------------------------------------------------------------------------------------------


def checked_url(url: str, *, insecure_http: bool = False, origin: str = "REPLICATE_URL") -> str:
    """The API's base URL without a slash at its end, and with /v1 where it has no path. ``origin`` is who said it."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
        (parts.hostname or "").encode("idna")
        httpx.URL(url.strip())
    except (ValueError, httpx.InvalidURL) as error:  # UnicodeError, of idna, is a ValueError
        raise _bad_url(origin, url, str(error)) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _bad_url(origin, url, "it is no http or https URL with a host")
    if any(c.isspace() for c in parts.netloc):
        raise _bad_url(origin, url, "there is space in its host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _bad_url(origin, "…", "it holds more than scheme, host, port and path")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{origin}: {url} is plain http, which would send the token unprotected",
            hint="use https, or --insecure-http if you mean it",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def _bad_url(origin: str, url: str, why: str) -> ConfigurationError:
    shown = re.sub("//.*@", "//…@", url)[:200]  # what stands before the @ is a secret
    return ConfigurationError(
        f"{origin}: expected a URL such as {SERVER}, got {shown!r}: {why}", hint="correct it, or unset it"
    )


def is_loopback(host: str) -> bool:
    import ipaddress

    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _transport(base_url: str, sending: Sending) -> httpx.BaseTransport:
    secure = base_url.startswith("https:")
    # Without https there is nothing to verify: a context without roots saves reading 200 kB of them at the start, and
    # a stray https would fail closed.
    verify = (certificates.context(os.environ) or httpx.create_ssl_context()) if secure else _believes_nobody()
    proxy = _proxy(base_url)
    if proxy is None:
        return PlainTransport(verify, sending)
    try:
        return httpx.HTTPTransport(verify=verify, proxy=proxy)
    except (ImportError, ValueError, httpx.InvalidURL):  # ImportError: SOCKS needs a package more
        raise ConfigurationError(
            "the proxy that the environment names cannot be used: expected an http or https URL, got one of "
            f"{proxy.partition(':')[0][:20]!a}",
            hint="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the API's host in NO_PROXY",
        ) from None


def _believes_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this URL; httpx leaves that to its Client, which is not used here."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(base_url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found:
        return None
    return found if "://" in found else f"http://{found}"


# Pages ------------------------------------------------------------------------------------------------------------


def items_of(page: Any) -> list[dict[str, Any]]:
    """The objects that a page of a list holds. Raises an `ApiError` for what is not a page."""
    results = page.get("results") if isinstance(page, Mapping) else None
    if not isinstance(results, list):
        raise ApiError(f"expected a page with a list of results, got {type(page).__name__}", status=200)
    return [item for item in results if isinstance(item, dict)]


def next_cursor(page: Any, base_url: str) -> str | None:
    """Where a list goes on. Its ``next`` URL is never followed: its cursor is taken and sent to our own origin.

    None where the list ends, which some answers say with the string "null". Raises an `ApiError` for a link to
    another host, or without a cursor.
    """
    if not isinstance(page, Mapping):
        raise ApiError(f"expected a page of a list, got {type(page).__name__}", status=200)
    link = page.get("next")
    if link in (None, "", "null"):
        return None
    if not isinstance(link, str) or len(link) > MAX_URL:
        raise ApiError(f"the link to the next page is no URL of at most {MAX_URL} characters", status=200)
    parts, base = _split(link), urlsplit(base_url)
    if parts is None:
        raise ApiError("the link to the next page is no URL", status=200)
    if parts.hostname != base.hostname:
        raise ApiError(
            f"the next page lies on another host, {parts.hostname!r} instead of {base.hostname!r}; it is not asked for",
            status=200,
        )
    cursor = parse_qs(parts.query).get("cursor")
    if not cursor:
        raise ApiError("the link to the next page has no cursor", status=200)
    return cursor[0]


def _joined(base: str, link: str) -> str:
    """Where a link leads; the link itself where that is no URL, for which it is refused."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
