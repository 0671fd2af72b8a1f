"""The head of an answer, as it is read here and as http.client reads it."""

import http.client
import io
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.replicate.head import MAX_LINES, Response

LINE = b"HTTP/1.1 201 Created\r\n"


def read(data, made=Response):
    """The answer that a server sends and then hangs up."""
    server, sock = socket.socketpair()
    with sock:
        with server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            server.sendall(data)
        response = made(sock, method="POST")
        try:
            response.begin()
            rest = response.fp.read()
        finally:
            response.close()
        response.fp = io.BytesIO(rest)
        return response


def framing(response):
    return response.status, response.reason, response.version, response.length, response.chunked, response.will_close


def is_framed(headers):
    """Whether its length and coding are such as a server may send."""
    length, coding = headers.get("Content-Length"), headers.get("Transfer-Encoding")
    return coding in {None, "chunked", "Chunked"} and (coding or length is None or length in {"0", "17"})


NAMES = st.sampled_from(
    ["Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "ETag", "X-Request-Id", "content-type", "x"]
)
VALUES = st.one_of(
    st.sampled_from(["0", "17", "-1", "x", "", "chunked", "Chunked", "gzip", "close", "Keep-Alive", "upgrade, close"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\x85\xa0"), max_size=20),
)


@given(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.1 204 None", b"HTTP/1.1 404", b"HTTP/1.0 200 OK", b"HTTP/1.1 503 a b"]
    ),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_it_is_read_as_http_client_reads_it(line, headers, end):
    """The same status, the same headers in the same order, and the same word of where the body ends."""
    if b" 204 " in line:
        headers.pop("Transfer-Encoding", None)  # http.client waits for chunks that do not come
    lines = [line, *(f"{name}: {value}".encode("latin-1") for name, value in headers.items()), b"", b""]
    data = end.join(lines)
    theirs = read(data, http.client.HTTPResponse)
    if not is_framed(headers):
        with pytest.raises(http.client.HTTPException):
            read(data)
        return
    ours = read(data)
    if line.startswith(b"HTTP/1.0") and "keep-alive" not in headers.get("Connection", "").lower():
        theirs.will_close = True  # a Keep-Alive alone is no word of keeping it
    if theirs.chunked and headers.get("Content-Length") is not None:
        theirs.will_close = True  # of two framings, the other may be what somebody on the way went by

    assert framing(theirs) == framing(ours)
    assert [(name, value.strip()) for name, value in theirs.headers.raw_items()] == [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in ours.fields
    ]


@pytest.mark.parametrize("at", range(len(LINE + b"A: b\r\n\r\n")))
def test_a_head_that_breaks_off_is_none(at):
    """Wherever that is, also behind a whole line."""
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        read((LINE + b"A: b\r\n\r\n")[:at])


@pytest.mark.parametrize(
    "head",
    [
        b"no colon\r\n",
        b": no name\r\n",
        b" goes on with nothing\r\n",
        b"A: " + b"a" * 70_000 + b"\r\n",
        b"A: b\r\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_no_header(head):
    """An answer with such a line is none."""
    with pytest.raises(http.client.HTTPException):
        read(LINE + head + b"\r\n")


def test_a_header_of_several_lines():
    """One that begins with a blank goes on with the one before."""
    assert [(b"A", b"b c d"), (b"E", b"f")] == read(LINE + b"A: b\r\n c\r\n\td\r\nE: f\r\n\r\n").fields


def test_the_same_length_twice():
    """Is one length."""
    assert 2 == read(LINE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}").length


def test_a_server_that_says_go_on_for_ever():
    """Is not listened to for ever; a few such answers are skipped."""
    with pytest.raises(http.client.HTTPException, match="more than 100 answers"):
        read(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    assert 201 == read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 12 + LINE + b"\r\n").status


@pytest.mark.parametrize("length", ["abc", "+2", "-2", "", "2, 3", "2 2", "0x2", "9" * 30])
def test_a_length_that_is_none_is_refused(length):
    """A reader that ignores it would take whatever follows for the body."""
    with pytest.raises(http.client.HTTPException, match="Content-Length"):
        read(LINE + f"Content-Length: {length}\r\n\r\n{{}}".encode())


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity, chunked", "chunked, chunked", "x"])
def test_a_transfer_encoding_that_is_not_taken_is_refused(coding):
    """Its framing must not be handed over as the body."""
    with pytest.raises(http.client.HTTPException, match="Transfer-Encoding"):
        read(LINE + f"Transfer-Encoding: {coding}\r\n\r\n".encode())


def test_two_transfer_encodings_are_refused():
    """Also in two lines, of which one alone would do."""
    with pytest.raises(http.client.HTTPException, match="Transfer-Encoding"):
        read(LINE + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    "line", [b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 2"]
)
def test_chunks_are_read_as_chunks(line):
    """When the header is folded, and when a length contradicts it, which ends the connection."""
    response = read(LINE + line + b"\r\n\r\n2;a=b\r\n{}\r\n0\r\nA: b\r\n\r\n")

    assert (b"{}", b"Length" in line) == (response.read(), response.will_close)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("line", [b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Content-Length: 5"])
def test_an_answer_without_a_body_ends_at_the_empty_line(status, line):
    """Whatever it says of a body (RFC 9112, 6.3, rule 1)."""
    response = read(b"HTTP/1.1 %d Done\r\n%s\r\n\r\n" % (status, line))

    assert (0, False, False) == (response.length, response.chunked, response.will_close)


@pytest.mark.parametrize(
    "body",
    [b"0x2\r\n{}\r\n0\r\n\r\n", b"+2\r\n{}\r\n0\r\n\r\n", b"1_0\r\n", b"\r\n", b"2 2\r\n{}\r\n", b"f" * 20 + b"\r\n",
     b"2\r\n{}!!0\r\n\r\n", b"2\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 200],
)  # fmt: skip
def test_chunks_that_are_not_written_as_they_must_be(body):
    """Are refused, where http.client reads some of them."""
    with pytest.raises(http.client.HTTPException):
        read(LINE + b"Transfer-Encoding: chunked\r\n\r\n" + body).read()


def test_an_answer_that_trickles():
    """Is given up although each piece comes in time, in the head and in the body; a stream may take any time."""
    server, sock = socket.socketpair()
    with server, sock:
        server.sendall(LINE + b"Content-Length: 4\r\n\r\n")
        response = Response(sock, method="POST")
        response.begin()
        response._timed.until = 0.0
        server.sendall(b"{")
        with pytest.raises(TimeoutError, match="too slowly"):
            response.read1(1)
        response.take_any_time()

        assert b"{" == response.read1(1)
        response.close()
