"""Serves an application on a socket until a signal arrives."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

from kosmolua.errors import ConfigurationError
from kosmolua.inbound.server import Server

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CONNECTIONS = 1000  # the maximum number of connections; further ones are answered with 503
KEPT_ALIVE = 5  # seconds after which a connection without requests is closed
PROXY = "127.0.0.1"
GRACE = 5  # seconds that open requests have to end when the server stops


def listening(host: str, port: int) -> socket.socket:
    """The listening socket. Raises a `ConfigurationError` if the address cannot be used."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another port; --port 0 picks a free one",
        ) from None


def url_of(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: Any, opened: socket.socket, ready: Callable[[], None], proxy: str = PROXY) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. ``ready`` is called once the server answers. Only a ``proxy`` with this
    address, or in this network, may say from which address a request comes.
    """
    asyncio.run(_serve(app, opened, ready, proxy))


def server_of(app: Any, proxy: str = PROXY) -> Server:
    """A server without signal handlers."""
    return Server(
        app,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=GRACE,
        forwarded_allow_ips=proxy,
        lifespan="off",
    )


async def _serve(app: Any, opened: socket.socket, ready: Callable[[], None], proxy: str) -> None:
    server = server_of(app, proxy)

    def stop() -> None:
        server.should_exit = True

    for each in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(each, stop)
    ready()
    await server.serve(sockets=[opened])
