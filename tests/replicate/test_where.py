"""Requests and the token are sent only to allowed destinations."""

import socket
import subprocess

import httpx
import pytest
from recording_server import Answer, RecordingServer
from sleep_recorder import SleepRecorder

from kosmolua.errors import ApiError, ConfigurationError, CredentialError, TransportError, UsageError
from kosmolua.gate.functions import resolve
from kosmolua.replicate.client import Client
from kosmolua.replicate.structs import decode_arguments
from kosmolua.replicate.transfer import place
from kosmolua.replicate.urls import checked_url, next_cursor

TOKEN = "r8_marked_token"


def get_account(client):
    operation = resolve("get_account")
    return client.send(operation, decode_arguments(operation, {})).data


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.replicate.com/v1", "https://api.replicate.com/v1"),
        ("https://api.replicate.com/v1/", "https://api.replicate.com/v1"),
        ("https://api.replicate.com", "https://api.replicate.com/v1"),
        (" https://proxy.example:8443/replicate/v1 ", "https://proxy.example:8443/replicate/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://emulator.localhost/v1", "http://emulator.localhost/v1"),
    ],
)
def test_base_urls(given, used):
    """A base URL may omit the path, and may end with a slash."""
    assert used == checked_url(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("api.replicate.com", "it is not an http or https URL with a host"),
        ("ftp://x/v1", "it is not an http or https URL with a host"),
        ("https://", "it is not an http or https URL with a host"),
        ("https://x:99999", "Port out of range"),
        ("https://user:pass@x/v1", "it has parts besides scheme, host, port and path"),
        ("https://x/v1?a=b", "it has parts besides scheme, host, port and path"),
        ("http://api.replicate.com/v1", "is plain http, which would send the token unencrypted"),
        ("http://localhost.evil.example/v1", "is plain http, which would send the token unencrypted"),
        ("http://127.evil.example/v1", "is plain http, which would send the token unencrypted"),
    ],
)
def test_invalid_base_urls(given, message):
    """The error names the problem and the variable, and does not repeat a password."""
    with pytest.raises(ConfigurationError) as caught:
        checked_url(given)

    assert message in caught.value.message
    assert "REPLICATE_URL" in caught.value.message
    assert "pass" not in caught.value.message


def test_plain_http_needs_an_option():
    """With this option the token may be sent unencrypted."""
    assert "http://host.example/v1" == checked_url("http://host.example", insecure_http=True)


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\nb", "tökén", "a\x00"])
def test_invalid_tokens(token):
    """An invalid token is refused and not shown."""
    with pytest.raises(CredentialError) as caught:
        Client(token=token)

    assert not token.strip() or token not in str(caught.value)


def test_whitespace_around_a_token_is_removed(server):
    """A line end that was pasted with a token has no effect."""
    with Client(token=f" {TOKEN}\n", base_url=server.url) as client:
        get_account(client)

    assert f"Bearer {TOKEN}" == server.requests[0].headers["authorization"]


def test_a_redirect_is_not_followed(server):
    """The token is not sent to the target of a redirect."""
    other = RecordingServer()
    server.default = Answer(302, headers={"Location": f"{other.url}/account"})
    with Client(token=TOKEN, base_url=server.url) as client, pytest.raises(ApiError, match="redirects to http"):
        get_account(client)
    other.close()

    assert 1 == len(server.requests)
    assert [] == other.requests


def test_an_echoed_token_is_not_passed_on(server):
    """If the API's error repeats the token, the client's error does not."""
    server.default = Answer(400, body=f'{{"title": "{TOKEN}", "detail": "you sent {TOKEN}"}}'.encode())
    with Client(token=TOKEN, base_url=server.url) as client, pytest.raises(ApiError) as caught:
        get_account(client)

    assert TOKEN not in f"{caught.value} {caught.value!r} {caught.value.to_dict()} {client!r} {vars(caught.value)}"
    assert "you sent [hidden]" in caught.value.message


def test_an_answer_that_is_not_json(server):
    """A captive portal's page with status 200 gives an error that names the content type."""
    server.default = Answer(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with Client(token=TOKEN, base_url=server.url) as client, pytest.raises(ApiError, match=r"is not JSON \(text/html"):
        get_account(client)


def test_proxies_of_the_environment(monkeypatch, server):
    """A proxy is used for https and for other hosts, never for loopback."""
    proxy = RecordingServer()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    proxy.default = Answer(403, keep=False)
    with Client(token=TOKEN, base_url=server.url) as client:
        get_account(client)
    with Client(token=TOKEN, base_url="https://api.invalid/v1", clock=SleepRecorder()) as client:
        with pytest.raises(TransportError):
            get_account(client)
    with Client(token=TOKEN, base_url="http://api.invalid/v1", insecure_http=True) as client:
        with pytest.raises(ApiError):
            get_account(client)
    monkeypatch.setenv("NO_PROXY", "api.invalid")
    with Client(token=TOKEN, base_url="https://api.invalid/v1", clock=SleepRecorder()) as client:
        with pytest.raises(TransportError):
            get_account(client)
    proxy.close()

    methods = [(request.method, request.target) for request in proxy.requests]
    assert {("CONNECT", "api.invalid:443"), ("GET", "http://api.invalid/v1/account")} == set(methods)
    assert all(TOKEN not in str(r.headers) for r in proxy.requests if r.method == "CONNECT")
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("status", "hint"),
    [(407, "export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"), (403, "export NO_PROXY=api.invalid")],
)
def test_a_proxy_that_refuses_the_request(monkeypatch, status, hint):
    """The call is not retried. The message names the proxy without its password, and the hint says what to set."""
    proxy = RecordingServer()
    proxy.default = Answer(status, keep=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://name:marked-password@127.0.0.1:{proxy.port}")
    with Client(token=TOKEN, base_url="https://api.invalid/v1", clock=SleepRecorder()) as client:
        with pytest.raises(TransportError) as caught:
            get_account(client)
    assert f"proxy 127.0.0.1:{proxy.port}: {status}" in caught.value.message
    assert hint in caught.value.hint
    assert "marked-password" not in str(caught.value.to_dict())
    assert 1 == len(proxy.requests)
    proxy.close()


def test_an_unreachable_proxy(monkeypatch):
    """The error for a refused connection names the proxy, not the API."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with Client(token=TOKEN, base_url="https://api.invalid/v1", clock=SleepRecorder()) as client:
        with pytest.raises(TransportError, match=f"proxy 127.0.0.1:{port}: ") as caught:
            get_account(client)

    assert "check HTTPS_PROXY" in caught.value.hint


def test_an_untrusted_certificate(tmp_path):
    """Nothing is sent to an https server without a trusted certificate, and the error gives the reason."""
    import ssl
    import threading

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run([*command, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    received = []

    def serve(listener):
        for _ in range(5):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    with context.wrap_socket(connection, server_side=True) as secured:
                        received.append(secured.recv(1000))
                except (ssl.SSLError, OSError):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/v1"
        with (
            Client(token=TOKEN, base_url=url, clock=SleepRecorder()) as client,
            pytest.raises(TransportError) as caught,
        ):
            get_account(client)
        thread.join(5)

    assert "certificate verify failed" in caught.value.message
    assert [] == received


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        (None, None),
        ("", None),
        ("null", None),
        ("https://api.replicate.com/v1/predictions?cursor=cD0y%3D", "cD0y="),
        ("http://api.replicate.com/v1/deployments?cursor=x", "x"),
    ],
)
def test_cursors(link, cursor):
    """Only the cursor of a link is used; "null" ends a list, and an http link to the API's host is accepted."""
    assert cursor == next_cursor({"next": link}, "https://api.replicate.com/v1")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("https://evil.example/v1/predictions?cursor=x", "is on another host"),
        ("//evil.example/?cursor=x", "is on another host"),
        ("https://api.replicate.com.evil.example/?cursor=x", "is on another host"),
        ("https://api.replicate.com/v1/predictions", "has no cursor"),
        ({"a": 1}, "is not a URL"),
    ],
)
def test_invalid_cursors(link, message):
    """A link to another host, or an invalid link, ends the pages with an error."""
    with pytest.raises(ApiError, match=message):
        next_cursor({"next": link}, "https://api.replicate.com/v1")


@pytest.mark.parametrize(
    "host",
    ["a" * 70 + ".", ".", "a..", "xn--.", "a." * 200, "a b.", "\u00fc.", "%72."],
)
def test_invalid_hosts(host):
    """A URL with an invalid host is refused before a DNS lookup."""
    base = httpx.URL("https://api.replicate.com/v1")
    with pytest.raises(UsageError, match="expected a URL"):
        place(f"https://{host}/x.png", base, function="download")


@pytest.mark.parametrize(
    "host", ["replicate.delivery", "a" * 63 + ".replicate.delivery", "pbxt_1-a.replicate.delivery"]
)
def test_hosts_of_outputs(host):
    """URLs in the API's answers are fetched with the token."""
    base = httpx.URL("https://api.replicate.com/v1")

    assert place(f"https://{host}/x.png", base, function="download")[1]


def test_page_links_behind_a_gateway():
    """The API's links name the API's host, not the gateway's; only their cursor is used."""
    link = {"next": "https://api.replicate.com/v1/predictions?cursor=x"}

    assert "x" == next_cursor(link, "https://gateway.example/v1/account/name/replicate")


@pytest.mark.parametrize(
    ("base", "url", "with_token"),
    [
        ("https://gateway.example/v1/ours/replicate", "https://gateway.example/v1/theirs/replicate/x", None),
        ("https://gateway.example/v1/ours/replicate", "https://gateway.example/v1/oursandmore/x", None),
        ("https://gateway.example/ours/v1", "https://gateway.example/x", None),
        ("https://gateway.example/ours/v1", "https://gateway.example/ours/stream/x", True),
        ("https://gateway.example/v1", "https://gateway.example/stream/x", True),
        ("http://127.0.0.1:1/v1/ours/replicate", "http://127.0.0.1:1/stream/x", True),
        ("https://gateway.example/v1/ours/replicate", "https://replicate.delivery/x", True),
    ],
)
def test_paths_of_a_gateway(base, url, with_token):
    """Other paths of a gateway may belong to other parties: nothing is fetched there, and they never get the token."""
    if with_token is None:
        with pytest.raises(UsageError, match="is not an address of Replicate"):
            place(url, httpx.URL(base), function="download")
    else:
        assert (httpx.URL(url), with_token) == place(url, httpx.URL(base), function="download")
