"""Requests through httpx: for proxies, and for a caller's own transport."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import httpx

from kosmolua.replicate.wire import Request, Sending, WireError

_PORTS = {"http": 80, "https": 443}
# Exceptions that httpx raises before it sends.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_REASONS = {
    "ConnectTimeout": "connecting took too long",
    "ReadTimeout": "the answer took too long",
    "WriteTimeout": "sending took too long",
    "PoolTimeout": "no connection was free",
}


class HttpxTransport:
    """Sends through ``inner``. ``connect_timeout`` is in seconds; ``sending`` may refuse to send. ``proxy`` is the host
    and port of the proxy, if ``inner`` goes through one.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        connect_timeout: float = 5.0,
        sending: Sending = nullcontext,
        proxy: str = "",
    ) -> None:
        self._inner = inner
        self._proxy = proxy
        self._sending = sending
        self._connect_timeout = connect_timeout

    def send(self, request: Request) -> HttpxAnswer:
        with self._sending(), _translated(self._proxy, request.origin.host):
            return HttpxAnswer(self._inner.handle_request(self._made(request)))

    def close(self) -> None:
        self._inner.close()

    def _made(self, request: Request) -> httpx.Request:
        scheme, host, port = request.origin
        body = request.body
        content = body if body is None or isinstance(body, bytes) else body.pieces()
        fields = list(request.fields)
        if body is not None and not isinstance(body, bytes):
            fields.append(("Content-Length", str(body.size)))
        place = f"[{host}]" if ":" in host else host
        return httpx.Request(
            request.method,
            httpx.URL(f"{scheme}://{place}:{port}").copy_with(raw_path=request.target.encode("ascii")),
            headers=fields,
            content=content,
            extensions={
                "timeout": {
                    "connect": self._connect_timeout,
                    "read": request.timeout,
                    "write": request.timeout,
                    "pool": self._connect_timeout,
                }
            },
        )


class HttpxAnswer:
    """An answer of httpx, its body still encoded."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: dict[str, str] = {}
        for name, value in response.headers.raw:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        with _translated():
            yield from cast("Iterator[bytes]", self._response.stream)
        self.close()

    def close(self) -> None:
        self._response.close()


def proxied(proxy: str, context: Callable[[], ssl.SSLContext] | None, sending: Sending = nullcontext) -> HttpxTransport:
    """A transport through a proxy. Raises a ValueError, or an ImportError if SOCKS support is not installed."""
    verify = context() if context else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        place = httpx.URL(proxy).netloc.decode("ascii")  # without the name and the password
        return HttpxTransport(httpx.HTTPTransport(verify=verify, proxy=proxy), sending=sending, proxy=place)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None


@contextmanager
def _translated(proxy: str = "", host: str = "") -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, OSError) as error:
        reason = _REASONS.get(type(error).__name__) or str(error) or type(error).__name__
        untrusted = _has(error, ssl.SSLCertVerificationError)
        hint = "" if untrusted or not proxy else _proxy_hint(error, host)
        raise WireError(
            f"proxy {proxy}: {reason}" if hint else reason,
            sent=not isinstance(error, _NOT_SENT),
            final=isinstance(error, httpx.ProxyError),  # a proxy that refuses will refuse again
            untrusted=untrusted,
            hint=hint,
        ) from error


def _proxy_hint(error: Exception, host: str) -> str:
    """What to do if the proxy cannot be used; empty if the proxy is not the cause."""
    if isinstance(error, httpx.ProxyError):
        if str(error).startswith("407"):
            return "give the proxy your user name and password: export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
        return f"ask who runs the proxy to allow {host}, or bypass it: export NO_PROXY={host}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and not _has(error, ssl.SSLError):
        return f"check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or bypass the proxy: export NO_PROXY={host}"
    return ""


def _has(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether the error or one of its causes is of that type."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
