"""The ASGI application: routes, sign-in, and the checks that each request must pass before its view is called."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from kosmolua.console import assets, requests
from kosmolua.console.access import Attempts, Role, Sessions, Visitor, matching
from kosmolua.console.pages import login
from kosmolua.console.requests import CheckedRequest, Refusal
from kosmolua.console.views import VERSION, Redirect, Settings, Views
from kosmolua.errors import KosmoError, PermissionDeniedError, UsageError
from kosmolua.page.markup import Html

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kosmolua.worker.database import Database

View = Callable[[CheckedRequest], Html | Redirect]
PRELOGIN = "kosmo-login"
_WEEK = 7 * 86_400
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Headers sent with every answer, including those that the server itself gives.
HEADERS = [
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),  # with no-referrer, browsers send forms with "Origin: null"
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()"),
]
_TITLES = {
    400: "Invalid request",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "No longer possible",
    413: "Too long",
    415: "Expected a form",
    421: "Wrong address",
    429: "Too many attempts",
    500: "Something failed",
    503: "The database is unavailable",
}


def app_of(database: Database, settings: Settings) -> ASGIApp:
    return _Console(database, settings).app()


class _Console:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._settings = settings
        self._views = Views(database, settings)
        self._sessions = Sessions()
        self._attempts = Attempts()
        self._key = random.token_bytes(32)
        self._is_secure = settings.public_url.startswith("https://")
        self._cookie = "__Host-kosmo" if self._is_secure else "kosmo"
        self._anyone = Visitor("approve", settings.name, random.token_urlsafe(24))

    def app(self) -> Starlette:
        views = self._views
        routes = [
            Route("/", self._page(views.runs)),
            Route("/runs/{run}", self._page(views.run)),
            Route("/runs/{run}/cancel", self._form(views.cancel), methods=["POST"]),
            Route("/runs/{run}/decide", self._form(views.decide), methods=["POST"]),
            Route("/runs/{run}/resume", self._form(views.resume), methods=["POST"]),
            Route("/approvals", self._page(views.approvals)),
            Route("/approvals/{approval}", self._page(views.approval)),
            Route("/approvals/{approval}", self._form(views.decide), methods=["POST"]),
            Route("/schedules", self._page(views.schedules)),
            Route("/schedules/{schedule}/{action}", self._form(views.schedule), methods=["POST"]),
            Route("/budgets", self._page(views.budgets)),
            Route("/workers", self._page(views.workers)),
            Route("/login", self._checked(self._login), methods=["GET", "POST"]),
            Route("/logout", self._checked(self._logout), methods=["POST"]),
            Route("/static/{version}/{name}", self._checked(_static)),
        ]
        handlers = {HTTPException: _missing, Exception: _failed}
        return Starlette(routes=routes, exception_handlers=handlers)

    # Checks -------------------------------------------------------------------------------------------------------

    def _page(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            visitor = self._visitor(request)
            return self._to_login(request) if visitor is None else await self._seen(request, view, visitor, {})

        return self._checked(answer)

    def _form(self, view: View, role: Role = "approve") -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            visitor, form = await self._sender(request)
            if role == "approve" and not visitor.may_approve:
                raise Refusal(403, "Your secret allows reading only.", "Sign in with a secret for the role approve.")
            return await self._seen(request, view, visitor, form)

        return self._checked(answer)

    def _checked(self, inner: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                if not self._settings.secrets:
                    requests.check_local(request)
                return await inner(request)
            except Refusal as refusal:
                return _refused(refusal.status, str(refusal), refusal.hint)
            except UsageError as error:  # raised for an error of the request
                return _refused(404 if error.message.startswith("no ") else 409, error.message, error.hint or "")
            except PermissionDeniedError as error:
                return _refused(403, error.message, error.hint or "")
            except KosmoError as error:
                return _refused(503, error.message, error.hint or "")

        return answer

    async def _sender(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """The sender of a form of the console, and the form's fields."""
        requests.check_origin(request, self._settings.public_url)
        form = await requests.form_of(request)
        visitor = self._visitor(request)
        if visitor is None:
            raise Refusal(403, "You are not signed in, or your session has ended.", "Sign in and send the form again.")
        requests.check_token(visitor, form)
        return visitor, form

    def _visitor(self, request: Request) -> Visitor | None:
        if not self._settings.secrets:
            return self._anyone
        return self._sessions.find(request.cookies.get(self._cookie, ""))

    async def _seen(self, request: Request, view: View, visitor: Visitor, form: dict[str, str]) -> Response:
        if any("\0" in each for each in request.path_params.values()):
            raise Refusal(404, "There is no such page.")
        asked = CheckedRequest(visitor, request.url.path, dict(request.query_params), form, request.path_params)
        found = await run_in_threadpool(view, asked)
        return _redirect(found.path) if isinstance(found, Redirect) else _html(found)

    # Signing in -----------------------------------------------------------------------------------------------------

    def _to_login(self, request: Request) -> Response:
        if request.headers.get("sec-fetch-site") == "cross-site":  # the browser did not send the cookie
            return _html(login.again(VERSION))
        to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _redirect("/login" + ("" if to == "/" else f"?next={quote(to, safe='')}"))

    async def _login(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._sign_in(request)
        if self._visitor(request) is not None:
            return _redirect(requests.local_path(request.query_params.get("next", "")))
        return self._login_page(requests.local_path(request.query_params.get("next", "")))

    async def _sign_in(self, request: Request) -> Response:
        requests.check_origin(request, self._settings.public_url)
        form = await requests.form_of(request)
        to = requests.local_path(form.get("next", ""))
        cookie = request.cookies.get(PRELOGIN, "")
        if not cookie or not hmac.compare_digest(form.get("csrf", "").encode(), self._signed(cookie).encode()):
            return self._login_page(to, "The page has expired. Try again.", status=403)
        address = request.client.host if request.client else ""
        wait = self._attempts.wait(address)
        if wait > 0:
            answer = _refused(429, "Too many attempts to sign in.", f"Try again in {wait:.0f} seconds.")
            answer.headers["retry-after"] = str(int(wait) + 1)
            return answer
        secret = matching(self._settings.secrets, form.get("secret", "").strip())
        if secret is None:
            return self._login_page(to, "This secret is not known.", status=403)
        self._sessions.end(request.cookies.get(self._cookie, ""))
        answer = _redirect(to)
        self._set(answer, self._cookie, self._sessions.begin(secret).session)
        answer.delete_cookie(PRELOGIN, path="/login")
        return answer

    def _login_page(self, to: str, wrong: str = "", status: int = 200) -> Response:
        cookie = random.token_urlsafe(24)
        answer = _html(login.login(VERSION, self._signed(cookie), to, wrong), status)
        self._set(answer, PRELOGIN, cookie, "/login")
        return answer

    async def _logout(self, request: Request) -> Response:
        visitor, _ = await self._sender(request)
        self._sessions.end(visitor.session)
        answer = _redirect("/login")
        answer.delete_cookie(self._cookie, path="/", secure=self._is_secure, httponly=True, samesite="strict")
        return answer

    def _signed(self, cookie: str) -> str:
        return hmac.new(self._key, cookie.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _set(self, answer: Response, name: str, value: str, path: str = "/") -> None:
        """Set a cookie that lasts until the browser is closed; the console may end the session earlier."""
        answer.set_cookie(name, value, path=path, secure=self._is_secure, httponly=True, samesite="strict")


def _html(page: Html, status: int = 200) -> HTMLResponse:
    return HTMLResponse(page.encode(errors="replace"), status, headers={"cache-control": "no-store"})


def _redirect(path: str) -> Response:
    return RedirectResponse(path, 303, headers={"cache-control": "no-store"})


def _refused(status: int, what: str, hint: str = "") -> Response:
    return _html(login.refused(VERSION, _TITLES.get(status, "Refused"), what, hint), status)


async def _missing(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _refused(status, "There is no such page." if status == 404 else "This request is not possible.")  # noqa: PLR2004


async def _failed(_: Request, __: Exception) -> Response:
    return _refused(
        500, "The console could not create this page.", "See the standard error of kosmo serve for the reason."
    )


async def _static(request: Request) -> Response:
    files = {
        "console.css": (assets.console_stylesheet, "text/css"),
        "console.js": (assets.script, "text/javascript"),
        "icon.svg": (assets.icon, "image/svg+xml"),
    }
    name = request.path_params["name"]
    if name not in files:
        raise Refusal(404, "There is no such file.")
    read, kind = files[name]
    known = request.path_params["version"] == VERSION
    headers = {"cache-control": f"public, max-age={_WEEK}, immutable" if known else "no-store"}
    return Response(read(), media_type=kind, headers=headers)
