"""The check accepts headers in the forms that web frameworks use."""

import base64
import hmac

import pytest

import kosmolua


@pytest.mark.parametrize(
    "shape",
    [
        dict,
        lambda pairs: pairs,
        lambda pairs: [(key.encode(), value.encode()) for key, value in pairs],
        iter,
        lambda pairs: {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in pairs},
    ],
    ids=["mapping", "pairs", "ASGI", "iterator", "WSGI"],
)
def test_shapes_of_headers(shape):
    """Headers are accepted in the form of each framework."""
    key, body, stamp = b"0123456789abcdef", b"{}", "1700000000"
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = base64.b64encode(hmac.digest(key, f"msg_1.{stamp}.".encode() + body, "sha256")).decode()
    pairs = [("webhook-id", "msg_1"), ("webhook-timestamp", stamp), ("webhook-signature", f"v1,{signature}")]

    assert "msg_1" == kosmolua.verify_webhook(shape(pairs), body, secret, now=1700000000)
    assert "msg_1" == kosmolua.verify_webhook(shape(pairs), body, secret.encode(), now=1700000000)


@pytest.mark.parametrize("headers", [None, 1, "text", [1, 2]])
def test_invalid_headers(headers):
    """Headers in other forms are an error, and so is a missing secret."""
    with pytest.raises(kosmolua.ArgumentError, match="expected headers as a mapping or as pairs"):
        kosmolua.verify_webhook(headers, b"{}", "whsec_MDEyMw==")
    with pytest.raises(kosmolua.CredentialError):
        kosmolua.verify_webhook({}, b"{}", None)
