"""Which failed requests are resent, and with which messages. Errors here cost money."""

import json
import socket

import httpx
import pytest
from recording_server import Answer
from sending import send
from sleep_recorder import SleepRecorder

from kosmolua.errors import ApiError, TransportError, UncertainError
from kosmolua.gate.functions import resolve
from kosmolua.replicate.client import Client
from kosmolua.replicate.retry import ATTEMPTS, RetryTransport
from kosmolua.replicate.structs import decode_arguments
from kosmolua.replicate.wire import Origin, Request

CREATE = ("create_prediction", {"version": "v", "input": {"text": "a"}})
GET = ("get_prediction", {"prediction_id": "p"})


@pytest.fixture
def clock():
    return SleepRecorder()


@pytest.fixture
def client(server, clock):
    with Client(token="r8_token", base_url=server.url, clock=clock) as made:
        yield made


def request_length(client, name, arguments):
    """The length of the request in bytes."""
    operation = resolve(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        other = Client(token="r8_token", base_url=url, clock=SleepRecorder())
        import threading

        sizes = []

        def take():
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(0.2)
                data = b""
                try:
                    while piece := connection.recv(65536):
                        data += piece
                except TimeoutError:
                    pass
                sizes.append(len(data))

        thread = threading.Thread(target=take)
        thread.start()
        with pytest.raises(TransportError):
            other.send(operation, decode_arguments(operation, arguments))
        thread.join(5)
        other.close()
    return sizes[0]


def test_a_create_broken_at_every_byte_of_the_request(server, client):
    """If the connection breaks at any byte of a create request, the server sees only one connection."""
    length = request_length(client, *CREATE)
    assert 200 < length < 400

    for count in range(length + 1):
        server.connections, server.swallow = 0, count
        with Client(token="r8_token", base_url=server.url, clock=SleepRecorder()) as fresh:
            with pytest.raises(TransportError) as caught:
                send(fresh, *CREATE)

        assert 1 == server.connections, count
        assert isinstance(caught.value, UncertainError), count
    assert [] == server.requests


def test_a_create_broken_at_every_byte_of_the_answer(server, client):
    """If the answer to a create breaks at any byte, the server sees one request, and the error says to check the
    account.
    """
    whole = Answer(status=201, body=b'{"id": "p", "status": "starting"}')

    for count in range(len(whole.encode())):
        server.requests.clear()
        server.answers.append(Answer(status=201, body=whole.body, cut=count))
        with pytest.raises(UncertainError) as caught:
            send(client, *CREATE)

        assert 1 == len(server.requests), count
        assert "The prediction may have been created" in caught.value.message
        assert "list_predictions --created_after=20" in caught.value.hint


def test_a_read_broken_at_every_byte_is_retried(server, client):
    """A broken GET is resent until its answer is complete; a truncated body is never treated as complete."""
    whole = Answer(body=b"12345678")

    for count in range(len(whole.encode())):
        server.answers += [Answer(body=whole.body, cut=count), whole]
        assert 12345678 == send(client, *GET)
    assert 2 * len(whole.encode()) == len(server.requests)


@pytest.mark.parametrize("name", ["get_model_readme", "download_file"])
def test_text_and_files_are_never_truncated(server, client, name):
    """A text or a file is complete, or is requested again."""
    whole = Answer(body=b"some text", headers={"Content-Type": "text/plain"})
    model = {"model_owner": "a", "model_name": "b"}
    file = {"file_id": "f", "owner": "o", "expiry": 1, "signature": "s"}

    for count in range(len(whole.encode())):
        server.answers += [Answer(body=whole.body, headers=whole.headers, cut=count), whole]
        assert send(client, name, file if name == "download_file" else model) in {"some text", b"some text"}


def test_a_read_that_is_never_complete(server, client):
    """The failure is reported after the last attempt; nothing was changed."""
    server.default = Answer(body=b"12345", cut=len(Answer(body=b"12345").encode()) - 2)

    with pytest.raises(TransportError, match="in the middle of its answer"):
        send(client, *GET)
    assert ATTEMPTS == len(server.requests)


def test_no_server_listens(clock):
    """Without a connection nothing was sent, and the error of a create says so after the retries."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with Client(token="t", base_url=f"http://127.0.0.1:{port}", clock=clock) as client:
        with pytest.raises(TransportError) as caught:
            send(client, *CREATE)

    assert not isinstance(caught.value, UncertainError)
    assert f"no answer from http://127.0.0.1:{port}: Connection refused" in caught.value.message
    assert "the call had no effect" in caught.value.hint
    assert ATTEMPTS - 1 == len(clock.slept)


def test_connections_that_the_server_has_closed_are_not_used(server, client):
    """If the server has closed a connection, the next create uses a new one and is sent once."""
    send(client, *CREATE)
    server.hang_up()
    send(client, *CREATE)

    assert (2, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(429, headers={"Retry-After": "7"}), 7),
        (Answer(429, body=b'{"detail": "x", "retry_after": 5}'), 5),
        (Answer(429, body=b'{"detail": "Request was throttled. Expected available in 1 second."}'), 1),
        (Answer(429, body=b'{"detail": "Request was throttled. Your rate limit resets in ~30s."}'), 30),
        (Answer(429, headers={"Retry-After": "3"}, body=b'{"retry_after": 9}'), 3),
    ],
    ids=["header", "body", "words", "words-about", "header-first"],
)
@pytest.mark.parametrize("call", [CREATE, GET], ids=["create", "get"])
def test_429_is_retried_after_the_requested_time(server, client, clock, answer, seconds, call):
    """The server did not execute the request, so any method is resent after the requested time."""
    server.answers.append(answer)

    assert {"id": "made"} == send(client, *call)

    assert 2 == len(server.requests)
    (slept,) = clock.slept
    assert seconds <= slept <= seconds + 0.1


def test_429_without_a_time_backs_off(server, client, clock):
    """Each wait is longer than the previous one, and the number of attempts is limited."""
    server.default = Answer(429, body=b"")

    with pytest.raises(ApiError) as caught:
        send(client, *CREATE)

    assert (429, "rate_limited") == (caught.value.status, caught.value.code)
    assert ATTEMPTS == len(server.requests)
    assert [0.25, 0.5, 1.0, 2.0] <= clock.slept
    assert all(slept <= 8 for slept in clock.slept)


def test_a_long_retry_after_is_an_error(server, client, clock):
    """If the server asks for more than a minute, the error has the requested time."""
    server.default = Answer(429, headers={"Retry-After": "3600"})

    with pytest.raises(ApiError) as caught:
        send(client, *CREATE)

    assert (1, [], 3600) == (len(server.requests), clock.slept, caught.value.retry_after)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_retried_only_for_reads(server, client, status):
    """GET and QUERY are retried after a server error; create, update and delete are sent once."""
    for name, arguments in (GET, ("search_models", {"body": "x"})):
        server.answers.append(Answer(status))
        assert {"id": "made"} == send(client, name, arguments)
    server.requests.clear()

    model = {"model_owner": "a", "model_name": "b"}
    for name, arguments in (CREATE, ("update_model", model), ("delete_model", model)):
        server.answers.append(Answer(status, body=b"<html><title>Bad Gateway</title></html>"))
        with pytest.raises(ApiError) as caught:
            send(client, name, arguments)
        assert (status, "server_error") == (caught.value.status, caught.value.code)
    assert 3 == len(server.requests)


def test_a_blocking_create_is_not_interrupted():
    """The client waits longer than the API may delay the answer."""
    waits = {}

    class Recorder(httpx.BaseTransport):
        def handle_request(self, request):
            waits[request.headers.get("prefer")] = request.extensions["timeout"]["read"]
            return httpx.Response(201, json={"id": "made"})

    client = Client(token="t", base_url="http://localhost", transport=Recorder())
    for prefer in ("wait", "wait=1", "wait=60"):
        send(client, "create_prediction", {**CREATE[1], "prefer": prefer})
    send(client, *CREATE)

    assert waits["wait"] > 60
    assert waits["wait=60"] > 60
    assert waits["wait=1"] > 1
    assert waits[None] >= 30


def test_an_interrupt_passes_through():
    """Ctrl-C is not reported as a network failure."""

    class Interrupted:
        def send(self, request):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RetryTransport(Interrupted()).send(Request("GET", Origin("http", "localhost", 80), "/", ()))


@pytest.mark.parametrize(("name", "arguments", "words"), [
    ("create_training", {"model_owner": "a", "model_name": "b", "version_id": "v", "destination": "c/d", "input": {}},
     "The training may have been created"),
    ("create_file", {"content": "x"}, "The file may have been created"),
    ("create_deployment_prediction", {"deployment_owner": "a", "deployment_name": "b", "input": {}},
     "The prediction may have been created"),
    ("cancel_prediction", {"prediction_id": "p"}, "The API may have executed the call"),
])  # fmt: skip
def test_possible_effects_are_named(server, client, name, arguments, words):
    """The message names what may exist, and the hint says how to look for it."""
    server.answers.append(Answer(cut=5))

    with pytest.raises(UncertainError) as caught:
        send(client, name, arguments)

    assert words in caught.value.message
    assert caught.value.hint


def test_a_create_with_an_answer_that_is_not_json(server, client):
    """A 201 without JSON is as uncertain as no answer."""
    server.answers.append(Answer(201, body=b"<html>login</html>", headers={"Content-Type": "text/html"}))

    with pytest.raises(UncertainError, match=r"is not JSON \(text/html"):
        send(client, *CREATE)


def test_a_result_with_a_field_error(server, client):
    """An answer with a field called error is a result, not an error."""
    server.answers.append(Answer(body=json.dumps({"error": "a field", "status": "failed"}).encode()))

    assert {"error": "a field", "status": "failed"} == send(client, *GET)
