"""Serves the console with uvicorn until a signal arrives."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.console.app import HEADERS, app_of
from kosmolua.errors import ConfigurationError
from kosmolua.inbound.server import Server

if TYPE_CHECKING:
    from kosmolua.console.views import Settings
    from kosmolua.worker.database import Database

GRACE = 2  # seconds that open requests have to end when the server stops
MAX_REQUESTS = 200  # the maximum number of concurrent requests
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HSTS = ("strict-transport-security", "max-age=31536000")


def listening(host: str, port: int) -> socket.socket:
    """The listening socket. Raises a `ConfigurationError` if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {why}", hint="choose another port: kosmo serve --port 0"
        ) from None


def serve(database: Database, settings: Settings, opened: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until a signal arrives, and return its number. ``ready`` is called before the first answer."""
    return asyncio.run(_serve(database, settings, opened, ready))


def server_of(database: Database, settings: Settings) -> Server:
    """A server without signal handlers."""
    is_public = bool(settings.public_url)
    headers = HEADERS + ([_HSTS] if settings.public_url.startswith("https://") else [])
    return Server(
        app_of(database, settings),
        headers=headers,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=is_public,  # sent by a proxy on this machine
        limit_concurrency=MAX_REQUESTS,
        timeout_graceful_shutdown=GRACE,
    )


async def _serve(database: Database, settings: Settings, opened: socket.socket, ready: Callable[[], None]) -> int:
    server, number = server_of(database, settings), 0

    def stop(which: int) -> None:
        nonlocal number
        number, server.should_exit = which, True

    for each in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(each, stop, each)
    ready()
    await server.serve(sockets=[opened])
    return number
