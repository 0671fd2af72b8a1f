"""The API over TLS: reused connections, complete answers, and uncertain creates."""

import json
import os
import subprocess
import sys

import pytest
from recording_server import Answer
from secure_server import SecureServer, certificate_for
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.cli import main
from kosmolua.errors import ConfigurationError, TransportError, UncertainError
from kosmolua.replicate import catalogue, certificates
from kosmolua.replicate.client import Client
from kosmolua.replicate.retry import ATTEMPTS
from kosmolua.replicate.structs import decode_arguments
from kosmolua.replicate.transport import SocketTransport

TOKEN = "r8_marked_token_of_these_tests"
CREATE = ("create_prediction", {"version": "v", "input": {}})
GET = ("get_prediction", {"prediction_id": "p"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certificate_for(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    made = SecureServer(*certificate)
    yield made
    made.close()


@pytest.fixture
def client(secure):
    with Client(token=TOKEN, base_url=secure.url, clock=SleepRecorder()) as made:
        yield made


def test_one_connection_serves_many_calls(secure, client):
    """Reads and writes with small and large answers share one connection; each has the token."""
    large = {"id": "p", "output": ["x" * 1000] * 3000}
    secure.answers.extend(Answer(201, json.dumps(each).encode()) for each in ({"id": "a"}, large, {"id": "b"}))

    assert [{"id": "a"}, large, {"id": "b"}] == [send(client, *call) for call in (CREATE, GET, CREATE)]
    assert ["POST", "GET", "POST"] == [request.method for request in secure.requests]
    assert {f"Bearer {TOKEN}"} == {request.headers["authorization"] for request in secure.requests}
    assert 1 == secure.connections


def test_a_create_is_uncertain_if_its_answer_is_truncated(secure, client):
    """A create is not resent, whether the server closes within the head or within the body."""
    whole = Answer(201, b'{"id": "p1", "status": "starting"}')
    length = len(whole.encode())
    for cut in range(length):
        secure.answers.append(Answer(whole.status, whole.body, cut=cut))
        with pytest.raises(UncertainError):
            send(client, *CREATE)

    assert length == len(secure.requests)
    secure.answers.append(whole)
    assert "p1" == send(client, *CREATE)["id"]


def test_a_truncated_read_is_retried(secure, client):
    """A read is resent on another connection, as over plain HTTP."""
    secure.answers.extend(Answer(200, b'{"id": "p"}', cut=cut) for cut in (30, 0, None))

    assert {"id": "p"} == send(client, *GET)
    assert 3 == len(secure.requests)
    assert 3 == secure.connections


def test_a_file_is_fetched_in_pieces(secure, client):
    """A file of several megabytes is unchanged."""
    content = bytes(range(256)) * 20_000
    secure.answers.append(Answer(200, content, {"Content-Type": "image/png"}))
    url = f"{secure.url.removesuffix('/v1')}/delivery/f"
    opened = client.open(catalogue.DOWNLOAD, decode_arguments(catalogue.DOWNLOAD, {"url": url}))

    assert content == b"".join(opened)


def test_the_certificates_are_read_once(secure):
    """The certificates are not read for each connection, because that takes 20 ms."""
    read = []

    def context():
        read.append(1)
        return certificates.context(os.environ)

    with Client(token=TOKEN, base_url=secure.url, transport=SocketTransport(context)) as client:
        for _ in range(3):
            send(client, *GET)
            secure.hang_up()

    assert 3 == secure.connections
    assert [1] == read


def test_idle_connections_that_the_server_closed_are_not_used(secure, client):
    """A write never uses a connection that the server has closed."""
    for _ in range(5):
        send(client, *CREATE)
        secure.hang_up()

    assert 5 == len(secure.requests)


def test_a_certificate_for_another_name(secure, certificate):
    """A certificate is valid only for its own host."""
    with Client(token=TOKEN, base_url=secure.url.replace("localhost", "127.0.0.1"), clock=SleepRecorder()) as client:
        with pytest.raises(TransportError, match="certificate verify failed"):
            send(client, *GET)

    assert [] == secure.requests
    assert secure.connections <= ATTEMPTS


# Which certificates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["missing.pem", "empty.pem", "directory", "text.pem", "nul\0"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_invalid_certificates(monkeypatch, tmp_path, variable, place):
    """The error names the variable and says how to unset it."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "directory").mkdir()
    named = {variable: f"{tmp_path}/{place}"}
    with pytest.raises(ConfigurationError, match=f"{variable}: cannot use") as caught:
        certificates.context(named)

    assert caught.value.hint.endswith(f"unset {variable}")


@pytest.mark.parametrize("door", ["call", "script", "doctor"])
def test_every_interface_names_the_invalid_variable(monkeypatch, capsys, door):
    """With --json the error is one envelope; the exit status is that of a missing configuration."""
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/missing.pem")
    monkeypatch.setenv("REPLICATE_API_KEY", TOKEN)
    command = {
        "call": ["integrations:call", "replicate.get_account"],
        "script": ["lua", "-e", "return integrations.replicate.get_account{}"],
        "doctor": ["integrations:doctor", "--offline"],
    }[door]
    status = main([*command, "--json"])
    told = json.loads(capsys.readouterr().out)

    assert (4, False) == (status, told["success"])
    assert "SSL_CERT_FILE: cannot use '/missing.pem': No such file or directory" in json.dumps(told)


def test_the_hint_for_an_untrusted_certificate(secure, monkeypatch, tmp_path_factory):
    """The hint names the variable and its value."""
    other, _ = certificate_for(tmp_path_factory.mktemp("other"))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with (
        Client(token=TOKEN, base_url=secure.url, clock=SleepRecorder()) as client,
        pytest.raises(TransportError) as caught,
    ):
        send(client, *GET)

    assert "export SSL_CERT_FILE=" in caught.value.hint
    assert str(other) in caught.value.hint


def test_a_directory_of_certificates(certificate, monkeypatch, tmp_path):
    """Certificates with names in OpenSSL's form are trusted."""
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", certificate[0]], check=True, capture_output=True, text=True
    )
    (tmp_path / f"{hashed.stdout.strip()}.0").write_bytes(certificate[0].read_bytes())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    server = SecureServer(*certificate)
    with Client(token=TOKEN, base_url=server.url) as client:
        assert {"id": "made"} == send(client, *GET)
    server.close()


def test_the_store_of_the_system(secure, monkeypatch):
    """OpenSSL's default store, here SSL_CERT_FILE, is trusted through truststore."""
    context = certificates.context({"KOSMO_CERTIFICATES": "system"})
    with Client(token=TOKEN, base_url=secure.url, transport=SocketTransport(lambda: context)) as client:
        assert {"id": "made"} == send(client, *GET)

    monkeypatch.delenv("SSL_CERT_FILE")
    distrusting = certificates.context({"KOSMO_CERTIFICATES": "system"})
    with Client(
        token=TOKEN, base_url=secure.url, transport=SocketTransport(lambda: distrusting), clock=SleepRecorder()
    ) as client:
        with pytest.raises(TransportError, match="certificate verify failed") as caught:
            send(client, *GET)
    assert "export KOSMO_CERTIFICATES=system" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "before", "words"),
    [
        ("system", "import sys; sys.modules['truststore'] = None", "pip install 'kosmolua[truststore]'"),
        ("windows", "pass", "KOSMO_CERTIFICATES: expected system, got 'windows'"),
    ],
    ids=["not installed", "another value"],
)
def test_the_store_of_the_system_is_unavailable(value, before, words):
    """The error names the package to install, or the expected value."""
    program = f"""{before}
from kosmolua.replicate import certificates
try:
    certificates.context({{"KOSMO_CERTIFICATES": {value!r}}})
except Exception as error:
    print(error.message, error.hint)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert words in ran.stdout
