"""The head of an answer, as it is read here and as http.client reads it."""

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.replicate.head import MAX_LINES, Response

LINE = b"HTTP/1.1 201 Created\r\n"


class Sock:
    """As much of a socket as http.client reads from."""

    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


def read(data, made=Response):
    response = made(Sock(data), method="POST")
    response.begin()
    return response


def framing(response):
    return response.status, response.reason, response.version, response.length, response.chunked, response.will_close


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
    lines = [line, *(f"{name}: {value}".encode("latin-1") for name, value in headers.items()), b"", b""]
    data = end.join(lines)
    ours, theirs = read(data), read(data, http.client.HTTPResponse)
    if line.startswith(b"HTTP/1.0") and not headers.get("Connection"):
        theirs.will_close = True  # a Keep-Alive alone is no word of keeping it

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
    """Is not listened to for ever: its last word counts, which says nothing."""
    assert (100, 0) == framing(read(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000))[0:4:3]
