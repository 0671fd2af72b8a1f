"""Outputs are fetched from where the API delivers them, and from nowhere else."""

import pytest

from kosmolua.emulator import Emulator
from kosmolua.errors import TransportError, UsageError
from kosmolua.replicate.catalogue import find
from kosmolua.replicate.client import Client, in_process
from kosmolua.replicate.structs import decode_arguments


@pytest.fixture
def client():
    with Client(token="t", base_url="http://emulator.localhost/v1", transport=in_process(Emulator())) as made:
        yield made


@pytest.fixture
def picture(client):
    """The URL of an image that a prediction made."""
    operation = find("create_model_prediction")
    arguments = {
        "model_owner": "black-forest-labs", "model_name": "flux-schnell", "input": {"prompt": "x"}, "prefer": "wait",
    }  # fmt: skip
    return client.send(operation, decode_arguments(operation, arguments)).data["output"][0]


def test_an_output(client, picture):
    """Its bytes, as they are."""
    assert client.fetch(picture, 1_000_000).startswith(b"\x89PNG")


def test_more_than_is_wanted(client, picture):
    """It is not handed over."""
    with pytest.raises(UsageError, match="more than 100"):
        client.fetch(picture, 100)


def test_an_output_that_is_gone(client):
    """The server's status is told."""
    with pytest.raises(TransportError, match="the server answered 404"):
        client.fetch("http://emulator.localhost/delivery/nothing/out.png", 100)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.png",
        "http://replicate.delivery/x.png",
        "https://replicate.delivery.example.com/x.png",
        "https://notreplicate.delivery/x.png",
        "https://x.replicate.delivery@example.com/x.png",
        "https://example.com\\@replicate.delivery/x.png",
        "https://example.com#.replicate.delivery/x.png",
        "http://emulator.localhost:81/x.png",
        "https://emulator.localhost/x.png",
        "file:///etc/passwd",
        "//replicate.delivery/x.png",
        "https://[::1/x.png",
        "\x1b[2J",
        "",
    ],
)
def test_another_place(server, client, url):
    """No request is made, whatever the URL looks like, and the refusal shows it without control characters."""
    with pytest.raises(UsageError, match="is not where outputs are delivered from") as refusal:
        client.fetch(url, 100)
    assert "\x1b" not in str(refusal.value)
