"""Every case of `answer_cases` over TCP, whole and byte by byte, with the state of the connection afterwards."""

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from answer_cases import CPYTHON, H11, LLHTTP, MADE

from kosmolua.replicate.transport import SocketTransport
from kosmolua.replicate.wire import Origin, Request, WireError

NEXT = b"HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\nnext"


@contextmanager
def serving(case, piece):
    """Answer the first request with the case in pieces of this size, and later requests with another answer."""
    connections, sent = [], threading.Event()

    def talk(connection, first):
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(65536):
                raw = case.raw if first else NEXT
                try:
                    for at in range(0, len(raw), piece):
                        connection.sendall(raw[at : at + piece])
                finally:
                    sent.set()
                if first and case.closes:
                    return
                first = False

    def serve():
        with suppress(OSError):
            while True:
                connections.append(listener.accept()[0])
                threading.Thread(target=talk, args=(connections[-1], len(connections) == 1), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], connections, sent
        listener.shutdown(socket.SHUT_RDWR)


def no_certificates():
    raise AssertionError("plain HTTP needs none")


@pytest.mark.parametrize("piece", [1 << 20, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", MADE, ids=lambda case: case.name)
def test_an_answer(case, piece):
    """The answer is parsed or refused as expected; a connection is reused only if both sides agree where the answer
    ends.
    """
    piece = piece if len(case.raw) < 60_000 else 1 << 20
    with serving(case, piece) as (port, connections, sent):
        request = Request("GET", Origin("http", "127.0.0.1", port), "/", (("Host", "x"),), timeout=30.0, most=1 << 20)
        transport = SocketTransport(no_certificates)
        if case.refused:
            with pytest.raises(WireError, match=case.refused):
                b"".join(transport.send(request).pieces())
        else:
            answer = transport.send(request)
            found = (answer.status, b"".join(answer.pieces()), {name: answer.headers[name] for name in case.headers})
            assert (case.status, case.body, case.headers) == found
        assert sent.wait(30)  # bytes that the server sends after the answer arrive before the next request
        assert b"next" == b"".join(transport.send(request).pieces())
        transport.close()

    assert (1 if case.kept and not case.refused else 2) == len(connections)


def test_the_documented_counts():
    """The README of the tests gives the number of cases from each suite, and of differences."""
    text = Path(__file__).parent.joinpath("README.md").read_text()
    for suite in (LLHTTP, CPYTHON, H11):
        posed = [case for case in MADE if suite in case.of]
        differ = [case for case in posed if suite in case.peers]
        row = next(line for line in text.splitlines() if line.startswith(f"| {suite} "))
        assert [str(len(posed)), str(len(differ))] == [cell.strip() for cell in row.split("|")[3:5]]
