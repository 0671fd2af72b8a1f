"""Streamable HTTP with the official SDK. Each session has its own service, host and budget."""

from __future__ import annotations

import asyncio
import hmac
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from msgspec import Struct

from kosmolua._version import __version__
from kosmolua.errors import ConfigurationError
from kosmolua.inbound.server import Server as HttpServer
from kosmolua.mcp import questions, tools
from kosmolua.mcp.protocol import HANDSHAKE, MODERN, ProtocolError, can_elicit, failed, marked
from kosmolua.mcp.service import INFO, MAX_ARGUMENTS, Service

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kosmolua.gate.ending import Unfinished
    from kosmolua.gate.prompt import Question
    from kosmolua.mcp.work import Work

    Context = ServerRequestContext[Any, Any]

PATH = "/mcp"
SESSION = "mcp-session-id"
IDLE = 30 * 60.0  # seconds after which a session without requests ends
MAX_SESSIONS = 100
MAX_BODY = 2 * MAX_ARGUMENTS + 65_536  # the maximum bytes of a request's body
GRACE = 2  # seconds that open streams have to end when the server stops
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Endpoint(Struct, frozen=True, kw_only=True):
    """The address to listen on, and the accepted clients. ``hosts`` and ``origins`` are accepted in addition to
    loopback ones. Without a ``token``, every program on this machine is served.
    """

    host: str
    port: int
    token: str | None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Sessions:
    """The services of all sessions. ``make`` makes a service, which is shared or for one client; ``tell`` gets the jobs
    that may still be running when a service has ended.
    """

    def __init__(self, make: Callable[[bool], Service], tell: Callable[[Unfinished], None]) -> None:
        self._make = make
        self._tell = tell
        self._services: dict[str, Service] = {}
        self._used: dict[str, float] = {}

    def of(self, key: str) -> Service:
        """The service of a session. Requests without a session share one service: with a new budget for each request,
        no budget would limit anything.
        """
        self._used[key] = time.monotonic()
        if key not in self._services:
            self._services[key] = self._make(not key)
        return self._services[key]

    def idle(self) -> list[str]:
        """The sessions that the SDK has ended."""
        before = time.monotonic() - IDLE - GRACE
        return [key for key, used in self._used.items() if key and used < before and not self._services[key].busy]

    def end(self, key: str) -> None:
        self._used.pop(key, None)
        service = self._services.pop(key, None)
        if service:
            self._tell(service.stop())

    def end_all(self) -> None:
        for key in [*self._services]:
            self.end(key)


# Requests ---------------------------------------------------------------------------------------------------------


class Exchange:
    """One tool call over HTTP: the `kosmolua.mcp.work.Peer` of the call."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self.answered: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        capabilities = context.session.client_capabilities
        self.can_ask = can_elicit(capabilities.model_dump(exclude_none=True) if capabilities is not None else None)
        self.parks = not context.session.can_send_request

    def progress(self, message: str) -> None:
        self._count += 1
        self._schedule(self._context.session.report_progress(self._count, None, message))

    def ask(self, work: Work, question: Question) -> None:
        if self.parks:
            self.result(questions.input_required(question, work.id))
        else:
            self._schedule(self._elicit(work, question))

    def result(self, result: dict[str, Any]) -> None:
        self._settle(lambda: self.answered.set_result(result))

    def error(self, error: ProtocolError) -> None:
        self._settle(lambda: self.answered.set_exception(_raised(error)))

    async def _elicit(self, work: Work, question: Question) -> None:
        params = questions.elicitation(question, self._context.protocol_version)
        try:
            result = await self._context.session.elicit_form(
                params["message"], params["requestedSchema"], self._context.request_id
            )
        except MCPError:
            work.answer(None)  # the client cannot ask a person, although it announced that it can
        else:
            work.answer(questions.answer_of(result.model_dump()))

    def _settle(self, action: Callable[[], None]) -> None:
        def settle() -> None:
            if not self.answered.done():
                action()

        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(settle)

    def _schedule(self, action: Awaitable[None]) -> None:
        async def run() -> None:
            with suppress(Exception):  # the client has left
                await action

        made = run()
        try:
            asyncio.run_coroutine_threadsafe(made, self._loop)
        except RuntimeError:  # the event loop has ended
            made.close()


def _raised(error: ProtocolError) -> MCPError:
    return MCPError(code=error.code, message=error.message, data=error.data)


class Answers:
    """The handlers of the SDK's server."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def server(self, instructions: str) -> Server[Any]:
        made: Server[Any] = Server(
            "kosmolua",
            version=__version__,
            title=INFO["title"],
            instructions=instructions,
            on_list_tools=self._answer,
            on_call_tool=self._call,
            on_list_resources=self._answer,
            on_list_resource_templates=self._answer,
            on_read_resource=self._answer,
            on_list_prompts=self._answer,
            on_get_prompt=self._answer,
        )
        made.middleware.append(_arguments_as_text)
        return made

    def _service(self, context: Context) -> Service:
        """The service of the request's session. Newer protocol versions have no sessions; the header may then have any
        value.
        """
        request, has_session = context.request, context.protocol_version in HANDSHAKE
        return self._sessions.of(request.headers.get(SESSION, "") if request is not None and has_session else "")

    async def _answer(self, context: Context, _params: Any) -> Any:
        try:
            return _shown(context, self._service(context).answer(context.method, context.params or {}))
        except ProtocolError as error:
            raise _raised(error) from None

    async def _call(self, context: Context, _params: Any) -> Any:
        exchange = Exchange(context)
        try:
            work = self._service(context).call(context.params or {}, exchange)
        except ProtocolError as error:
            raise _raised(error) from None
        except Exception as error:  # noqa: BLE001 - the client waits for an answer
            raise _raised(failed(error, "the tool")) from None
        try:
            return _shown(context, await exchange.answered)
        except asyncio.CancelledError:
            work.cancel()
            raise


def _shown(context: Context, result: dict[str, Any]) -> dict[str, Any]:
    return marked(context.method, result, INFO) if context.protocol_version in MODERN else result


async def _arguments_as_text(ctx: Context, call_next: Callable[[Context], Awaitable[Any]]) -> Any:
    """Accept arguments as JSON text, which some models write; the SDK would refuse them without giving a reason."""
    params = ctx.params
    if ctx.method == "tools/call" and isinstance(params, Mapping) and isinstance(params.get("arguments"), str):
        found = tools.json_of(params["arguments"] or "{}")
        if isinstance(found, dict):
            ctx = replace(ctx, params={**params, "arguments": found})
    return await call_next(ctx)


# Serving ----------------------------------------------------------------------------------------------------------


class Guard:
    """Answers only requests with the token, and ends a session's service when the client deletes the session."""

    def __init__(self, app: ASGIApp, sessions: Sessions, token: str | None) -> None:
        self._app = app
        self._sessions = sessions
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._expected and not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            await _refuse(send)
            return
        for key in self._sessions.idle():
            await asyncio.to_thread(self._sessions.end, key)
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, observe)
        if scope["method"] == "DELETE" and status == HTTPStatus.OK:
            await asyncio.to_thread(self._sessions.end, headers.get(SESSION.encode(), b"").decode("latin-1"))


async def _refuse(send: Callable[[Message], Awaitable[None]]) -> None:
    body = b"missing or wrong bearer token\n"
    headers = [
        (b"www-authenticate", b"Bearer"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def security_of(endpoint: Endpoint) -> TransportSecuritySettings:
    """The checks of Host and Origin, since another site's page can reach loopback addresses through DNS rebinding."""
    hosts = [*LOOPBACK, *endpoint.hosts]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[*(f"http://{host}{port}" for host in LOOPBACK for port in ("", ":*")), *endpoint.origins],
    )


def app_of(sessions: Sessions, endpoint: Endpoint, instructions: str) -> ASGIApp:
    """The ASGI application, which answers at `PATH`."""
    inner = (
        Answers(sessions)
        .server(instructions)
        .streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=MAX_BODY,
            session_idle_timeout=IDLE,
            max_sessions=MAX_SESSIONS,
            transport_security=security_of(endpoint),
        )
    )
    return Guard(inner, sessions, endpoint.token)


def listening(endpoint: Endpoint) -> socket.socket:
    """The listening socket. Raises a `ConfigurationError` if the address cannot be used."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        return socket.create_server((endpoint.host, endpoint.port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {endpoint.host}:{endpoint.port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another address; --http 127.0.0.1:0 picks a free port",
        ) from None


def serve(sessions: Sessions, endpoint: Endpoint, instructions: str, announce: Callable[[str], None]) -> int:
    """Serve until a signal arrives, and return the signal's number. ``announce`` gets the URL once requests are
    answered.
    """
    opened = listening(endpoint)
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    announce(f"http://{host}:{opened.getsockname()[1]}{PATH}")
    return asyncio.run(_serve(app_of(sessions, endpoint, instructions), sessions, opened))


async def _serve(app: ASGIApp, sessions: Sessions, opened: socket.socket) -> int:
    server, number = HttpServer(app, timeout_graceful_shutdown=GRACE), 0

    def stop(which: int) -> None:
        nonlocal number
        number, server.should_exit = which, True

    for each in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(each, stop, each)
    await server.serve(sockets=[opened])
    await asyncio.to_thread(sessions.end_all)
    return number
