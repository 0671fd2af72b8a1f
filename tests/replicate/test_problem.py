"""Error answers in any form become one type of error."""

import json

import pytest

from kosmolua.gate.functions import resolve
from kosmolua.replicate import problem

GET = resolve("get_prediction")
PROBLEM = {
    "type": "about:blank", "title": "Input validation failed", "status": 422, "detail": "- input: text is required",
    "invalid_fields": [{"field": "input", "description": "text is required"}],
}  # fmt: skip


def error(status=422, body=b"", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return problem.error(GET, status, names, json.dumps(body).encode() if not isinstance(body, bytes) else body)


def test_a_problem_document():
    """The error and its message have the title, the detail and the invalid fields."""
    found = error(422, PROBLEM, x_request_id="r1")

    assert "get_prediction: 422 Input validation failed: - input: text is required" == found.message
    assert ("invalid_input", 1, "r1") == (found.code, found.exit_status, found.request_id)
    assert PROBLEM["invalid_fields"] == found.to_dict()["invalid_fields"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, {"detail": "no such thing"}, "get_prediction: 404 Not Found: no such thing"),
        (400, {"error": "bad"}, "get_prediction: 400 Bad Request: bad"),
        (400, {"errors": [{"detail": "x"}]}, 'get_prediction: 400 Bad Request: [{"detail":"x"}]'),
        (400, ["a", "b"], 'get_prediction: 400 Bad Request: ["a","b"]'),
        (400, "just text", "get_prediction: 400 Bad Request: just text"),
        (500, b"", "get_prediction: 500 Internal Server Error"),
        (502, b"<html><head><title>502 Bad\nGateway</title>",
         "get_prediction: 502 Bad Gateway: an HTML page titled '502 Bad\\nGateway', probably from a proxy"),
        (503, b"upstream down", "get_prediction: 503 Service Unavailable: upstream down"),
        (418, {"title": "Teapot"}, "get_prediction: 418 Teapot"),
        (599, b"", "get_prediction: 599 Error"),
        (400, {"detail": "\x1b[2Jevil\n\u202e"}, "get_prediction: 400 Bad Request: [2Jevil"),
    ],
)  # fmt: skip
def test_messages(status, body, message):
    """Problem documents, other JSON, HTML and empty bodies each give one readable line."""
    assert message == " ".join(error(status, body).message.split())


def test_long_details_are_truncated():
    """A server cannot fill the terminal with a long detail."""
    assert len(error(400, {"detail": "x" * 10_000}).message) < 2200


@pytest.mark.parametrize(
    ("status", "code", "exit_status"),
    [(400, "invalid_input", 1), (401, "not_authenticated", 4), (402, "insufficient_credit", 1), (403, "api_error", 1),
     (404, "not_found", 1), (409, "invalid_input", 1), (422, "invalid_input", 1), (429, "rate_limited", 1),
     (500, "server_error", 1), (503, "server_error", 1)],
)  # fmt: skip
def test_codes(status, code, exit_status):
    """Each status has a stable code, and a rejected token gives the same exit status as a missing token."""
    found = error(status)

    assert (code, exit_status) == (found.code, found.exit_status)


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (402, {"title": "Payment required"}, "insufficient_credit"),
        (402, None, "insufficient_credit"),
        (
            429,
            {"detail": "Reduced to 6 a minute while you have less than $5.0 in credit."},
            "insufficient_credit",
        ),
        (429, {"title": "Low credits", "retry_after": 5}, "insufficient_credit"),
        (429, {"detail": "Request was throttled. Expected available in 1 second."}, "rate_limited"),
        (429, {"detail": "accredited users only"}, "rate_limited"),
    ],
)
def test_low_credit(status, document, code):
    """Low credit has a separate code and the page to add credit; ordinary throttling has its usual code."""
    found = error(status, document or b"")

    assert code == found.code
    assert (code == "insufficient_credit") == ("https://replicate.com/account/billing" in found.hint)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "2.5"}, {}, 2.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, 0.0),
        ({"retry-after": "soon"}, {"retry_after": 4}, 4.0),
        ({"retry-after": "-1"}, {}, None),
        ({"retry-after": "nan"}, {}, None),
        ({}, {"retry_after": True}, None),
        ({}, {"detail": "it took 5 seconds"}, None),
        ({}, ["retry_after"], None),
    ],
)
def test_retry_after(headers, body, seconds):
    """The time comes from the header, in seconds or as a date, then from the document, then from its text, and from
    nowhere else.
    """
    assert seconds == problem.retry_after(headers, json.dumps(body).encode())
