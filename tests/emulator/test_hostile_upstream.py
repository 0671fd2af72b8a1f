"""A recorder and an emulator handle an API or a cog server that is hostile or broken."""

import base64
import gzip
import json
import socket
import threading
import time
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest

from kosmolua.emulator import running
from kosmolua.emulator.cog.shapes import fault_of
from kosmolua.emulator.cog.wire import CogError, Wire
from kosmolua.host.recorder import LARGEST_ANSWER, Recorder, may_fetch, secrets_of

SECRET = 'a/"secret"\\that+needs=escapes'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(*parts, pause=0.0):
    """A server that answers each connection with these bytes and closes it. Yields the server's address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(sock):
            with sock:
                sock.recv(1 << 20)
                try:
                    for part in parts:
                        for piece in part if callable(getattr(part, "__next__", None)) else [part]:
                            sock.sendall(piece)
                            time.sleep(pause)
                except OSError:
                    pass

        def accept():
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def recording(real, tape, **headers):
    recorder = Recorder(f"{real}/v1", str(tape))
    with running(recorder) as url, httpx.Client(base_url=url, headers=headers, timeout=60) as api:
        yield api, recorder.tape


def lines(tape):
    return [json.loads(line) for line in tape.read_text().splitlines()[1:]]


def sized(body, more=b""):
    return OK + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\n", (b"X-%d: y\r\n" % number for number in range(1_000_000))),
        (b"HTTP/1.1 200 OK\r\nX: ", (b"y" * 65536 for _ in range(10_000))),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(1_000_000)),),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",),
        (OK + b"Content-Length: 100\r\n\r\n{}",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",),
        (OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",),
        (OK + b"Content-Length: 99999999999\r\n\r\n", (b"[" * 65536 for _ in range(10_000))),
        (OK + b"\r\n", (b" " * 65536 for _ in range(1_100))),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * (LARGEST_ANSWER + 1)),),
        (b"SSH-2.0-OpenSSH\r\n",),
        (b"",),
    ],
)
def test_invalid_answers(tmp_path, parts):
    """The program gets 502 with the reason, within limits of bytes and time; nothing is recorded."""
    tape = tmp_path / "tape.jsonl"
    with answering(*parts) as real, recording(real, tape) as (api, _):
        answer = api.get("account")

    assert (502, "Bad gateway") == (answer.status_code, answer.json()["title"])
    assert [] == lines(tape)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 600 + b"1" + b"}" * 600,
        b"[" + b"{}," * 300_000 + b"{}]",
        b"<html>" + b"x" * 100,
        b"\xff\xfe",
        b"",
    ],
)
def test_answers_that_a_cassette_cannot_hold(tmp_path, body):
    """The answers are passed on unchanged, so that the program gets what it paid for, but are not recorded."""
    tape = tmp_path / "tape.jsonl"
    with answering(sized(body)) as real, recording(real, tape) as (api, written):
        answer = api.post("models/a/b/predictions", json={"input": {}})

    assert (200, body) == (answer.status_code, answer.content)
    assert ([], 0, 1) == (lines(tape), written.calls, written.skipped)
    assert written.summary.endswith("0 calls recorded; 1 were too large or incomplete")


def test_a_compressed_answer(tmp_path):
    """A compressed answer that was not requested is passed on and recorded decompressed."""
    tape = tmp_path / "tape.jsonl"
    body = gzip.compress(b'{"username": "ana"}')
    with answering(sized(body, b"Content-Encoding: gzip\r\n")) as real, recording(real, tape) as (api, _):
        answer = api.get("account")

    assert {"username": "ana"} == answer.json() == lines(tape)[0]["answer"]


def test_a_file_that_is_cut_off(tmp_path):
    """The program sees that the file is incomplete, and the cassette does not show it as complete."""
    tape = tmp_path / "tape.jsonl"
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\npart"
    with answering(cut) as files:
        made = sized(json.dumps({"id": "p", "output": f"{files}/a.png"}).encode())
        with answering(made) as real, recording(real, tape) as (api, written):
            link = api.post("models/a/b/predictions", json={"input": {}}).json()["output"]
            with pytest.raises(httpx.RemoteProtocolError):
                api.get(link)

    assert (["create_model_prediction"], 1) == ([each["function"] for each in lines(tape)], written.skipped)


def forms(secret):
    """The forms in which servers may repeat a secret."""
    return {
        "plain": secret,
        "escaped": json.dumps(secret),
        "quoted": quote(secret, safe=""),
        "in text": f"Bearer {secret}",
    }


@pytest.mark.parametrize("padding", [0, 5000])
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": SECRET},
        {"Authorization": f"Basic {base64.b64encode(f'ana:{SECRET}'.encode()).decode()}"},
        {"X-Api-Key": SECRET},
        {"Cookie": f"theme=dark; session={SECRET}"},
        {"X-Gateway-Token": SECRET, "Authorization": "Bearer another-long-token"},
    ],
)
def test_secrets_that_are_echoed(tmp_path, headers, padding):
    """The cassette has no secret from the program's headers, whether in JSON, text or a file, in any usual form."""
    tape = tmp_path / "tape.jsonl"
    echo = forms(SECRET) | {"padding": "x" * padding, "headers": headers}
    with answering(sized(json.dumps(echo).encode())) as real, recording(real, tape, **headers) as (api, _):
        api.get("account")
        api.get(f"models/a/b?{quote(SECRET, safe='')}")
        file = api.get("files/f/download?owner=o&expiry=1&signature=s")
    text = tape.read_text()

    assert 200 == file.status_code
    assert len(lines(tape)) >= 2
    contents = [
        text,
        *(base64.b64decode(one["answer"]["base64"]).decode() for one in lines(tape) if "base64" in one["answer"]),
    ]
    for content in contents:
        assert [] == [name for name, form in forms(SECRET).items() if form.strip('"') in content]
        for value in headers.values():
            assert value not in content


def test_which_headers_are_secrets():
    """Headers with a secret's name hold secrets; short values, which may occur in any text, do not count."""
    found = secrets_of([("Accept", "application/json"), ("X-Session", "short"), ("Proxy-Auth", "long-enough")])

    assert ["long-enough"] == found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://replicate.delivery/a.png", True),
        ("https://files.example.com/a.png", True),
        ("https://api.replicate.com/v1/files/x", True),
        ("http://replicate.delivery/a.png", False),
        ("file:///etc/passwd", False),
        ("ftp://example.com/a", False),
        ("http://127.0.0.1:8080/admin", False),
        ("https://127.0.0.1/admin", False),
        ("https://localhost/admin", False),
        ("https://a.localhost/", False),
        ("https://[::1]/", False),
        ("https://[::ffff:127.0.0.1]/", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://10.0.0.1/", False),
        ("https://2130706433/", False),
        ("https://0x7f.1/", False),
        ("https://127.1/", False),
        ("https://internal/", False),
        ("https://ana:secret@replicate.delivery/", False),
        ("https://replicate.delivery:99999/", False),
        ("https:///x", False),
        ("https://[/x", False),
    ],
)
def test_the_recorder_fetches_no_local_addresses(url, expected):
    """The recorder does not fetch links to this machine or its network; they remain unchanged in the answer."""
    assert expected == may_fetch(url, "https://api.replicate.com/v1")


def test_a_redirect_is_not_followed(tmp_path):
    """A redirect is an ordinary answer; one into this machine's network does not become a recorder link."""
    tape = tmp_path / "tape.jsonl"
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret") as inside:
        moved = b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
        with answering(moved) as real, recording(real, tape) as (api, _):
            answer = api.get("account")
            place = api.get(f"http://{api.base_url.netloc.decode()}/recorded/0/x")
        split = f"HTTP/1.1 302 Found\r\nLocation: {inside}/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(split) as real, recording(real, tape) as (api, _):
            target = api.get(api.get("account").headers["location"])

    assert (302, "file:///etc/passwd", 404) == (answer.status_code, answer.headers["location"], place.status_code)
    assert (502, "its URL has invalid characters") == (target.status_code, target.json()["detail"].partition(": ")[2])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((OK + b"Content-Length: 100\r\n\r\n{}",), "broke off"),
        (
            (b"HTTP/1.1 200 OK\r\n", (b"X: y\r\n" for _ in range(1_000_000))),
            "does not answer: got more than 100 headers",
        ),
        ((OK + b"\r\n", (b" " * (1 << 20) for _ in range(300))), "is larger than 256 MiB"),
    ],
)
def test_a_cog_server_whose_answer_is_too_large(parts, message):
    """An answer that is too large gives a short error instead of the whole answer."""
    with answering(*parts) as url, pytest.raises(CogError, match=message):
        Wire(url).ask("GET", "/")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(100_000)),), "does not answer"),
        ((OK, (b"X: y\r\n" for _ in range(100_000))), "does not answer"),
        ((OK + b"Content-Length: 100000\r\n\r\n", (b" " for _ in range(100_000))), "arrives too slowly"),
    ],
)
def test_a_cog_server_that_sends_slowly(parts, message):
    """The time limit applies to the whole answer, not only to the time between two bytes."""
    with answering(*parts, pause=0.02) as url, pytest.raises(CogError, match=message):
        Wire(url, grace=0.5).ask("GET", "/")


@pytest.mark.parametrize(
    ("shapes", "fault"),
    [
        ({"Input": {"properties": ["a"]}}, "Input.properties: expected an object"),
        ({"Input": {"properties": {"a": {"type": ["string"]}}}}, "Input.a.type: expected a text"),
        ({"Input": {"properties": {"a": {"allOf": "x"}}}}, "Input.a.allOf: expected a list"),
        ({"Input": {"properties": {"a": {"anyOf": [3]}}}}, "Input.a.anyOf: expected an object"),
        ({"Input": {"properties": {"a": {"items": 5}}}}, "Input.a.items: expected an object"),
        ({"Input": {"required": "a"}}, "Input.required: expected a list of names"),
        ({"Input": {"enum": 5}}, "Input.enum: expected a list"),
        ({"Input": {"properties": {"a": {"maximum": "x"}}}}, "Input.a.maximum: expected a number"),
        ({"Output": {"$ref": 7}}, "Output.$ref: expected a text"),
        ({"Output": "x"}, "Output: expected an object"),
        ("x", "components.schemas: expected an object"),
        ({"Input": {"properties": {"type": {"type": "string"}, "items": {"type": "integer", "maximum": 3}}}}, None),
    ],
)
def test_the_schema_of_a_cog_server(shapes, fault):
    """A schema keyword of the wrong type gives an error that names it, instead of failing all requests to the model."""
    assert fault == fault_of({"components": {"schemas": shapes}})
