"""The MCP server over standard input and output. Standard output carries only protocol messages."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.errors import EXIT_SIGNALED
from kosmolua.mcp.service import Options, Service
from kosmolua.mcp.wire import Connection, standard_streams
from kosmolua.mcp.work import Current

if TYPE_CHECKING:
    from types import FrameType

    from kosmolua.gate.ending import Unfinished
    from kosmolua.host.host import Host

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(host: Host, current: Current, options: Options, tell: Callable[[Unfinished], None]) -> None:
    """Serve one client over standard input and output until it closes them, and close the host. ``tell`` gets the jobs
    that may still be running.
    """
    service = Service(host, current, options)
    connection = Connection(service, *standard_streams())
    done = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        """Exit on a signal: reading standard input cannot be interrupted."""
        connection.mute()  # the sender of the signal no longer reads, and some SDKs fail on a late answer
        tell(service.stop())
        os._exit(EXIT_SIGNALED + number)

    def read() -> None:
        try:
            connection.serve()
        finally:
            done.set()

    for number in SIGNALS:
        signal.signal(number, end)
    threading.Thread(target=read, name="kosmolua-stdio", daemon=True).start()
    done.wait()  # on the main thread, which holds no lock when a signal arrives
    tell(service.stop())
