"""A real cog server runs an emulator model. Its environment is created once; KOSMOLUA_COGS names existing ones."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
import real_cog
from real_cog import PREDICTORS, TESTED, TRAINED, Api, Cog, slug
from waiting import stays, wait_until

from kosmolua.emulator import Emulator, running
from kosmolua.errors import UsageError


def latest(api):
    return api.client.get(f"models/{slug('Slow')}").json()["latest_version"]["id"]


@contextmanager
def serving(predictor, **options):
    cog = Cog(TESTED, predictor).wait()
    try:
        with running(Emulator(cogs=[f"{slug(predictor)}={cog.url}"], **options)) as url:
            with Api(url) as api:
                yield cog, api
    finally:
        cog.close()


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_a_cog_server_behind_a_model(predictor):
    """Predictions of the cog server appear as in the API; `real_cog` has the details."""
    with serving(predictor) as (_, api):
        real_cog.check(api, TESTED, predictor)


def test_trainings_on_a_second_server():
    """Trainings run on the server that was started for trainings; `real_cog` has the details."""
    cog, teacher = Cog(TESTED, TRAINED), Cog(TESTED, TRAINED, trains=True)
    try:
        urls = f"{cog.wait().url},{teacher.wait().url}"
        with running(Emulator(cogs=[f"{slug(TRAINED)}={urls}"])) as url, Api(url) as api:
            real_cog.check_training(api, TESTED)
    finally:
        cog.close()
        teacher.close()


def test_a_training_without_a_server_for_it():
    """The server for predictions is not used, because it would run a prediction. The error says what to start."""
    with serving(TRAINED) as (cog, api):
        version = api.client.get(f"models/{slug(TRAINED)}").json()["latest_version"]["id"]
        body = {"destination": "emulator/my-sdxl", "input": {"images": "data:text/plain;base64,YWJj"}}
        refused = api.client.post(f"models/{slug(TRAINED)}/versions/{version}/trainings", json=body)
        with pytest.raises(UsageError) as same:
            Emulator(cogs=[f"{slug(TRAINED)}={cog.url},{cog.url}"])

    assert refused.status_code == 400
    assert refused.json()["detail"] == (
        "acme/text runs on a cog server that was started for predictions. Start a second one for trainings with "
        f"`python -m cog.server.http --x-mode train`, and give both: --cog acme/text={cog.url},http://127.0.0.1:5001"
    )
    assert str(same.value) == f"--cog: {cog.url} cannot run both predictions and trainings"


def test_a_server_that_is_restarted():
    """After a restart, running and waiting predictions fail with the reason, and new predictions have a new version."""
    with serving("Slow") as (cog, api):
        before = latest(api)
        job = api.create("Slow", {"seconds": 60})
        api.until(job, "processing")
        cog.kill()
        lost = api.until(job, "failed")
        never = api.run("Slow", {"seconds": 60})

        port = int(cog.url.rpartition(":")[2])
        another = Cog(TESTED, "Text", port=port).wait()
        try:
            after = wait_until(lambda: (version := latest(api)) != before and version)
            versions = api.client.get(f"models/{slug('Slow')}/versions").json()["results"]
            answer = api.client.post("predictions", json={"version": after, "input": {"text": "Bob"}})
            done = api.until(answer.json(), "succeeded")
        finally:
            another.close()

    assert lost["error"].startswith(f"cog at {cog.url} does not answer: ")
    assert never["error"] == f"cog at {cog.url} does not answer: Connection refused"
    assert [version["id"] for version in versions] == [after, before]
    assert done["output"] == "hello Bob"


def test_a_prediction_waits_while_another_program_uses_the_server():
    """The prediction has the status starting until the busy server has room."""
    with serving("Slow") as (cog, api):
        direct = threading.Thread(
            target=httpx.post, args=(f"{cog.url}/predictions",), kwargs={"json": {"input": {"seconds": 1.5}}}
        )
        direct.start()
        wait_until(lambda: httpx.get(f"{cog.url}/health-check").json()["status"] == "BUSY")
        job = api.create("Slow", {"seconds": 0})
        waits = job["status"] == "starting" and stays(lambda: api.client.get(job["urls"]["get"]).json()["status"], 0.5)
        done = api.until(job, "succeeded")
        direct.join()

    assert (waits, done["output"]) == (True, "slept")


def test_data_urls_webhooks_and_the_command_line(tmp_path):
    """With ``--outputs data`` files from cog become data URLs, and the emulator's webhooks show the prediction."""
    received = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/of-this-test":  # webhooks of another test may arrive at a reused port
                received.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    receiver = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with serving("Files", outputs="data") as (cog, api):
        body = {"input": {"count": 1}, "webhook": f"http://127.0.0.1:{receiver.server_port}/of-this-test"}
        api.client.post(f"models/{slug('Files')}/predictions", json=body)
        wait_until(lambda: any(one["status"] == "succeeded" for one in received))
        command = [sys.executable, "-m", "kosmolua", "run", "acme/files", "count=1", "--emulate"]
        command += ["--cog", f"acme/files={cog.url}", "--json"]
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
        )
    receiver.shutdown()
    receiver.server_close()

    assert received[-1]["output"] == ["data:image/png;base64,iVBORw0KGgow"], received
    assert (run.returncode, json.loads(run.stdout)["success"]) == (0, True), run.stdout + run.stderr


@contextmanager
def pretending(answers):
    """A server that only pretends to be cog, or a broken one, with a status and a body for each path."""

    class Pretender(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(self.path.partition("?")[0].rstrip("/") or "/", answers["*"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pretender)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


SCHEMA = {"components": {"schemas": {"Input": {"type": "object", "properties": {}}, "Output": {"type": "string"}}}}
FILE = {"type": "string", "format": "uri"}
KNOWN_FILE = {"components": {"schemas": {"Input": {"type": "object", "properties": {}}, "Output": FILE}}}
KNOWN = {"/openapi.json": (200, json.dumps(SCHEMA).encode()), "/": (200, b'{"cog_version": "0.16.12"}')}
BROKEN = json.dumps({"status": "SETUP_FAILED", "setup": {"logs": "no weights\n"}}).encode()


def test_a_webhook_that_has_the_end_and_no_files():
    """Cog's start webhook may already have the end of a quick model, with the path of its file."""

    class Quick(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send(KNOWN_FILE if self.path == "/openapi.json" else {"cog_version": "0.16.12"})

        def do_PUT(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            early = {"status": "succeeded", "logs": "quick\n", "output": "/tmp/out.txt"}
            httpx.post(request["webhook"], json=early)
            self.send({**early, "output": "data:text/plain;base64,YWJj"})

        def send(self, document):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quick) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cog = f"acme/quick=http://127.0.0.1:{server.server_port}"
        with running(Emulator(cogs=[cog])) as url, Api(url) as api:
            done = api.run("Quick", {})
            content = api.read(done["output"])
        server.shutdown()

    assert (done["status"], done["logs"], content) == ("succeeded", "quick\n", b"abc")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"*": (422, b'{"detail": [{"loc": ["body", "input", "n"], "msg": "too small"}]}')}, "input.n: too small"),
        ({"*": (422, b'{"detail": "bad input"}')}, "bad input"),
        ({"*": (500, b'{"detail": "output is wrong"}')}, "cog answered 500: output is wrong"),
        ({"*": (200, b"<html>")}, "the server at URL is not cog: status 200, not JSON"),
        ({"*": (200, b"[]")}, "cog ended the prediction with the status None"),
        ({"*": (200, b'{"status": "failed"}')}, "the model failed without a message"),
        ({"*": (200, b'{"status": {"a": 1}}')}, "cog ended the prediction with the status {'a': 1}"),
        ({"*": (200, b'{"status": ["failed"]}')}, "cog ended the prediction with the status ['failed']"),
        ({"*": (200, b"[" * 100_000 + b"]" * 100_000)}, "the server at URL is not cog: status 200, not JSON"),
        ({"*": (200, b"[" * 600 + b"]" * 600)}, "the answer of cog at URL is nested more than 100 levels deep"),
        ({"*": (200, b"\xff")}, "the server at URL is not cog: status 200, not JSON"),
        ({"*": (409, b"{}"), "/health-check": (200, BROKEN)}, "Model setup failed"),
        ({"*": (503, b"{}"), "/health-check": (503, BROKEN)}, "Model setup failed"),
    ],
)
def test_a_failing_server_is_named_in_the_prediction(answers, error):
    """The error of the prediction includes the server's message."""
    with pretending(KNOWN | answers) as url, running(Emulator(cogs=[f"acme/broken={url}"])) as base, Api(base) as api:
        done = api.run("Broken", {})

    assert (done["status"], done["error"]) == ("failed", error.replace("URL", url))
    assert done["logs"] == ("no weights\n" if "setup" in error else "")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("model=http://127.0.0.1:5000", "--cog: expected owner/name=URL, got model=http://127.0.0.1:5000"),
        ("a/b=https://127.0.0.1:5000", "--cog: expected http:// and a loopback address, got https://127.0.0.1:5000"),
        ("a/b=http://example.com", "--cog: expected http:// and a loopback address, got http://example.com"),
        ("a/b=http://127.0.0.1:x", "--cog: expected http:// and a loopback address, got http://127.0.0.1:x"),
        (
            "a/b=http://127.0.0.1:1,http://127.0.0.1:2",
            "--cog: cog at http://127.0.0.1:1 does not answer: Connection refused",
        ),
        ("a/b=http://127.0.0.1:1", "--cog: cog at http://127.0.0.1:1 does not answer: Connection refused"),
    ],
)
def test_invalid_cog_servers_are_refused(spec, message):
    """An invalid specification, a remote address, or a port without a server is refused at the start."""
    with pytest.raises(UsageError) as refused:
        Emulator(cogs=[spec])

    assert str(refused.value) == message


def test_a_second_server_that_cannot_train():
    """A training server whose schema has no training input is refused at the start."""
    with pretending(KNOWN | {"*": (404, b"")}) as url, pretending(KNOWN | {"*": (404, b"")}) as other:
        with pytest.raises(UsageError) as refused:
            Emulator(cogs=[f"a/b={url},{other}"])

    assert str(refused.value) == f"--cog: cog at {other} has no train function"


def test_a_server_without_a_schema():
    """A server that is not cog is refused at the start."""
    with pretending({"*": (404, b"{}")}) as url, pytest.raises(UsageError) as refused:
        Emulator(cogs=[f"a/b={url}"])

    assert str(refused.value) == f"--cog: cog at {url} gives no schema: status 404"
