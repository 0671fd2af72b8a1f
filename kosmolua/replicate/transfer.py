"""Transfers by URL: where the token may be sent, and answers with a streamed body."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import httpx

from kosmolua.errors import KosmoError, UsageError, failure_of
from kosmolua.replicate.body import Garbled, decoded
from kosmolua.replicate.redact import AnyRedactor
from kosmolua.replicate.request import MAX_URL
from kosmolua.replicate.routes import check_no_operation
from kosmolua.replicate.urls import is_loopback
from kosmolua.replicate.wire import Response, WireError

MAX_REDIRECTS = 5
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")  # RFC 1123, and underscores, which some hosts have
_MAX_HOST = 253
_WITH_TOKEN = (
    "replicate.delivery",
    "stream.replicate.com",
)  # https://replicate.com/docs/topics/predictions/output-files
_WITHOUT_TOKEN = ("replicate.com", "c.replicate.net")  # most streams are on the last domain, at secret addresses


def place(url: str, base: httpx.URL, *, function: str) -> tuple[httpx.URL, bool]:
    """The URL, and whether the token is sent with a request for it.

    Raises a `UsageError` for an operation of the API, and for any host that is neither the API's nor Replicate's: a
    script could send data to it in the URL.
    """
    if len(url) > MAX_URL:
        raise UsageError(
            f"{function}: expected a URL of at most {MAX_URL} characters, got {len(url)}",
            hint="use the URL exactly as the API returned it",
        )
    try:
        found = httpx.URL(url)
        host = found.host
    except (ValueError, httpx.InvalidURL):  # IDNAError is a ValueError
        raise UsageError(f"{function}: expected a URL, got {_shown(url)}") from None
    check_no_operation(found, base, function=function)
    if found.userinfo:
        raise _foreign(function, url)
    if _origin(found) == _origin(base) and _is_ours(found, base):
        return found, True
    if found.scheme != "https" or found.port not in {None, 443}:
        raise _foreign(function, url)
    if not _HOST.fullmatch(host) or len(host) > _MAX_HOST:
        raise UsageError(f"{function}: expected a URL with a valid host, got {_shown(url)}")
    if host == _WITH_TOKEN[0] or host.endswith(f".{_WITH_TOKEN[0]}") or host == _WITH_TOKEN[1]:
        return found, True
    if any(host == name or host.endswith(f".{name}") for name in _WITHOUT_TOKEN):
        return found, False
    raise _foreign(function, url)


def gets_token(url: str, base: str, *, function: str) -> bool:
    """Whether the token is sent with a request for a URL, which may be on any host."""
    try:
        return place(url, httpx.URL(base), function=function)[1]
    except UsageError:
        return False


def _is_ours(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether an address at the API's origin belongs to the account. A base URL with a path other than /v1 belongs to a
    gateway, where other paths may belong to other parties, which must not receive the token. On this machine, all paths
    belong to the user.
    """
    root = base.path.rstrip("/").removesuffix("/v1")
    return not root or is_loopback(base.host) or url.path.startswith(f"{root}/")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def _foreign(function: str, url: str) -> UsageError:
    return UsageError(
        f"{function}: {_shown(url)} is not an address of Replicate; nothing is fetched from other hosts",
        hint="use an output URL (https://replicate.delivery/…) or the prediction's urls.stream",
    )


def _shown(url: str) -> str:
    return repr(url.partition("?")[0][:200])


class Opened:
    """An answer that is being received. Iterate over its bytes once, and close it. ``headers`` have names in lower
    case.

    Reading raises a `TransportError` if the connection is lost or the answer is incomplete. ``on_token`` is called when
    the token, which is masked, is found in the answer.
    """

    def __init__(
        self,
        response: Response,
        headers: Mapping[str, str],
        explain: Callable[[Exception], KosmoError],
        redactor: AnyRedactor,
    ) -> None:
        self.status = response.status
        self.headers = headers
        self.on_token: Callable[[], None] = lambda: None
        self._response = response
        self._explain = explain
        self._redactor = redactor

    def __iter__(self) -> Iterator[bytes]:
        try:
            stream = decoded(self._response.pieces(), self.headers)
            yield from self._redactor.pieces(stream, self.on_token)
        except (WireError, Garbled) as error:
            raise self._explain(error) from None
        except Exception as error:
            raise failure_of(error, "download") from error
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()
