"""Checks a request before a view gets it: its host, its origin, its form and its sender."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from starlette.requests import Request

from kosmolua.console.access import Visitor

MAX_FORM = 16_384  # the maximum bytes of a form
MAX_FIELDS = 20
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# Headers that a proxy adds. Without a login, requests from other machines would count as requests from this one.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "cf-connecting-ip")


class CheckedRequest(Struct, frozen=True):
    """A checked request: its sender, its path, its query, and for a POST its form."""

    visitor: Visitor
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    place: Mapping[str, str]


class Refusal(Exception):  # noqa: N818 - not only errors
    """Raised to refuse a request with this status."""

    def __init__(self, status: int, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.status = status
        self.hint = hint


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def check_local(request: Request) -> None:
    """Raise a `Refusal` for a request that another site or machine may have caused. A console without a login
    uses it: another site's page can reach the console under that site's name (DNS rebinding), but not as localhost.
    """
    if name_of(request.headers.get("host", "")) not in LOOPBACK:
        raise Refusal(421, "This console answers to localhost only.", "Start it with a login: kosmo serve --login")
    if any(name in request.headers for name in FORWARDED):
        raise Refusal(403, "A proxy forwarded this request to a console without a login.", "kosmo serve --login")


def check_origin(request: Request, public_url: str) -> None:
    """Raise a `Refusal` for a form that another site's page has sent."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    host = request.headers.get("host", "").lower()
    own = {f"http://{host}", f"https://{host}", public_url} - {""}
    if (origin is None and site is None) or (origin is not None and origin.lower() not in own):
        raise Refusal(403, "This form was not sent by a page of this console.", "Open the page again and retry.")
    if site is not None and site != "same-origin":
        raise Refusal(403, "This form was sent by another site.", "Open the page again and retry.")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises a `Refusal` if the content type is wrong or the form is too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(415, "Expected a form.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise Refusal(413, f"The form is longer than {MAX_FORM} bytes.")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise Refusal(400, "Invalid form.") from None
    return dict(fields)


def check_token(visitor: Visitor, form: Mapping[str, str]) -> None:
    """Raise a `Refusal` for a form without the visitor's token."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), visitor.csrf.encode()):
        raise Refusal(403, "This form is no longer valid.", "Open the page again and retry.")


def local_path(given: str) -> str:
    """The given path if it is a path of this console, to redirect to; otherwise the path of the start page."""
    plain = given.startswith("/") and not given.startswith("//") and given.isascii() and given.isprintable()
    return given if plain and "\\" not in given and len(given) <= MAX_FORM // 16 else "/"
