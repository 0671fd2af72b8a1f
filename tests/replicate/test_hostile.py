"""Hostile servers, proxies and settings cause only quick errors, and never get the token."""

import json
import time

import pytest
from recording_server import Answer, RecordingServer
from sleep_recorder import SleepRecorder

from kosmolua.errors import ApiError, ConfigurationError, KosmoError, TransportError, UncertainError
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.replicate.structs import decode_arguments
from kosmolua.replicate.urls import checked_url, next_cursor

TOKEN = "r8_A-token-of-tests"


@pytest.fixture
def clock():
    return SleepRecorder()


@pytest.fixture
def fail(server, clock):
    """The error of a function that is called with its example."""

    def call(name, url=None):
        operation = catalogue.find(name)
        with (
            Client(token=TOKEN, base_url=url or server.url, clock=clock) as client,
            pytest.raises(KosmoError) as caught,
        ):
            client.send(operation, decode_arguments(operation, operation.example))
        return caught.value

    return call


@pytest.mark.parametrize(
    "body",
    [b"<title>" * 200_000, b"<title " * 200_000, b"[" * 200_000, b'{"detail":' * 100_000, b"<" * 1_000_000],
    ids=lambda body: body[:9].decode(),
)
@pytest.mark.parametrize("status", [200, 404])
def test_a_hostile_body_costs_no_time(server, fail, status, body):
    """No regular expression backtracks over the body, and no nesting depth causes a crash."""
    server.default = Answer(status, body)
    began = time.process_time()
    error = fail("get_account")

    assert isinstance(error, ApiError)
    assert len(error.message) < 2100
    assert time.process_time() - began < 2


@pytest.mark.parametrize("seconds", ["9" * 400, "1e400", "-1", "true", '"soon"'])
def test_an_invalid_retry_after_is_ignored(server, fail, seconds):
    """An impossible number is ignored, and the call uses its own backoff."""
    server.default = Answer(429, b'{"retry_after": %s}' % seconds.encode())
    error = fail("get_account")

    assert (429, None) == (error.status, error.retry_after)


def test_an_echoed_token_is_in_no_field(server, fail):
    """The token is neither in the invalid fields nor in the request id."""
    fields = [{"field": TOKEN, "description": f"is {TOKEN}", TOKEN: 1}]
    document = {"title": TOKEN, "detail": f"token {TOKEN}!", "invalid_fields": fields}
    server.default = Answer(422, json.dumps(document).encode(), {"X-Request-Id": TOKEN})
    error = fail("get_account")

    assert TOKEN not in f"{error!r} {error.to_dict()} {vars(error)}"
    assert ("token [hidden]!", "is [hidden]") == (error.detail, error.invalid_fields[0]["description"])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(302, b"", {"Location": f"https://{TOKEN}.example/"}),
        Answer(302, b"", {"Location": f"https://u:{TOKEN}@a.example/"}),
        Answer(headers={"Content-Encoding": TOKEN}),
        Answer(body=b"no JSON", headers={"Content-Type": TOKEN}),
        Answer(headers={"Transfer-Encoding": TOKEN, "Content-Length": None}),
    ],
)
def test_a_token_echoed_in_a_header_is_in_no_message(server, fail, answer):
    """The token does not appear in lower case either, in which hosts and codings are compared."""
    server.default = answer

    assert TOKEN.lower() not in str(fail("get_account").to_dict()).lower()


@pytest.mark.parametrize("location", ["http://[", "http://a\u00ffb", "x", ""])
def test_a_redirect_without_a_url(server, fail, location):
    """A redirect without a URL is an error and is not followed."""
    server.default = Answer(302, b"", {"Location": location})

    assert "the token is not sent there" in fail("get_account").message


def test_an_invalid_page_link():
    """An invalid page link is refused like a link to another host."""
    with pytest.raises(ApiError, match="is not a URL"):
        next_cursor({"next": "http://["}, "https://api.replicate.com/v1")


# Uncertain creates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_server_error_on_a_create_says_to_check_first(server, fail, status):
    """A gateway's timeout does not stop the server behind it, so a retry might be paid for twice."""
    server.default = Answer(status, b"")
    error = fail("create_prediction")

    assert (1, "server_error") == (len(server.requests), error.code)
    assert error.hint.startswith(
        "the API may have executed the call; look for the result first: kosmo integrations:call"
    )
    assert "try again later" in fail("get_account").hint


def test_an_uncertain_model_is_looked_up_by_its_name(server, fail):
    """The list of models has neither private nor empty models, so it is not used."""
    server.default = Answer(201, b"", cut=0)

    assert "replicate.get_model --model_owner=… --model_name=…" in fail("create_model").hint


# Proxies and connections
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["get_account", "create_prediction"])
def test_a_proxy_that_refuses(monkeypatch, clock, fail, name):
    """The tunnel comes before the request: nothing was sent, and a retry would not help."""
    proxy = RecordingServer()
    proxy.default = Answer(403, keep=False)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    error = fail(name, "https://api.example.test")
    proxy.close()

    assert isinstance(error, TransportError)
    assert not isinstance(error, UncertainError)
    assert "403" in error.message
    assert (["CONNECT"], []) == ([request.method for request in proxy.requests], clock.slept)


@pytest.mark.parametrize("proxy", ["socks5://user:s3cret@127.0.0.1:9", "ftp://user:s3cret@127.0.0.1:9"])
def test_an_invalid_proxy(monkeypatch, proxy):
    """An invalid proxy is a configuration error, whose message does not show the password."""
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="proxy") as caught:
        Client(token=TOKEN)

    assert "HTTPS_PROXY" in caught.value.hint
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_an_unknown_host_is_not_retried(clock, fail):
    """A retry would not help if the name is unknown. A missing network gives a different resolver error."""
    fail("get_account", "https://api.invalid")

    assert len(clock.slept) in {0, 4}


@pytest.mark.parametrize(
    "url",
    ["https://host\x00", "https://exa mple.com", "https://a..b", f"https://{'a' * 64}.com", "https://@host",
     "https://:s3cret@host", "https://user:s3cret@", "https://user:s3cret@host:99999", "https://[s3cret@::1"],
)  # fmt: skip
def test_an_invalid_url(url):
    """An invalid URL is refused before any attempt, and the error does not show a password in it."""
    with pytest.raises(ConfigurationError, match="REPLICATE_URL") as caught:
        checked_url(url)

    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_a_header_that_is_not_ascii(server, fail):
    """A header that is not ASCII is accepted, because an error after a create would hide the result."""
    server.default = Answer(404, b"", {"X-Request-Id": "\u00e9\u2028", "Server": "\u00e9"})

    assert fail("create_prediction").status == 404


def test_an_upload_that_is_refused_early():
    """The server's answer is reported, not the broken pipe."""
    refusing = RecordingServer()
    refusing._exchange = lambda connection, _reader: connection.sendall(Answer(413, b"").encode())
    operation = catalogue.find("create_file")
    arguments = decode_arguments(operation, {"content": b"x" * 20_000_000})
    with Client(token=TOKEN, base_url=refusing.url) as client, pytest.raises(ApiError) as caught:
        client.send(operation, arguments)
    refusing.close()

    assert 413 == caught.value.status


def test_an_ipv6_address_without_a_port(fail):
    """The last group of an IPv6 address is not taken for a port."""
    assert "Name or service not known" not in fail("get_account", "http://[::1]").message
