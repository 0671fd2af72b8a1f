"""Programs that cannot set the API's address use an emulator or a recorder as their proxy."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from official import from_npm
from test_official_clients import FLOWS, flow, official_javascript, official_python

from kosmolua.emulator import Emulator, Player, running
from kosmolua.emulator.certificate import make_certificate, server_context
from kosmolua.host.recorder import Recorder

__all__ = ["official_javascript", "official_python"]

API = "https://api.replicate.com/v1"
TOKEN = "r8_" + "A1b2C3d4" * 4
SMALL = {"prompt": "a fox", "seed": 1, "width": 16, "height": 16}
REFUSED = "403 Only api.replicate.com:443 is served here; name other hosts in NO_PROXY"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The paths of a certificate for the API's name and of the certificate's key."""
    return make_certificate(str(tmp_path_factory.mktemp("tunnel")), "api.replicate.com")


@contextmanager
def proxying(application, certificate):
    with running(application, proxied=server_context(*certificate)) as url:
        yield url.removesuffix("/v1")


def client(proxy, certificate, token=TOKEN):
    context = ssl.create_default_context(cafile=certificate[0])
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=API, proxy=proxy, verify=context, headers=headers, timeout=30)


def picture(api):
    """Run a program that only knows the API by its own name: it creates one prediction and reads the file."""
    made = api.post(
        "models/black-forest-labs/flux-schnell/predictions", json={"input": SMALL}, headers={"Prefer": "wait"}
    )
    url = made.json()["output"][0]
    return url, api.get(url).content


def test_the_api_by_its_own_name(certificate):
    """URLs in answers also have the API's own name, and one connection takes several requests."""
    with proxying(Emulator(speed=100), certificate) as proxy, client(proxy, certificate) as api:
        url, content = picture(api)
        kept = api.get("account").headers.get("connection")

    assert (url.startswith("https://api.replicate.com/"), content[:4], kept) == (True, b"\x89PNG", None)


def test_the_same_server_still_has_an_address(certificate):
    """Programs that can set the address use it at the same time as programs that use the proxy."""
    with proxying(Emulator(), certificate) as proxy, client(proxy, certificate) as api:
        through = api.get("account").json()
        direct = httpx.get(f"{proxy}/v1/account", headers={"Authorization": "Bearer x"}).json()

    assert through == direct


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://api.replicate.com:8443/v1/account", "https://stream.replicate.com/"]
)
def test_other_hosts_are_refused(certificate, url):
    """A tunnel to another host is refused, nothing is sent there, and the client's error says why."""
    with proxying(Emulator(), certificate) as proxy, client(proxy, certificate) as api:
        with pytest.raises(httpx.ProxyError) as refused:
            api.get(url)

    assert str(refused.value) == REFUSED


def test_without_the_option_it_refuses_to_be_a_proxy():
    """A server that was not started as a proxy refuses CONNECT and says how to start one."""
    with running(Emulator()) as url, httpx.Client(proxy=url.removesuffix("/v1")) as api:
        with pytest.raises(httpx.ProxyError) as refused:
            api.get(f"{API}/account")

    assert str(refused.value) == "403 This server is not a proxy; start it with --proxy"


def test_nested_tunnels_are_refused(certificate):
    """CONNECT inside a tunnel is refused."""
    with proxying(Emulator(), certificate) as proxy:
        port = int(proxy.rpartition(":")[2])
        outer = http.client.HTTPSConnection(
            "127.0.0.1", port, context=ssl.create_default_context(cafile=certificate[0]), timeout=10
        )
        outer.set_tunnel("api.replicate.com", 443)
        outer.request("CONNECT", "api.replicate.com:443")
        answer = outer.getresponse()
        outer.close()

    assert (answer.status, answer.reason) == (403, "This server is not a proxy; start it with --proxy")


def test_a_client_that_does_not_trust_the_certificate(certificate):
    """The connection of such a client ends, and the server continues, also after a client that sends no TLS."""
    with proxying(Emulator(), certificate) as proxy:
        with httpx.Client(proxy=proxy) as stranger, pytest.raises(httpx.ConnectError, match="verify failed"):
            stranger.get(f"{API}/account")
        with socket.create_connection(("127.0.0.1", int(proxy.rpartition(":")[2])), timeout=10) as raw:
            raw.sendall(b"CONNECT API.replicate.com:443 HTTP/1.1\r\n\r\n")
            established = raw.recv(100)
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                while raw.recv(1000):
                    pass
        with client(proxy, certificate) as api:
            after = api.get("account").status_code

    assert (established, after) == (b"HTTP/1.1 200 Connection established\r\n\r\n", 200)


@pytest.mark.parametrize(
    ("name", "accepted"), [("api.replicate.com", True), ("x.localhost", True), ("example.com", False)]
)
def test_the_certificate_is_valid_for_no_other_hosts(certificate, tmp_path, name, accepted):
    """Clients trust the certificate as an authority, and it is limited to the API's name and localhost."""
    key, request, made = (str(tmp_path / part) for part in ("key.pem", "request.pem", "made.pem"))
    extensions = tmp_path / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}\n")

    def openssl(*words):
        return subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)

    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", request)
    signer = ["-CA", certificate[0], "-CAkey", certificate[1], "-CAcreateserial", "-extfile", str(extensions)]
    openssl("x509", "-req", "-in", request, "-out", made, *signer)
    checked = openssl("verify", "-CAfile", certificate[0], made)

    assert (checked.returncode == 0, "permitted subtree violation" in checked.stderr) == (accepted, not accepted)


def test_a_recorder_as_the_proxy(certificate, tmp_path):
    """A program without an address setting is recorded and replayed through the proxy; the cassette has no token."""
    tape = tmp_path / "tape.jsonl"
    with running(Emulator(speed=100)) as real, proxying(Recorder(real, str(tape)), certificate) as proxy:
        with client(proxy, certificate) as api:
            _, recorded = picture(api)
    with proxying(Player(str(tape)), certificate) as proxy, client(proxy, certificate) as api:
        _, replayed = picture(api)

    assert (recorded[:4], replayed, TOKEN in tape.read_text()) == (b"\x89PNG", recorded, False)


@contextmanager
def commanded(*arguments):
    """The process of a serving command, and its first output line."""
    command = [sys.executable, "-m", "kosmolua", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def test_the_commands(tmp_path, official_python, official_javascript):
    """The first line has all that programs need; the official clients run unchanged through emulator and recorder."""
    undici = from_npm("undici@6.29.1", variable="KOSMOLUA_UNDICI")
    tape = tmp_path / "tape.jsonl"
    with commanded("emulator:serve", "--speed", "20") as real:
        with commanded("emulator:record", "--proxy", "--to", real["url"], "--output", str(tape)) as first:
            files = os.listdir(Path(first["certificate"]).parent)
            environment = {
                "REPLICATE_API_TOKEN": TOKEN,
                "HTTPS_PROXY": first["proxy"],
                "SSL_CERT_FILE": first["certificate"],
                "NODE_EXTRA_CA_CERTS": first["certificate"],
                "NODE_MODULES_HOME": str(official_javascript),
                "UNDICI_HOME": str(undici),
            }
            python = flow([official_python, FLOWS / "python_proxied.py"], **environment)
            preload = ["--import", FLOWS / "javascript_proxy.mjs"]
            javascript = flow(["node", *preload, FLOWS / "javascript_proxied.mjs"], **environment)

    assert files == ["certificate.pem"]
    assert ["https://api.replicate.com", "FileOutput", "PNG"] == python == javascript
    assert (TOKEN in tape.read_text(), len(tape.read_text().splitlines()) > 4) == (False, True)


def test_https_and_proxy_exclude_each_other():
    """The two options cannot be combined."""
    command = [sys.executable, "-m", "kosmolua", "emulator:serve", "--https", "--proxy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, "not allowed with argument --https" in done.stderr) == (2, True)
