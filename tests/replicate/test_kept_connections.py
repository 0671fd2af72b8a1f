"""A write is sent once if a connection breaks on its second request, behind a proxy, or by silence."""

import socket
import threading
from contextlib import suppress

import httpx
import pytest
from recording_server import Answer, RecordingServer
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.errors import TransportError, UncertainError
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.replicate.request import build
from kosmolua.replicate.retry import RetryTransport
from kosmolua.replicate.structs import decode_arguments
from kosmolua.replicate.urls import authority, origin_of, transport_for
from kosmolua.replicate.wire import Request, WireError

CREATE = ("create_prediction", {"version": "v", "input": {"text": "a"}})
GET = ("get_prediction", {"prediction_id": "p"})
WRITES = {
    "create": CREATE,
    "update": ("update_model", {"model_owner": "a", "model_name": "b", "readme": "c"}),
    "delete": ("delete_file", {"file_id": "f"}),
}
LONGEST = 400  # bytes; longer than any request here


class BreakingServer:
    """A server that answers the first request of a connection, then reads ``count`` bytes of the next one and closes.
    ``reads`` has one entry for every later request, on any connection.
    """

    def __init__(self):
        self.count = 0
        self.firsts = 0
        self.reads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._talk(connection)

    def _talk(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = connection.recv(1)
            if not piece:
                return
            head += piece
        self.firsts += 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        taken = b""
        while len(taken) < max(self.count, 1):
            piece = connection.recv(max(self.count, 1) - len(taken))
            if not piece:
                break
            taken += piece
        if taken:
            self.reads.append(taken)


@pytest.fixture
def breaking():
    made = BreakingServer()
    yield made
    made.close()


def length_of(server, call):
    """The number of bytes in a request with these lines."""
    operation = catalogue.find(call[0])
    parts = build(operation, decode_arguments(operation, call[1]))
    host = server.url.removeprefix("http://").removesuffix("/v1")
    lines = [f"{parts.method} /v1{parts.target} HTTP/1.1", f"Host: {host}", "Authorization: Bearer r8_token"]
    lines += [f"{name}: {value}" for name, value in parts.headers]
    body = parts.body or b""
    # A delete has no Content-Length; counting to the end of the shorter request is enough.
    return len("\r\n".join([*lines, "", ""])) + len(body)


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_a_write_on_a_reused_connection_broken_at_every_byte(breaking, call):
    """A write on a reused connection that breaks is not resent on a new connection."""
    length = length_of(breaking, call)
    assert 100 < length < LONGEST

    for count in range(1, length + 1):
        breaking.count, breaking.reads[:] = count, []
        with Client(token="r8_token", base_url=breaking.url, clock=SleepRecorder()) as client:
            assert {} == send(client, *GET)
            with pytest.raises(UncertainError):
                send(client, *call)

        assert [count] == [len(taken) for taken in breaking.reads], count


def test_a_read_on_a_reused_connection_is_retried(breaking):
    """The second attempt uses a new connection."""
    for count in (1, 10, 100):
        breaking.count, breaking.reads[:] = count, []
        with Client(token="r8_token", base_url=breaking.url, clock=SleepRecorder()) as client:
            assert [{}, {}] == [send(client, *GET), send(client, *GET)]

        assert [count] == [len(taken) for taken in breaking.reads], count


def test_a_write_after_idle_connections_were_closed(server):
    """However often the server closes connections, each write reaches the server once."""
    with Client(token="r8_token", base_url=server.url) as client:
        for name, arguments in WRITES.values():
            send(client, name, arguments)
            server.hang_up()

    assert ["POST", "PATCH", "DELETE"] == [request.method for request in server.requests]


def test_one_connection_serves_many_calls(server):
    """A connection is reused after a complete answer with any method and status."""
    server.answers += [Answer(404), Answer(204, b""), Answer(), Answer(422)]
    with Client(token="r8_token", base_url=server.url) as client:
        for name, arguments in (GET, WRITES["delete"], CREATE, CREATE, GET):
            with suppress(Exception):
                send(client, name, arguments)

    assert (5, 1) == (len(server.requests), server.connections)


# Behind a proxy -----------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch):
    made = RecordingServer()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{made.port}")
    yield made
    made.close()


def behind(clock):
    return Client(token="r8_token", base_url="http://api.invalid/v1", insecure_http=True, clock=clock)


def test_a_create_through_a_proxy_broken_at_every_byte(proxy):
    """The transport for proxies gives the same guarantee for request and answer."""
    whole = Answer(201, b'{"id": "p"}')
    for count in range(len(whole.encode())):
        proxy.requests.clear()
        proxy.answers.append(Answer(201, whole.body, cut=count))
        with behind(SleepRecorder()) as client, pytest.raises(UncertainError):
            send(client, *CREATE)
        assert 1 == len(proxy.requests), count

    proxy.bytes_seen = 0
    with behind(SleepRecorder()) as client:
        send(client, *CREATE)
    length = proxy.bytes_seen
    assert 200 < length < LONGEST

    proxy.requests.clear()
    for count in range(length + 1):
        proxy.swallow, proxy.connections, proxy.bytes_seen = count, 0, 0
        with behind(SleepRecorder()) as client, pytest.raises(UncertainError):
            send(client, *CREATE)
        assert (1, count) == (proxy.connections, proxy.bytes_seen)
    assert [] == proxy.requests


def test_an_unreachable_proxy(monkeypatch):
    """Nothing was sent, so the result is not uncertain."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{listener.getsockname()[1]}")

    with behind(SleepRecorder()) as client, pytest.raises(TransportError) as caught:
        send(client, *CREATE)

    assert not isinstance(caught.value, UncertainError)
    assert "the call had no effect" in caught.value.hint


# Silence ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "GET", "QUERY"])
def test_a_silent_server(method):
    """After the read timeout a write is uncertain and is not resent; a read is retried."""

    clock = SleepRecorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        transport = RetryTransport(transport_for(url), clock=clock)
        origin = origin_of(url)
        request = Request(method, origin, "/v1", (("Host", authority(origin)),), b"{}", timeout=0.02, most=100)
        with pytest.raises(WireError) as caught:
            transport.send(request)
        transport.close()

    assert caught.value.sent
    assert (4 if method in {"GET", "QUERY"} else 0) == len(clock.slept)


def test_the_message_for_a_silent_server(server):
    """The message says that the server took too long, and that a create may have been executed."""

    class Silent(httpx.BaseTransport):
        def handle_request(self, request):
            raise httpx.ReadTimeout("timed out")

    client = Client(token="r8_token", base_url=server.url, transport=Silent(), clock=SleepRecorder())

    with pytest.raises(UncertainError, match=r"the answer took too long\. The prediction may have been created"):
        send(client, *CREATE)
    with pytest.raises(TransportError, match="the answer took too long"):
        send(client, *GET)


def test_the_notice_of_a_retry_is_one_escaped_line(server):
    """The notice is one line without control characters from the server."""
    told = []

    class Rude:
        keep, cut = False, None

        def encode(self):
            return b"\x1b[2J r8_marked_token" + b"x" * 5000 + b"\r\n\r\n"

    server.answers.append(Rude())
    client = Client(
        token="r8_marked_token",
        base_url=server.url,
        clock=SleepRecorder(),
        on_retry=lambda reason, seconds: told.append((reason, seconds)),
    )
    with client:
        assert {"id": "made"} == send(client, *GET)

    ((reason, seconds),) = told
    assert reason.isprintable()
    assert len(reason) < 2100
    assert "r8_marked" not in reason
    assert seconds <= 0.5
