"""Heads and bodies of HTTP/1.1 answers (RFC 9112) from a socket are accepted or refused, and connections are reused or
closed.
"""

import socket
import threading
from contextlib import suppress

import pytest

from kosmolua.replicate.connection import Connection
from kosmolua.replicate.head import MAX_HEAD, parse
from kosmolua.replicate.wire import Origin, Request, WireError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def request(most=1000):
    return Request("GET", Origin("http", "127.0.0.1", 1), "/", (), timeout=5.0, most=most)


def answered(*pieces):
    """The head and body that a client reads from a server that sends these pieces and closes."""
    ours, theirs = socket.socketpair()

    def serve():
        with theirs, suppress(BrokenPipeError):  # the client may already have closed the connection
            theirs.recv(100)
            for piece in pieces:
                theirs.sendall(piece)

    server = threading.Thread(target=serve)
    server.start()
    connection = Connection(ours, secure=False)
    try:
        connection.send(b"GET / HTTP/1.1\r\n\r\n", request())
        head = connection.read_head()
        return head, b"".join(connection.read_body(head))
    finally:
        connection.close()
        server.join()


def in_bytes(*parts):
    return [bytes([byte]) for byte in b"".join(parts)]


@pytest.mark.parametrize(
    ("answer", "body", "keep"),
    [
        (OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
        (OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"content-length:2\r\nX: \r\n\r\n{}", b"{}", True),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (OK + b"Connection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (OK + b"\r\nto the end", b"to the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
        (b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"{}", True),
        (CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}", True),
        (CHUNKED + b"2;name=value\r\n{}\r\n0\r\nTrailer: x\r\n\r\n", b"{}", True),
        (CHUNKED + b"00002\r\n{}\r\n000\r\n\r\n", b"{}", True),
        (CHUNKED + b"0\r\n\r\n", b"", True),
        (OK + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", True),
        (OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", True),
        (EARLY * 12 + OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"{}", True),
    ],
)
def test_accepted_answers(answer, body, keep):
    """The body ends as in RFC 9112, section 6.3, whether it arrives at once or a byte at a time."""
    for pieces in ([answer], in_bytes(answer)):
        head, found = answered(*pieces)

        assert body == found
        assert keep == head.keep


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OK + b"Content-Length: abc\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: +2\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: -2\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 0x2\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 1_0\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length:\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 2, 3\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 99999999999999999999\r\n\r\n{}", "Content-Length"),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding is 'gzip, chunked'"),
        (OK + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: identity\r\n\r\n{}", "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", "chunk size"),
        (CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n", "chunk size"),
        (CHUNKED + b"1_0\r\n{}\r\n0\r\n\r\n", "chunk size"),
        (CHUNKED + b"\r\n{}\r\n0\r\n\r\n", "chunk size"),
        (CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n", "[Cc]hunk size"),
        (CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n", "chunk"),
        (CHUNKED + b"2\r\n{}0\r\n\r\n", "chunk"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "101"),
        (EARLY * 2000 + OK + b"Content-Length: 2\r\n\r\n{}", "informational"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP version 2.0"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "status"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "status|after"),
        (b"ICY 200 OK\r\n\r\n", "HTTP"),
        (b"<html>\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "CR"),
        (OK + b"no colon\r\n\r\n", "header"),
        (OK + b"Content-Length : 2\r\n\r\n{}", "header"),
        (OK + b": nameless\r\n\r\n", "header"),
        (OK + b"A: \x01\r\n\r\n", "header"),
        (b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\n{}", "white space before the first header"),
        (OK + b"A: " + b"x" * (MAX_HEAD + 100) + b"\r\n\r\n", f"more than {MAX_HEAD} bytes"),
        (OK + b"Content-Length: 3\r\n\r\n{}", "in the middle of its answer"),
        (CHUNKED + b"2\r\n{}\r\n", "in the middle of its answer"),
        (CHUNKED + b"2\r\n{", "in the middle of its answer"),
        (OK + b"Content-Len", "in the middle of its answer"),
        (b"", "without an answer"),
    ],
)
def test_refused_answers(answer, words):
    """An answer whose end is ambiguous is refused like an invalid one."""
    with pytest.raises(WireError, match=words) as caught:
        answered(answer)

    assert caught.value.sent


def test_invalid_framing_is_not_retried():
    """The server would send the same framing again; an incomplete head may be complete next time."""
    for answer, final in ((OK + b"Transfer-Encoding: gzip\r\n\r\n", True), (OK + b"Content-Length: 3\r\n\r\n", False)):
        with pytest.raises(WireError) as caught:
            answered(answer)

        assert final == caught.value.final


def test_repeated_fields_are_joined():
    """Field names are in lower case; the values of a repeated field are joined in order (RFC 9110, section 5.3)."""
    head = parse(OK + b"X-A: 1\r\nx-a:  2 \r\nB: \xe9\r\nContent-Length: 0\r\n\r\n")

    assert {"x-a": "1, 2", "b": "\xe9", "content-length": "0"} == head.headers


def test_bytes_after_the_answer_close_the_connection():
    """On an open connection these bytes would be read as the next answer."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n")
        connection = Connection(ours, secure=False)
        connection.send(b"", request())
        assert b"{}" == b"".join(connection.read_body(connection.read_head()))

        assert not connection.is_quiet()
        connection.close()


def test_empty_chunks_are_limited():
    """Chunk extensions cannot make a small body endless."""

    padded = b"1;" + b"x" * 60_000 + b"\r\n{\r\n"

    with pytest.raises(WireError, match="tiny chunks"):
        answered(CHUNKED, *[padded] * 40)
