from __future__ import annotations

import pytest


def train(api, world, destination="emulator/my-sdxl", **given):
    body = {"destination": destination, "input": {"input_images": "https://example.com/x.zip", **given}}
    return api.post(f"/models/stability-ai/sdxl/versions/{world.sdxl}/trainings", json=body)


def test_a_training_creates_a_version(api, world, clock):
    """When a training ends, the destination has a version that runs and names the training's weights."""
    made = train(api, world)
    clock.advance(3)
    done = api.get(made.json()["urls"]["get"]).json()
    trained = api.get("/models/emulator/my-sdxl").json()["latest_version"]
    run = api.post(
        "/predictions", json={"version": trained["id"], "input": {"prompt": "a TOK"}}, headers={"Prefer": "wait"}
    )

    assert (201, "starting") == (made.status_code, made.json()["status"])
    assert ("succeeded", f"emulator/my-sdxl:{trained['id']}") == (done["status"], done["output"]["version"])
    assert 200 == api.get(done["output"]["weights"]).status_code
    assert "100%|##########| 5/5" in done["logs"]
    assert ("succeeded", "emulator/my-sdxl") == (run.json()["status"], run.json()["model"])


def test_a_canceled_training_creates_no_version(api, world, clock):
    """A canceled training does not change the destination."""
    job = train(api, world).json()
    clock.advance(1)
    canceled = api.post(job["urls"]["cancel"]).json()
    clock.advance(10)

    assert "canceled" == canceled["status"]
    assert api.get("/models/emulator/my-sdxl").json()["latest_version"] is None


def test_trained_versions_are_deleted_and_then_the_model(api, world, clock):
    """Deleting a model gives 409 while it has versions; deleting a version gives 202, and then the model 204."""
    train(api, world)
    clock.advance(3)
    version = api.get("/models/emulator/my-sdxl/versions").json()["results"][0]["id"]
    early = api.delete("/models/emulator/my-sdxl")
    accepted = api.delete(f"/models/emulator/my-sdxl/versions/{version}")

    assert (409, 202, b"") == (early.status_code, accepted.status_code, accepted.content)
    assert 204 == api.delete("/models/emulator/my-sdxl").status_code


@pytest.mark.parametrize("destination", ["emulator/none", "replicate/hello-world", "my-sdxl"])
def test_invalid_destinations_are_refused(destination, api, world):
    """The destination of a training must exist and belong to the account."""
    assert 404 == train(api, world, destination).status_code


def test_training_input_is_checked(api, world):
    """The training input is checked against its own schema."""
    answer = train(api, world, max_train_steps=0)

    assert (422, "input.max_train_steps") == (answer.status_code, answer.json()["invalid_fields"][0]["field"])


def test_untrainable_versions_are_refused(api, world):
    """A version without training input cannot be trained."""
    body = {"destination": "emulator/my-sdxl", "input": {}}
    path = f"/models/replicate/hello-world/versions/{world.hello_version}/trainings"

    assert 400 == api.post(path, json=body).status_code


def test_pages_of_trainings(api, world):
    """A page has 100 trainings, newest first."""
    ids = [train(api, world).json()["id"] for _ in range(101)][::-1]
    first = api.get("/trainings").json()

    assert ids[:100] == [one["id"] for one in first["results"]]
    assert ids[100:] == [one["id"] for one in api.get(first["next"]).json()["results"]]
