"""If an answer is invalid a create is uncertain and is not resent, and the terminal output remains clean."""

import pytest
from recording_server import RecordingServer
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.errors import ApiError, TransportError, UncertainError
from kosmolua.replicate.client import Client
from kosmolua.replicate.retry import ATTEMPTS

TOKEN = "r8_marked_token_of_these_tests"
CREATE = ("create_prediction", {"version": "v", "input": {}})
GET = ("get_prediction", {"prediction_id": "p"})
OK = b"HTTP/1.1 201 Created\r\n"


class Raw:
    """A server that sends an answer byte by byte, and then closes the connection."""

    keep, cut = False, None

    def __init__(self, data):
        self.data = data

    def encode(self):
        return self.data


@pytest.fixture
def client(server):
    with Client(token=TOKEN, base_url=server.url, clock=SleepRecorder()) as made:
        yield made


NO_HTTP = {
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "a body alone": b"{}",
    "status of letters": b"HTTP/1.1 abc\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n{}",
    "chunk of no length": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "chunk of negative length": OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}",
    "chunk cut short": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "last chunk missing": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "endless header": OK + b"A: " + b"a" * 70_000 + b"\r\n\r\n{}",
    "a line that is not a header": OK + b"no colon\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\ncontent-length: 40\r\n\r\n{}",
    "a head that breaks off": OK + b"Content-Type: application/json\r\n",
    "too many headers": OK + b"A: b\r\n" * 200 + b"\r\n{}",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_invalid_http_leaves_a_create_uncertain(server, client, name):
    """The answer may be half of a success: a create is not resent; a read is, unless the framing is invalid."""
    server.default = Raw(NO_HTTP[name])
    attempts = 1 if name == "two lengths" else ATTEMPTS

    with pytest.raises(UncertainError, match="may have been created"):
        send(client, *CREATE)
    assert 1 == len(server.requests)
    with pytest.raises(TransportError):
        send(client, *GET)
    assert 1 + attempts == len(server.requests)


@pytest.mark.parametrize(
    "data",
    [OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", OK + b"Content-Length: 3\r\n\r\nNaN",
     OK + b'Content-Length: 3\r\n\r\n"\xff"', OK + b"Content-Length: 3\r\n\r\n \n ", b"HTTP/1.1 204 None\r\n\r\n"],
    ids=["no gzip", "NaN", "not UTF-8", "space", "nothing"],
)  # fmt: skip
def test_an_unreadable_success_leaves_a_create_uncertain(server, client, data):
    """The prediction probably exists, although its id is lost."""
    server.default = Raw(data)

    with pytest.raises(UncertainError, match="may have been created"):
        send(client, *CREATE)
    assert 1 == len(server.requests)


def test_another_protocol_leaves_a_create_uncertain(server, client):
    """Status 101 does not show the outcome, so it is not treated as a refusal."""
    server.default = Raw(b"HTTP/1.1 101 Early\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}")

    with pytest.raises(UncertainError, match="101"):
        send(client, *CREATE)
    assert 1 == len(server.requests)


def test_a_304_is_not_a_redirect(server, client):
    """No request is conditional, so a 304 must come from a cache on the way."""
    server.default = Raw(b"HTTP/1.1 304 Same\r\nContent-Length: 40\r\n\r\n")
    server.default.keep = True

    for call in (GET, CREATE):
        with pytest.raises(ApiError, match="304 Not Modified") as caught:
            send(client, *call)
        assert "redirects" not in caught.value.message
        assert "a cache answered" in caught.value.hint
    assert 2 == len(server.requests)


@pytest.mark.parametrize("early", [b"100 Continue\r\n", b"102 Processing\r\n", b"103 Early Hints\r\nLink: </x>\r\n"])
def test_informational_answers_are_skipped(server, client, early):
    """Servers and proxies may send several informational answers."""
    made = b'{"id": "made"}'
    server.default = Raw(2 * (b"HTTP/1.1 " + early + b"\r\n") + OK + b"Content-Length: 14\r\n\r\n" + made)

    assert {"id": "made"} == send(client, *CREATE)
    assert 1 == len(server.requests)


def test_bytes_after_an_answer_are_discarded(server, client):
    """The extra bytes are discarded, and the next call gets its own answer."""
    extra = Raw(OK + b"Content-Length: 1\r\n\r\n1" + OK + b"Content-Length: 1\r\n\r\n2")
    extra.keep = True
    server.default = extra

    assert [1, 1] == [send(client, *GET), send(client, *GET)]
    assert 2 == len(server.requests)


@pytest.mark.parametrize("call", [CREATE, GET], ids=["create", "get"])
@pytest.mark.parametrize(
    "data",
    [b"\x1b[2J\x07" + b"x" * 60_000 + b"\r\n\r\n", OK + b"Content-Type: \x1b[2J" + b"y" * 60_000 + b"\r\n\r\n<"],
    ids=["status line", "content type"],
)
def test_text_of_a_server_is_escaped(server, client, call, data):
    """A message is one line of limited length, whatever text it quotes."""
    server.default = Raw(data)

    with pytest.raises((ApiError, TransportError)) as caught:
        send(client, *call)

    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 3000


@pytest.mark.parametrize("field", ["title", "detail", "error"])
def test_a_truncated_token_is_hidden(server, client, field):
    """If a long text is truncated within a repeated token, the beginning of the token is hidden too."""
    for before in range(2000 - len(TOKEN), 2000):
        body = f'{{"{field}": "{"x" * before}{TOKEN}"}}'.encode()
        server.answers.append(Raw(b"HTTP/1.1 400 Bad\r\n\r\n" + body))
        with pytest.raises(ApiError) as caught:
            send(client, *GET)

        assert TOKEN[:5] not in f"{caught.value} {caught.value.to_dict()} {vars(caught.value)}", before


def test_two_clients_share_nothing(server):
    """Two clients share neither connections nor tokens."""
    other = RecordingServer()
    with Client(token="r8_one", base_url=server.url) as one, Client(token="r8_two", base_url=other.url) as two:
        send(one, *GET)
        send(two, *GET)
    other.close()

    assert ["Bearer r8_one"] == [request.headers["authorization"] for request in server.requests]
    assert ["Bearer r8_two"] == [request.headers["authorization"] for request in other.requests]
