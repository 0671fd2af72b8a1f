"""CONNECT for programs whose API address cannot be set: the server is their proxy for that one host.

The TLS of ``api.replicate.com`` ends here, with a certificate made for this process. Nothing is passed on: a request
for any other host is refused, so that such a program fails visibly instead of bypassing the test or the recording.
"""

from __future__ import annotations

import ssl
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from kosmolua.replicate.catalogue import SERVER

if TYPE_CHECKING:
    from io import BufferedIOBase

HOST = urlsplit(SERVER).hostname or ""
TARGET = f"{HOST}:443"
_REFUSED = f"Only {TARGET} is served here; name other hosts in NO_PROXY"
_WITHOUT = "This server is not a proxy; start it with --proxy"


def refusal(target: str, context: ssl.SSLContext | None) -> str:
    """The reason phrase of the answer that refuses a target, which clients show. Empty if the target is served."""
    if context is None:
        return _WITHOUT
    return "" if target.lower() == TARGET else _REFUSED


def enter(connection: BaseHTTPRequestHandler, context: ssl.SSLContext) -> None:
    """Answer 200 and continue inside TLS on the same connection. Raises an OSError if the TLS handshake fails."""
    connection.send_response_only(200, "Connection established")
    connection.end_headers()
    connection.wfile.flush()
    # `wrap_socket` takes over the file descriptor, and `connection.request` is empty from now on.
    inside = context.wrap_socket(cast("ssl.SSLSocket", connection.connection), server_side=True)
    connection.connection = inside
    connection.rfile.close()
    connection.rfile = cast("BufferedIOBase", inside.makefile("rb", connection.rbufsize))
    connection.wfile = cast("BufferedIOBase", inside.makefile("wb", connection.wbufsize))
    connection.close_connection = False
