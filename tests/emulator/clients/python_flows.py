"""The documented flows of the official Python client, against the server in REPLICATE_BASE_URL (without /v1)."""

from __future__ import annotations

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import replicate
from replicate.exceptions import ModelError, ReplicateError

HELLO = "replicate/hello-world:5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
LLAMA = "meta/meta-llama-3-8b-instruct"
FLUX = "black-forest-labs/flux-schnell"
SDXL = "stability-ai/sdxl:da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf"


def run():
    assert replicate.run(HELLO, input={"text": "python"}) == "hello python"
    assert "fox" in "".join(replicate.run(LLAMA, input={"prompt": "a fox", "max_tokens": 20}))
    [picture] = replicate.run(FLUX, input={"prompt": "a fox"}, use_file_output=False)
    answer = replicate.default_client._client.get(picture)
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def run_without_waiting():
    assert replicate.run(HELLO, input={"text": "poll"}, wait=False) == "hello poll"


def stream():
    events = list(replicate.stream(LLAMA, input={"prompt": "a lighthouse", "max_tokens": 12}))
    text = "".join(str(event) for event in events)
    assert "lighthouse" in text
    assert events[-1].event.value == "done"
    assert len(events) > 10


def wait():
    prediction = replicate.predictions.create(version=HELLO.split(":")[1], input={"text": "wait"})
    assert prediction.status == "starting"
    prediction.wait()
    assert (prediction.status, prediction.output) == ("succeeded", "hello wait")
    blocking = replicate.predictions.create(version=HELLO.split(":")[1], input={"text": "wait"}, wait=10)
    assert blocking.output == "hello wait"


def progress():
    prediction = replicate.models.predictions.create(FLUX, input={"prompt": "x"})
    prediction.wait()
    assert prediction.progress.percentage == 1.0


def cancel():
    prediction = replicate.models.predictions.create("minimax/video-01", input={"prompt": "slow"})
    prediction.cancel()
    prediction.reload()
    assert prediction.status == "canceled"


def fail():
    version = replicate.models.get("kosmolua/always-fails").latest_version
    try:
        replicate.run(f"kosmolua/always-fails:{version.id}", input={"message": "as planned"})
    except ModelError as error:
        assert error.prediction.error == "as planned"  # noqa: PT017 - no pytest in this environment
        assert "2/2" in error.prediction.logs  # noqa: PT017
    else:
        raise AssertionError("expected a ModelError")


def files():
    file = replicate.files.create(io.BytesIO(b"a,b\n"), filename="t.csv", metadata={"n": 1})
    assert (file.name, file.content_type, file.size, file.metadata) == ("t.csv", "text/csv", 4, {"n": 1})
    assert replicate.files.get(file.id).checksums == file.checksums
    assert file.id in [one.id for one in replicate.files.list()]
    assert replicate.files.delete(file.id)


def file_as_input():
    [picture] = replicate.run(FLUX, input={"prompt": "x", "width": 32, "height": 32})
    png = replicate.default_client._client.get(str(picture)).content
    version = replicate.models.get("nightmareai/real-esrgan").latest_version
    larger = replicate.run(version_of("nightmareai/real-esrgan", version), input={"image": io.BytesIO(png), "scale": 2})
    assert replicate.default_client._client.get(str(larger)).content[16:24] == b"\0\0\0\x40\0\0\0\x40"


def version_of(model, version):
    return f"{model}:{version.id}"


def trainings():
    training = replicate.trainings.create(
        version=SDXL, input={"input_images": "https://example.com/x.zip"}, destination="emulator/my-sdxl"
    )
    assert training.status == "starting"
    assert replicate.trainings.get(training.id).id == training.id
    assert training.id in [one.id for one in replicate.trainings.list()]
    training.cancel()
    assert training.status == "canceled"


def pages():
    for _ in range(101):
        replicate.predictions.create(version=HELLO.split(":")[1], input={"text": "page"})
    pages = list(replicate.paginate(replicate.predictions.list))
    assert len(pages) >= 2
    ids = [prediction.id for page in pages for prediction in page]
    assert len(ids) == len(set(ids)) > 100


def models():
    assert "flux-schnell" in [model.name for model in replicate.models.search("image")]
    model = replicate.models.get("replicate/hello-world")
    assert [version.id for version in model.versions.list()] == [model.latest_version.id]
    assert replicate.collections.get("text-to-image").models
    assert replicate.hardware.list()[0].sku == "cpu"
    assert replicate.default_client.accounts.current().username == "emulator"
    assert replicate.webhooks.default.secret().key.startswith("whsec_")
    made = replicate.models.create(owner="emulator", name="from-python", visibility="private", hardware="cpu")
    assert replicate.models.delete(made.owner, made.name)


def deployments():
    deployment = replicate.deployments.create(
        name="python",
        model="replicate/hello-world",
        version=HELLO.split(":")[1],
        hardware="cpu",
        min_instances=0,
        max_instances=1,
    )
    prediction = deployment.predictions.create(input={"text": "deployed"})
    prediction.wait()
    assert prediction.output == "hello deployed"
    changed = replicate.deployments.update(deployment_owner="emulator", deployment_name="python", max_instances=2)
    assert changed.current_release.number == 2
    assert "python" in [one.name for one in replicate.deployments.list()]


def errors():
    try:
        replicate.models.get("nobody/nothing")
    except ReplicateError as error:
        assert (error.status, bool(error.detail)) == (404, True)  # noqa: PT017
    else:
        raise AssertionError("expected a ReplicateError")


def webhooks():
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.timeout = 20
        replicate.predictions.create(
            version=HELLO.split(":")[1],
            input={"text": "webhook"},
            webhook=f"http://127.0.0.1:{server.server_port}/",
            webhook_events_filter=["completed"],
        )
        server.handle_request()
    ((headers, body),) = received
    replicate.webhooks.validate(headers=headers, body=body, secret=replicate.webhooks.default.secret(), tolerance=60)
    assert json.loads(body)["output"] == "hello webhook"


FLOWS = (
    run,
    run_without_waiting,
    stream,
    wait,
    progress,
    cancel,
    fail,
    files,
    file_as_input,
    trainings,
    pages,
    models,
    deployments,
    webhooks,
    errors,
)

for flow in FLOWS:
    flow()
    sys.stdout.write(f"{flow.__name__}\n")
