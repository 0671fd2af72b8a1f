"""A server on a loopback port for the webhooks of cog, through which a running prediction shows its progress."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, cast

import msgspec

from kosmolua.emulator.cog.shapes import is_deep

LARGEST = 64 * 1024 * 1024
"""The most bytes of a webhook. A larger one is dropped: the answer has the complete output."""
PATIENCE = 5.0  # seconds in which a webhook must arrive completely
Report = Callable[[str, dict[str, Any]], None]


class Listener:
    """Calls ``report`` with the path and the JSON of each webhook, from any thread."""

    def __init__(self, report: Report) -> None:
        self._server = _Server(("127.0.0.1", 0), _Webhook)
        self._server.report, self._server.secret = report, secrets.token_urlsafe(16)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="cog webhooks", daemon=True).start()

    def url(self, path: str) -> str:
        """The URL for webhooks that ``report`` gets with this path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._server.secret}/{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    report: Report
    secret: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: cog may close a connection at any time."""


class _Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_POST(self) -> None:
        server = cast("_Server", self.server)
        length = self.headers.get("Content-Length", "")
        prefix = f"/{server.secret}/"
        known = self.path.startswith(prefix) and length.isdecimal()
        if not known or int(length) > LARGEST:
            self._answer(413 if known else 404)
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        try:
            report = msgspec.json.decode(body, type=dict[str, Any])
        except (ValueError, RecursionError):
            report = None
        if report is None or is_deep(report):
            self._answer(400)
            return
        server.report(self.path.removeprefix(prefix), report)
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in http.server
        """Log nothing."""
