from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from kosmolua.emulator import Emulator, running


@pytest.fixture
def served():
    with running(Emulator()) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer x"}) as client:
        yield client


def test_a_connection_is_reused(served):
    """Two requests share a connection, also after a refused request or one with an unread body."""
    host, port = served.base_url.host, served.base_url.port
    request = b"%b /v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 4\r\n\r\nbody"
    with socket.create_connection((host, port)) as connection, connection.makefile("rb") as answers:
        statuses = []
        for method in (b"PUT", b"GET"):
            connection.sendall(request % method)
            statuses.append(int(answers.readline().split()[1]))
            length = 0
            while line := answers.readline().strip():
                if line.lower().startswith(b"content-length"):
                    length = int(line.split()[1])
            answers.read(length)

    assert [405, 200] == statuses


def test_urls_have_the_host_of_the_request(served):
    """Absolute URLs in answers have the scheme and host of the request."""
    answer = served.get("/models/replicate/hello-world", headers={"Host": "other.localhost:1"}).json()

    assert answer["url"].startswith("http://other.localhost:1/")


def test_a_chunked_upload(served):
    """A body without a length is read to its end."""
    body = (b'{"version": "none", ', b'"input": {}}')
    answer = served.post("/predictions", content=iter(body), headers={"Content-Type": "application/json"})

    assert 422 == answer.status_code


def test_a_malformed_chunk_ends_the_connection(served, capsys):
    """The request has no end then. Nothing else is printed."""
    with socket.create_connection((served.base_url.host, served.base_url.port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/predictions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer r8_x\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n{}"
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert b"" == answer
    assert "" == capsys.readouterr().err


def test_head_has_no_body(served):
    """HEAD returns the headers of GET without a body."""
    answer = served.head("/account")

    assert 200 == answer.status_code
    assert int(answer.headers["content-length"]) > 0
    assert b"" == answer.content


@pytest.mark.parametrize(("fault", "said"), [("drop", "without sending a response"), ("cut", "complete message body")])
def test_faults_break_the_connection(fault, said, served):
    """A dropped or cut answer closes the socket, and the next request works."""
    with pytest.raises(httpx.RemoteProtocolError, match=said):
        served.get("/account", headers={"X-Emulator-Fault": fault})

    assert 200 == served.get("/account").status_code


def test_a_cut_stream_breaks_the_connection(served):
    """The chunks of a cut event stream stop without a last chunk."""
    body = {"input": {"prompt": "x", "max_tokens": 4}}
    job = served.post("/models/meta/meta-llama-3-8b-instruct/predictions", json=body, headers={"Prefer": "wait"}).json()
    with pytest.raises(httpx.RemoteProtocolError):
        served.get(job["urls"]["stream"], headers={"X-Emulator-Fault": "stream-cut"})

    assert served.get(job["urls"]["stream"]).text.endswith("data: {}\n\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_serving_ends_when_asked_to(name):
    """SIGINT or SIGTERM ends the server with status 0; the URL is the only output."""
    code = (
        "import json; from kosmolua.emulator import Emulator, serve\n"
        "serve(Emulator(), ready=lambda url: print(json.dumps({'url': url}), flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as host:
        url = json.loads(host.stdout.readline())["url"]
        status = httpx.get(f"{url}/account", headers={"Authorization": "Bearer x"}).status_code
        host.send_signal(getattr(signal, name))
        out, err = host.communicate(timeout=10)

    assert 200 == status
    assert (0, "", "") == (host.returncode, out, err)


def test_the_command_shows_how_clients_use_it(tmp_path):
    """The first line of output is the URL as JSON; standard error shows the settings for each client."""
    command = [sys.executable, "-m", "kosmolua", "emulator:serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        url = json.loads(process.stdout.readline())["url"]
        told = [process.stderr.readline() for _ in range(4)]
        process.send_signal(signal.SIGTERM)

    assert 0 == process.returncode
    assert f"REPLICATE_URL={url} REPLICATE_API_TOKEN=any\n" in told[1]
    assert f"REPLICATE_BASE_URL={url.removesuffix('/v1')} REPLICATE_API_TOKEN=any\n" in told[2]
    assert f'new Replicate({{ auth: "any", baseUrl: "{url}" }})\n' in told[3]


@pytest.mark.parametrize("option", ["--https", "--proxy"])
def test_the_command_shows_how_to_use_the_certificate(tmp_path, option):
    """With a certificate, standard error lists the variables that make clients trust it and use the proxy."""
    command = [sys.executable, "-m", "kosmolua", "emulator:serve", option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        first = json.loads(process.stdout.readline())
        told = "".join(process.stderr.readline() for _ in range(5 if option == "--https" else 6))
        process.send_signal(signal.SIGTERM)

    path = first["certificate"]
    assert f"export SSL_CERT_FILE={path} NODE_EXTRA_CA_CERTS={path}\n" in told
    assert (option == "--proxy") == (f"export HTTPS_PROXY={first.get('proxy')} " in told)


def test_https_with_a_new_certificate(tmp_path):
    """`--https` prints the path of its certificate. Only clients that trust it are served, and file URLs use https."""
    command = [sys.executable, "-m", "kosmolua", "emulator:serve", "--https", "--speed", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        first = json.loads(process.stdout.readline())
        trusting = ssl.create_default_context(cafile=first["certificate"])
        with httpx.Client(base_url=first["url"], headers={"Authorization": "Bearer x"}, verify=trusting) as client:
            body = {"input": {"prompt": "x", "width": 16, "height": 16}}
            made = client.post(
                "/models/black-forest-labs/flux-schnell/predictions", json=body, headers={"Prefer": "wait"}
            ).json()
            picture = httpx.get(made["output"][0], verify=trusting).content
        with pytest.raises(httpx.ConnectError):
            httpx.get(first["url"])
        process.send_signal(signal.SIGTERM)

    assert 0 == process.returncode
    assert (True, "https://") == (first["url"].startswith("https://127.0.0.1:"), made["output"][0][:8])
    assert picture.startswith(b"\x89PNG")
    assert not Path(first["certificate"]).exists()
