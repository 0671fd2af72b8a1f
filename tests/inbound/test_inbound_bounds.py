"""What an unauthenticated client can make the HTTP server hold in memory or wait for before an application gets the
request."""

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from waiting import wait_until

from kosmolua.inbound.server import MAX_HEAD, Server

LINE = b"x-more: " + b"a" * 4000 + b"\r\n"
MIB = 1024 * 1024


async def _length(request):
    return PlainTextResponse(f"{len(await request.body())}")


@contextmanager
def served(seconds=30.0):
    """The port of a server that answers with the length of the request's body."""
    app = Starlette(routes=[Route("/", _length, methods=["GET", "POST"])])
    with socket.create_server(("127.0.0.1", 0)) as opened:
        server = Server(app, seconds=seconds, lifespan="off")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield opened.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def told(port, *pieces):
    """Everything that the server answers to the given pieces before it closes the connection."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        with suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
        with suppress(ConnectionError):
            while more := client.recv(65_536):
                found += more
    return found


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(HEAD, LINE, id="many headers"),
        pytest.param(HEAD + b"x-more: ", b"a" * 4000, id="one header"),
        pytest.param(b"GET /", b"a" * 4000, id="path"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", LINE, id="trailers"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1;", b"a" * 4000, id="extension of a chunk"),
    ],
)
def test_data_outside_the_body_is_bounded(begin, piece):
    """If a client sends 64 MiB that never end, the connection is closed early and the data do not remain in memory."""
    with served() as port:
        before = resident()
        told(port, begin, *([piece] * (64 * MIB // len(piece))))

        assert resident() - before < 16 * MIB


def test_a_long_head_is_refused_with_its_status():
    """A head that is too long is answered with HTTP status 431."""
    with served() as port:
        found = told(port, HEAD, LINE * (MAX_HEAD // len(LINE) + 1))

    assert found.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="a part of the head"),
        pytest.param(HEAD + b"content-length: 10\r\n\r\nab", id="a part of the body"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT", id="a part of the second head"),
    ],
)
def test_a_slow_request_is_closed(sent):
    """The connection of an incomplete request is closed, since a few hundred of them would block all other clients."""
    with served(seconds=0.3) as port:
        answers = told(port, sent).count(b"HTTP/1.1 200")

    assert answers == sent.count(b"\r\n\r\nGET")


def test_usual_requests_are_served():
    """The server accepts a head below the limit, a body above it, a body in small chunks, and several requests on one
    connection."""
    head = HEAD + LINE * (MAX_HEAD // len(LINE) - 1)
    long = head + b"content-length: 1048576\r\n\r\n" + b"a" * MIB
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n"
    last = HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n"
    with served() as port:
        found = told(port, long, chunked, last)

    assert [b"1048576", b"100000", b"0"] == [each.split(b"\r\n\r\n")[1] for each in found.split(b"HTTP/1.1 200 OK")[1:]]
