"""Signatures of webhooks, computed by hand, are accepted, or refused with a reason."""

import base64
import hmac
import time

import httpx
import pytest

import kosmolua
from kosmolua.errors import ArgumentError, CredentialError, WebhookError

KEY = b"0123456789abcdefghijklmn"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = '{"id":"ufawqhfynnddngldkgtslldrkq","status":"succeeded","output":"Grüße"}'.encode()
NOW = 1_767_225_600


def signature(body=BODY, key=KEY, identifier="msg_1", stamp=NOW):
    signed = b"%s.%d.%s" % (identifier.encode(), stamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()


def headers(**changed):
    made = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature()}
    return {**made, **{f"webhook-{name}": value for name, value in changed.items()}}


def verify(given, body=BODY, secret=SECRET, now=NOW, **options):
    return kosmolua.verify_webhook(given, body, secret, now=now, **options)


def refusal(given, **options):
    with pytest.raises(WebhookError) as caught:
        verify(given, **options)
    assert ("webhook_refused", 1) == (caught.value.code, caught.value.exit_status)
    assert SECRET[6:] not in str(caught.value.to_dict())
    return caught.value.reason


def test_a_known_signature():
    """The signature of a fixed text and secret, computed with another tool, is accepted."""
    # printf '%s' 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W.1674087231.{"test": 2432232314}' |
    #   openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdefghijklmn -binary | base64
    given = {
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "webhook-timestamp": "1674087231",
        "webhook-signature": "v1,PEjVAEUOu2lpkYPqXhmeDnLAF6CiEkJj2IG57FWsmwE=",
    }

    assert given["webhook-id"] == verify(given, b'{"test": 2432232314}', now=1674087231)


@pytest.mark.parametrize(
    "given",
    [
        headers(),
        {name.upper(): value for name, value in headers().items()},
        {name.title().encode(): value.encode() for name, value in headers().items()},
        httpx.Headers(headers()),
        {"Host": "x", "Content-Type": "application/json", **headers()},
        headers(signature=f"v2,nonsense v1,AAAA {signature()} v1a,more"),
        headers(signature=f"{signature(key=b'an older key')} {signature()}"),
    ],
)
def test_valid_webhooks_are_accepted(given):
    """Header names in any case, headers from any library, and further signatures are accepted; the check returns the
    id.
    """
    assert "msg_1" == verify(given)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(kind):
    """The body can be any bytes-like object."""
    assert "msg_1" == verify(headers(), kind(BODY))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "missing"),
        (headers(id=""), "missing"),
        (headers(timestamp="  "), "missing"),
        (headers(signature=None), "missing"),
        (headers(timestamp="yesterday"), "malformed"),
        (headers(timestamp="-5"), "malformed"),
        (headers(timestamp="1e9"), "malformed"),
        (headers(timestamp="٣"), "malformed"),
        (headers(timestamp="9" * 5000), "malformed"),
        (headers(signature="nonsense"), "malformed"),
        (headers(signature=signature().replace("v1", "v9")), "malformed"),
        (headers(signature=signature().removeprefix("v1,")), "malformed"),
        (headers(signature="v1,"), "signature"),
        (headers(signature="v1,ümlaut \ud800"), "signature"),
        (headers(signature=signature()[:-1]), "signature"),
        (headers(signature=signature(key=b"another")), "signature"),
        (headers(signature=signature(identifier="msg_2")), "signature"),
        (headers(id="msg_2"), "signature"),
        (headers(id="\ud800"), "signature"),
        (headers(timestamp=str(NOW + 1)), "signature"),
    ],
)
def test_invalid_webhooks_are_refused(given, expected):
    """A missing, unreadable or wrong header is refused, and the error gives the reason."""
    assert expected == refusal(given)


@pytest.mark.parametrize("body", [b"", BODY + b"\n", BODY[:-1], BODY.replace(b"succeeded", b"failed")])
def test_a_changed_body(body):
    """A body with one byte more, fewer or different is refused."""
    assert "signature" == refusal(headers(), body=body)


def test_another_accounts_webhook():
    """A valid webhook of another account is refused."""
    other = "whsec_" + base64.b64encode(b"of another account......").decode()

    assert "signature" == refusal(headers(), secret=other)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(NOW + 300, None), (NOW - 300, None), (NOW + 301, "old"), (NOW - 301, "future"), (NOW + 1e9, "old")],
)
def test_the_age_of_a_webhook(now, expected):
    """The time may differ by up to five minutes in both directions."""
    assert expected == (refusal(headers(), now=now) if expected else verify(headers(), now=now) and None)


def test_tolerance():
    """The tolerance can be set, also to infinity."""
    assert "old" == refusal(headers(), now=NOW + 2, tolerance=1)
    assert "msg_1" == verify(headers(), now=NOW + 1e9, tolerance=float("inf"))


def test_the_age_of_an_unsigned_body_is_not_revealed():
    """The age of a message without a valid signature is not revealed."""
    assert "signature" == refusal(headers(signature=signature(key=b"another")), now=NOW + 10_000)


def test_the_default_clock():
    """Without `now` the current time is used."""
    assert "old" == refusal(headers(), now=None)


@pytest.mark.parametrize("body", ["text", BODY.decode(), None, {"id": 1}])
def test_a_decoded_body(body):
    """Text and objects are refused, because their original bytes are unknown."""
    with pytest.raises(ArgumentError, match="expected the body as bytes, as it was received, got "):
        verify(headers(), body)


@pytest.mark.parametrize("secret", ["", "whsec_", SECRET[6:], "whsec_not base64", "whsec_ünicode", "whsec_AAA"])
def test_an_invalid_secret(secret):
    """The error for an invalid secret does not show it."""
    with pytest.raises(CredentialError, match="it is not shown here") as caught:
        verify(headers(), secret=secret)

    assert not secret or secret[6:] == "" or secret[6:] not in str(caught.value.to_dict())


def test_space_around_a_secret():
    """White space around a secret from a file or variable is removed."""
    assert "msg_1" == verify(headers(), secret=f" {SECRET}\n")


def test_a_webhook_is_accepted_once():
    """With a store of ids a second delivery is refused, unless the first was forgotten after a failure."""
    seen = kosmolua.SeenWebhooks()
    now = int(time.time())
    given = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(stamp=now),
    }

    assert "msg_1" == kosmolua.verify_webhook(given, BODY, SECRET, seen=seen)
    with pytest.raises(WebhookError, match="the webhook was received before") as caught:
        kosmolua.verify_webhook(given, BODY, SECRET, seen=seen)
    seen.forget("msg_1")
    assert "msg_1" == kosmolua.verify_webhook(given, BODY, SECRET, seen=seen)
    assert "replay" == caught.value.reason


def test_a_forged_webhook_is_not_remembered():
    """If a forged webhook were remembered, anyone could block a real one."""
    kept = []

    class Store:
        def remember(self, identifier, until):
            kept.append((identifier, until))
            return True

    with pytest.raises(WebhookError):
        verify(headers(signature="v1,AAAA"), seen=Store())
    assert "msg_1" == verify(headers(), seen=Store(), tolerance=100)

    assert [("msg_1", NOW + 200)] == kept
