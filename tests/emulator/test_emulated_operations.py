from __future__ import annotations

import re

import pytest

from kosmolua.replicate.catalogue import OPERATIONS

PATHS = {
    "prediction_id": "gm3qorzdhgbfurvjtvhg6dckhu",
    "training_id": "zz4ibbonubfz7carwiefibzgga",
    "file_id": "cneqzikepnug6xezperrr4z55o",
    "model_owner": "nobody",
    "model_name": "nothing",
    "version_id": "0" * 64,
    "deployment_owner": "nobody",
    "deployment_name": "nothing",
    "collection_slug": "nothing",
}
IDS = [operation.name for operation in OPERATIONS]


def fill(path):
    return re.sub(r"\{(\w+)\}", lambda match: PATHS[match[1]], path)


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_every_operation_requires_a_token(operation, emulator, world):
    """A missing or invalid token gives a problem document with status 401."""
    with world.connect(emulator, "invalid") as stranger:
        answers = [stranger.request(operation.method, fill(operation.path))]
        del stranger.headers["Authorization"]
        answers.append(stranger.request(operation.method, fill(operation.path)))

    for answer in answers:
        assert 401 == answer.status_code
        assert "application/problem+json" == answer.headers["content-type"]
        assert {"title", "detail", "status"} == set(answer.json())


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if "{" in one.path], ids=lambda one: one.name)
def test_unknown_objects_are_404(operation, api):
    """After valid arguments, an unknown id gives a problem document with status 404."""
    body = operation.example if operation.content_type else None
    query = {"owner": "emulator", "expiry": 1, "signature": "x"} if operation.name == "download_file" else None
    answer = api.request(operation.method, fill(operation.path), json=body, params=query)

    assert (403 if operation.name == "download_file" else 404) == answer.status_code
    assert answer.json()["status"] == answer.status_code


def test_tokens_of_both_schemes_are_accepted(api):
    """The emulator accepts both `Bearer` and the older `Token`."""
    assert 200 == api.get("/account", headers={"Authorization": "Token abc"}).status_code


def test_account_and_hardware(api):
    """The account is a user, and the hardware is a list without pages."""
    assert {"type": "user", "username": "emulator"}.items() <= api.get("/account").json().items()
    assert {"name": "Nvidia T4 GPU", "sku": "gpu-t4"} in api.get("/hardware").json()


def test_collections(api):
    """The list of collections omits their models; a single collection includes its models."""
    listed = api.get("/collections").json()["results"]
    shown = api.get("/collections/super-resolution").json()

    assert {"name", "slug", "description"} == set(listed[0])
    assert ["nightmareai/real-esrgan"] == [f"{model['owner']}/{model['name']}" for model in shown["models"]]


def test_webhook_secret(api):
    """The secret has the API's prefix and does not change."""
    first, second = (api.get("/webhooks/default/secret").json() for _ in range(2))

    assert first == second
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]{32}", first["key"])


def test_search(api):
    """A search returns models with scores, collections and pages, up to its limit."""
    found = api.get("/search", params={"query": "image", "limit": 1}).json()

    assert "image" == found["query"]
    assert 1 == len(found["models"])
    assert {"generated_description", "tags", "score"} == set(found["models"][0]["metadata"])
    assert "text-to-image" in [collection["slug"] for collection in found["collections"]]


@pytest.mark.parametrize("params", [{}, {"query": "x", "limit": 51}, {"query": "x", "limit": "many"}])
def test_search_checks_its_arguments(params, api):
    """A missing query or an invalid limit is refused, and the error names the field."""
    answer = api.get("/search", params=params)

    assert 422 == answer.status_code
    assert answer.json()["invalid_fields"][0]["field"] in {"query", "limit"}


def test_models_by_text(api):
    """The method QUERY takes text and returns a page of models."""
    answer = api.request("QUERY", "/models", content="hello", headers={"Content-Type": "text/plain"})

    assert ["hello-world"] == [model["name"] for model in answer.json()["results"]]


@pytest.mark.parametrize("sort_by", ["model_created_at", "latest_version_created_at"])
def test_models_are_sorted(sort_by, api):
    """The two sort directions return the same public models in reverse order."""
    names = {
        way: [
            one["name"]
            for one in api.get("/models", params={"sort_by": sort_by, "sort_direction": way}).json()["results"]
        ]
        for way in ("asc", "desc")
    }

    assert names["asc"] == names["desc"][::-1]
    assert "my-sdxl" not in names["asc"]


def test_model_with_readme_examples_and_versions(api, world):
    """A community model has a README as text, examples, and versions."""
    model = api.get("/models/replicate/hello-world").json()
    readme = api.get("/models/replicate/hello-world/readme")
    examples = api.get("/models/replicate/hello-world/examples").json()["results"]
    versions = api.get("/models/replicate/hello-world/versions").json()["results"]
    version = api.get(f"/models/replicate/hello-world/versions/{world.hello_version}").json()

    assert not model["is_official"]
    assert readme.headers["content-type"].startswith("text/plain")
    assert "hello Alice" == examples[0]["output"] == model["default_example"]["output"]
    assert [version] == versions == [model["latest_version"]]
    assert ["text"] == version["openapi_schema"]["components"]["schemas"]["Input"]["required"]


def test_official_models_list_no_versions(api):
    """The version list of an official model gives 404 with the reason."""
    answer = api.get("/models/black-forest-labs/flux-schnell/versions")

    assert 404 == answer.status_code
    assert "Official models" in answer.json()["detail"]


def test_a_model_is_created_changed_and_deleted(api):
    """A private model without versions can be created, changed and deleted."""
    body = {"owner": "emulator", "name": "mine", "visibility": "private", "hardware": "cpu"}
    made = api.post("/models", json=body)
    again = api.post("/models", json=body)
    changed = api.patch("/models/emulator/mine", json={"description": "New.", "readme": "# Mine"})
    gone = api.delete("/models/emulator/mine")

    assert [201, 409, 200, 204] == [one.status_code for one in (made, again, changed, gone)]
    assert made.json()["latest_version"] is None
    assert "New." == changed.json()["description"]
    assert b"" == gone.content
    assert 404 == api.get("/models/emulator/mine").status_code


@pytest.mark.parametrize(
    ("change", "status"),
    [({"owner": "alice"}, 403), ({"name": "No Good"}, 422), ({"hardware": "abacus"}, 422), ({"visibility": "x"}, 422)],
)
def test_invalid_models_are_refused(change, status, api):
    """Another owner, an invalid name, unknown hardware and unknown visibility are refused."""
    body = {"owner": "emulator", "name": "mine", "visibility": "private", "hardware": "cpu", **change}

    assert status == api.post("/models", json=body).status_code


def test_models_of_other_accounts_cannot_be_changed(api, world):
    """Models and versions of other accounts cannot be changed or deleted."""
    path = "/models/replicate/hello-world"

    assert 403 == api.patch(path, json={"description": "x"}).status_code
    assert 403 == api.delete(path).status_code
    assert 403 == api.delete(f"{path}/versions/{world.hello_version}").status_code


def test_unknown_paths_and_methods(api):
    """An unknown path gives 404. An unknown method gives 405 with the valid methods."""
    wrong = api.put("/account")

    assert 404 == api.get("/nothing/at/all/here").status_code
    assert 405 == wrong.status_code
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff"])
def test_bodies_that_are_not_an_object(body, api):
    """A body that is not a JSON object gives 400."""
    answer = api.post("/predictions", content=body, headers={"Content-Type": "application/json"})

    assert 400 == answer.status_code


def test_every_answer_has_a_request_id_and_rate_headers(api):
    """Each answer has a unique request id and the number of requests left in the minute."""
    first, second = api.get("/account"), api.get("/nothing/a/b/c")

    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert 2998 == int(second.headers["ratelimit-remaining"])
    assert 0 < int(second.headers["ratelimit-reset"]) <= 60


def test_deployments(api, world):
    """A deployment can be created, changed into a second release, run, and deleted after its idle time."""
    body = {
        "name": "greeter",
        "model": "replicate/hello-world",
        "version": world.hello_version,
        "hardware": "cpu",
        "min_instances": 0,
        "max_instances": 1,
    }
    made = api.post("/deployments", json=body)
    changed = api.patch("/deployments/emulator/greeter", json={"max_instances": 5}).json()["current_release"]
    listed = [one["name"] for one in api.get("/deployments").json()["results"]]
    run = api.post(
        "/deployments/emulator/greeter/predictions", json={"input": {"text": "D"}}, headers={"Prefer": "wait"}
    )

    assert 200 == made.status_code
    assert 1 == made.json()["current_release"]["number"]
    assert (2, 5) == (changed["number"], changed["configuration"]["max_instances"])
    assert ["greeter", "my-app-image-generator"] == listed
    assert ("hello D", "emulator/greeter") == (run.json()["output"], run.json()["deployment"])


def test_a_deployment_is_deleted_only_when_idle(api, world, clock):
    """A deployment that was used or is online cannot be deleted until it has been idle for 15 minutes."""
    path = "/deployments/emulator/my-app-image-generator"
    api.post(f"{path}/predictions", json={"input": {"prompt": "x"}})
    used = api.delete(path)
    clock.advance(16 * 60)
    api.patch(path, json={"min_instances": 1})
    online = api.delete(path)
    api.patch(path, json={"min_instances": 0})
    idle = api.delete(path)

    assert [409, 409, 204] == [one.status_code for one in (used, online, idle)]
    assert 404 == api.get(path).status_code


@pytest.mark.parametrize(
    "change", [{"hardware": "abacus"}, {"version": "0" * 64}, {"min_instances": 9}, {"min_instances": -1}]
)
def test_invalid_releases_are_refused(change, api):
    """A release with unknown hardware, an unknown version or reversed bounds is refused and changes nothing."""
    path = "/deployments/emulator/my-app-image-generator"

    assert 422 == api.patch(path, json=change).status_code
    assert 1 == api.get(path).json()["current_release"]["number"]
