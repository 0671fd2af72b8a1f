"""A recorder in front of an API, here an emulator, writes a cassette for any program."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
from waiting import wait_until

from kosmolua.emulator import Emulator, Player, running
from kosmolua.errors import ConfigurationError, JournalError, UsageError
from kosmolua.host.recorder import Recorder
from kosmolua.journal.cassette import Cassette
from kosmolua.journal.records import Head

TOKEN = "r8_" + "A1b2C3d4" * 4
FLUX = "models/black-forest-labs/flux-schnell/predictions"
LLAMA = "models/meta/meta-llama-3-8b-instruct/predictions"


def client(url, token=TOKEN):
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def finished(api, answer):
    url = answer.json()["urls"]["get"]
    return wait_until(lambda: (job := api.get(url).json())["status"] in {"succeeded", "failed"} and job)


def program(url):
    """The requests of a program: a picture and its file, a stream, an upload as input, text, errors and a list."""
    with client(url) as api:
        picture = finished(
            api, api.post(FLUX, json={"input": {"prompt": "a fox", "seed": 1, "width": 16, "height": 16}})
        )
        yield httpx.get(picture["output"][0])
        writing = api.post(LLAMA, json={"input": {"prompt": "rain", "seed": 1, "max_tokens": 8}}).json()
        yield api.get(writing["urls"]["stream"], headers={"Accept": "text/event-stream"})
        uploaded = api.post("files", files={"content": ("a.png", httpx.get(picture["output"][0]).content, "image/png")})
        given = {"image": uploaded.json()["urls"]["get"], "scale": 2}
        version = api.get("models/nightmareai/real-esrgan").json()["latest_version"]["id"]
        larger = finished(api, api.post("predictions", json={"version": version, "input": given}))
        yield httpx.get(larger["output"])
        again = {"image": picture["output"][0], "scale": 2}
        yield httpx.get(finished(api, api.post("predictions", json={"version": version, "input": again}))["output"])
        yield api.request("QUERY", "models", content="fox", headers={"Content-Type": "text/plain"})
        yield api.get("models/nobody/nothing")
        yield api.post("predictions", json={"version": version, "input": {"scale": 2}})
        yield api.get("models/replicate/hello-world/readme")
        yield api.delete(f"files/{uploaded.json()['id']}")
        yield api.get("webhooks/default/secret")
        yield api.get("predictions")


def seen(answers):
    return [(answer.status_code, answer.headers.get("content-type")) for answer in answers]


@pytest.fixture
def recorded(tmp_path):
    """The cassette of the program, the answers that the program got, and the emulator's address."""
    tape = tmp_path / "tape.jsonl"
    with running(Emulator(seed="recorder", speed=10)) as real:
        recorder = Recorder(real, str(tape))
        with running(recorder) as url:
            answers = list(program(url))
    return tape, answers, real


def test_a_program_runs_through_the_recorder(recorded):
    """The program gets the API's answers, with files, streams and links through the recorder."""
    _, answers, _ = recorded

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 404, 422, 200, 204, 200, 200]
    assert [answer.content[:4] for answer in answers[:4]] == [b"\x89PNG", b"even", b"\x89PNG", b"\x89PNG"]
    assert len(answers[-1].json()["results"]) == 4


def test_the_cassette_answers_as_the_api_did(recorded):
    """The emulator replays the cassette without the API: the program gets the same answers, files and streams."""
    tape, answers, _ = recorded
    with running(Player(str(tape))) as url:
        replayed = list(program(url))

    assert seen(replayed[:9]) == seen(answers[:9])
    assert [one.content for one in replayed[:4]] == [one.content for one in answers[:4]]
    assert replayed[7].text == answers[7].text
    assert (replayed[5].json()["detail"], replayed[6].json()["invalid_fields"]) == (
        answers[5].json()["detail"],
        answers[6].json()["invalid_fields"],
    )
    assert replayed[9].json() == {"key": "[hidden]"}
    assert [one["id"] for one in replayed[10].json()["results"]] == [one["id"] for one in answers[10].json()["results"]]


def test_unrecorded_requests_are_refused(recorded):
    """A request that is not on the cassette gives a conflict error."""
    with running(Player(str(recorded[0]))) as url, client(url) as api:
        other = api.post(FLUX, json={"input": {"prompt": "another fox"}})
        unknown = httpx.get(f"{url.removesuffix('/v1')}/recorded/99/out.png")

    assert (other.status_code, unknown.status_code) == (409, 404)


def test_no_secret_is_in_the_cassette(recorded):
    """The cassette has neither the token nor the webhook secret."""
    text = recorded[0].read_text()

    assert TOKEN not in text
    assert "whsec_" not in text
    assert text.startswith('{"cassette":1,')


def test_a_run_refuses_a_recorded_cassette(recorded):
    """A run refuses a cassette from the recorder, and the error names the programs that can use it."""
    with pytest.raises(JournalError) as refused:
        Cassette(str(recorded[0]), Head(script="x.lua", source="", args=[], account="default", emulated=False))

    assert "emulator:record" in str(refused.value)
    assert refused.value.hint == f"serve it to that program: kosmo emulator:serve --cassette {recorded[0]}"


ECHO = "a-token-that-has-no-form"


@contextmanager
def echoing():
    """An API whose answers repeat the request and depend on the path."""
    heads = []

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            heads.append((self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").partition(" ")[2]
            other = f"http://localhost:{self.server.server_port}"  # a different origin from 127.0.0.1
            output = [f"{other}/file/{token}.txt"]
            document = {
                "id": "p",
                "token": "x",
                "logs": f"used {token}",
                "output": output,
                "input": {"key": "[REDACTED]"},
            }
            status, kind, body = 200, "application/json", json.dumps(document).encode()
            if self.path.startswith("/file/"):
                kind, body = "text/plain", f"file for {token or ECHO}".encode()
            elif self.path.endswith("/account"):
                status, kind, body = 502, "text/html", b"<html>bad gateway</html>"
            elif self.path.endswith("/hardware"):
                status, body = 429, b'{"title": "slow", "detail": "down", "status": 429}'
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Retry-After", "7")
            self.send_header("Set-Cookie", "session=1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", heads
    finally:
        server.shutdown()
        server.server_close()


def test_the_token_goes_only_to_the_api(tmp_path):
    """The recorder sends the token to the API and to no other host, and the cassette does not have it."""
    tape = tmp_path / "tape.jsonl"
    with echoing() as (real, heads), running(Recorder(real, str(tape))) as url, client(url, ECHO) as api:
        made = api.post("models/a/b/predictions", json={"input": {"key": "open sesame", "prompt": "x"}})
        file = api.get(made.json()["output"][0])
        bad, slow = api.get("account"), api.get("hardware")
        root = url.removesuffix("/v1")
        elsewhere = [api.get(f"{root}{path}").status_code for path in ("/other", "/recorded/7/x", "/recorded/x")]

    assert [("Authorization" in head, path.partition("/file")[0]) for path, head in heads] == [
        (True, "/v1/models/a/b/predictions"),
        (False, ""),
        (True, "/v1/account"),
        (True, "/v1/hardware"),
    ]
    assert (file.text, "set-cookie" in made.headers) == (f"file for {ECHO}", False)
    assert (bad.status_code, bad.text, slow.headers["retry-after"]) == (502, "<html>bad gateway</html>", "7")
    assert elsewhere == [404, 404, 404]
    lines = [json.loads(line) for line in tape.read_text().splitlines()]
    assert ECHO not in tape.read_text()
    assert lines[1]["arguments"]["input"] == {"key": "[hidden]", "prompt": "x"}
    assert [line["error"]["status"] for line in lines if "error" in line] == [502, 429]
    with running(Player(str(tape))) as url, client(url) as api:
        again = api.get("hardware")
    assert (again.status_code, again.headers["retry-after"], again.json()["detail"]) == (429, "7", "down")


def test_an_unreachable_api(tmp_path):
    """The program gets 502 with the reason, and nothing is recorded."""
    tape = tmp_path / "tape.jsonl"
    with running(Recorder("http://127.0.0.1:1/v1", str(tape))) as url, client(url) as api:
        answer = api.get("account")

    assert (answer.status_code, answer.json()["detail"]) == (
        502,
        "127.0.0.1:1 cannot be reached: Connection refused",
    )
    assert len(tape.read_text().splitlines()) == 1


def test_invalid_destinations_of_a_recording(tmp_path):
    """A directory as the file, or plain http to another machine, is refused at the start."""
    with pytest.raises(UsageError, match="cannot write the cassette"):
        Recorder("http://127.0.0.1:1", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"--to: .* is plain http"):
        Recorder("http://example.com", str(tmp_path / "tape.jsonl"))


def test_the_command(tmp_path):
    """The command's first line is the URL, and SIGTERM ends the command with the recorded calls."""
    tape = tmp_path / "tape.jsonl"
    with running(Emulator()) as real:
        command = [sys.executable, "-m", "kosmolua", "emulator:record", "--output", str(tape), "--to", real]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            first = json.loads(process.stdout.readline())
            told = [process.stderr.readline() for _ in range(4)]
            with client(first["url"]) as api:
                account = api.get("account").json()
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=20)

    assert (first["to"], first["output"], account["username"]) == (real, str(tape), "emulator")
    assert told[1].endswith(f"export REPLICATE_URL={first['url']}\n")  # the program has its own token
    assert (process.returncode, said) == (0, f"kosmo: {tape}: 1 calls recorded\n")
