"""The API over TLS, as it is: connections kept, answers whole, a create in doubt where one breaks off."""

import json

import pytest
from recording_server import Answer
from secure_server import SecureServer, certificate_for
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.errors import TransportError, UncertainError
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.replicate.retry import ATTEMPTS
from kosmolua.replicate.structs import decode_arguments

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
    """Reads and writes, small answers and large ones; the token goes with each."""
    large = {"id": "p", "output": ["x" * 1000] * 3000}
    secure.answers.extend(Answer(201, json.dumps(each).encode()) for each in ({"id": "a"}, large, {"id": "b"}))

    assert [{"id": "a"}, large, {"id": "b"}] == [send(client, *call) for call in (CREATE, GET, CREATE)]
    assert ["POST", "GET", "POST"] == [request.method for request in secure.requests]
    assert {f"Bearer {TOKEN}"} == {request.headers["authorization"] for request in secure.requests}
    assert 1 == secure.connections


def test_a_create_is_in_doubt_wherever_its_answer_breaks_off(secure, client):
    """Not sent again, whether the server ends within the head or within the body."""
    whole = Answer(201, b'{"id": "p1", "status": "starting"}')
    length = len(whole.encode())
    for cut in range(length):
        secure.answers.append(Answer(whole.status, whole.body, cut=cut))
        with pytest.raises(UncertainError):
            send(client, *CREATE)

    assert length == len(secure.requests)
    secure.answers.append(whole)
    assert "p1" == send(client, *CREATE)["id"]


def test_a_read_is_read_again(secure, client):
    """As over plain HTTP, on another connection."""
    secure.answers.extend(Answer(200, b'{"id": "p"}', cut=cut) for cut in (30, 0, None))

    assert {"id": "p"} == send(client, *GET)
    assert 3 == len(secure.requests)
    assert 3 == secure.connections


def test_what_is_fetched_comes_in_pieces(secure, client):
    """A file of several megabytes, byte by byte the same."""
    content = bytes(range(256)) * 20_000
    secure.answers.append(Answer(200, content, {"Content-Type": "image/png"}))
    url = f"{secure.url.removesuffix('/v1')}/delivery/f"
    opened = client.open(catalogue.DOWNLOAD, decode_arguments(catalogue.DOWNLOAD, {"url": url}))

    assert content == b"".join(opened)


def test_idle_connections_that_the_server_has_closed_are_not_used(secure, client):
    """A write never meets one."""
    for _ in range(5):
        send(client, *CREATE)
        secure.hang_up()

    assert 5 == len(secure.requests)


def test_another_name_is_not_believed(secure, certificate):
    """A certificate for one host is none for another."""
    with Client(token=TOKEN, base_url=secure.url.replace("localhost", "127.0.0.1"), clock=SleepRecorder()) as client:
        with pytest.raises(TransportError, match="certificate verify failed"):
            send(client, *GET)

    assert [] == secure.requests
    assert secure.connections <= ATTEMPTS
