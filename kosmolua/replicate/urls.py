"""URLs of the API: the base URL, proxies for it, and links between pages."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from kosmolua.errors import ApiError, ConfigurationError
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.request import MAX_URL
from kosmolua.replicate.transport import SocketTransport
from kosmolua.replicate.wire import Origin, Sending, Transport

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}
_LABEL = 64  # a label of a host name is shorter (RFC 1034, 3.1)
_HOST = re.compile(r"[0-9A-Za-z._~:%\[\]-]+")


def checked_url(url: str, *, insecure_http: bool = False, origin: str = "REPLICATE_URL") -> str:
    """The API's base URL without a trailing slash, and with /v1 if it has no path. ``origin`` is where it was set."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
        host = _encoded(parts.hostname or "")
    except ValueError as error:  # UnicodeError, of idna, is a ValueError
        raise _bad_url(origin, url, str(error)) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _bad_url(origin, url, "it is not an http or https URL with a host")
    if not _HOST.fullmatch(host) or any(not c.isprintable() or c.isspace() for c in url.strip()):
        raise _bad_url(origin, url, "it contains an invalid character")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _bad_url(origin, "…", "it has parts besides scheme, host, port and path")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{origin}: {url} is plain http, which would send the token unencrypted",
            hint="use https, or add --insecure-http to send it anyway",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def _encoded(host: str) -> str:
    """The host in ASCII. Raises a UnicodeError. Loading the idna codec takes 1 ms, and ASCII names do not need it."""
    plain = host.isascii() and all(0 < len(label) < _LABEL for label in host.split("."))
    return host if plain else host.encode("idna").decode()


def _bad_url(origin: str, url: str, why: str) -> ConfigurationError:
    shown = re.sub("//.*@", "//…@", url)[:200]  # the part before the @ is a secret
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


def origin_of(base_url: str) -> Origin:
    """The origin of a base URL."""
    parts = urlsplit(base_url)
    host = _encoded(parts.hostname or "")
    return Origin(parts.scheme, host, parts.port or _PORTS[parts.scheme])


def authority(origin: Origin) -> str:
    """The value of the Host header; without the scheme's default port."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _PORTS.get(origin.scheme) else f"{host}:{origin.port}"


def transport_for(base_url: str, sending: Sending = nullcontext) -> Transport:
    """A direct transport, or one through the proxy in the environment."""
    proxy = _proxy(base_url)
    if proxy is None:
        return SocketTransport(_context, sending)
    from kosmolua.replicate.httpx_transport import proxied

    try:
        return proxied(proxy, _context if base_url.startswith("https:") else None, sending)
    except (ImportError, ValueError):  # ImportError: SOCKS needs another package
        raise ConfigurationError(
            "cannot use the proxy in the environment: expected an http or https URL, got one of "
            f"{proxy.partition(':')[0][:20]!a}",
            hint="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the API's host in NO_PROXY",
        ) from None


def _context() -> ssl.SSLContext:
    """The certificates that the environment names, else those that certifi ships, as in httpx."""
    from kosmolua.replicate import certificates

    return certificates.context(os.environ) or certificates.built_in()


def _proxy(base_url: str) -> str | None:
    """The proxy in the environment for this URL; httpx does this in its Client, which is not used here."""
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # saves the import below: 7 ms
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(base_url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found:
        return None
    return found if "://" in found else f"http://{found}"


def results_of(page: Any) -> list[Any]:
    """The results of a page of a list. Raises an `ApiError` if it is not a page."""
    results = page.get("results") if isinstance(page, Mapping) else None
    if not isinstance(results, list):
        raise ApiError(f"expected a page with a list of results, got {type(page).__name__}", status=200)
    return results


def items_of(page: Any) -> list[dict[str, Any]]:
    """The objects in a page of a list. Raises what `results_of` raises."""
    return [item for item in results_of(page) if isinstance(item, dict)]


def next_cursor(page: Any, base_url: str) -> str | None:
    """The cursor of the next page. The ``next`` URL is never requested: only its cursor is sent, to the origin of the
    base URL. None at the end of the list, which some answers mark with the string "null". Raises an `ApiError` for a
    link to a host that is neither the base URL's nor Replicate's, or without a cursor.
    """
    if not isinstance(page, Mapping):
        raise ApiError(f"expected a page of a list, got {type(page).__name__}", status=200)
    link = page.get("next")
    if link in (None, "", "null"):
        return None
    if not isinstance(link, str) or len(link) > MAX_URL:
        raise ApiError(f"the link to the next page is not a URL of at most {MAX_URL} characters", status=200)
    parts, base = split(link), urlsplit(base_url)
    if parts is None:
        raise ApiError("the link to the next page is not a URL", status=200)
    # A gateway in front of the API passes the API's own links on unchanged.
    if parts.hostname not in (base.hostname, urlsplit(SERVER).hostname):
        raise ApiError(
            f"the next page is on another host, {parts.hostname!r} instead of {base.hostname!r}; it is not requested",
            status=200,
        )
    cursor = parse_qs(parts.query).get("cursor")
    if not cursor:
        raise ApiError("the link to the next page has no cursor", status=200)
    return cursor[0]


def joined(base: str, link: str) -> str:
    """The target of a link; the link itself if it is not a URL, which is then refused."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
