from __future__ import annotations

import base64
import json
import struct

import httpx
import pytest
from PIL import Image

from kosmolua.emulator import Emulator
from kosmolua.emulator.documents import Documents
from kosmolua.emulator.media import MAKERS, Order
from kosmolua.errors import UsageError

DELIVERED = "https://replicate.delivery/xezq/abc"
STRING = {"type": "string"}
URI = {"type": "string", "format": "uri"}
TOKENS = {"type": "array", "items": STRING, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}
PROMPT = {"prompt": {"type": "string", "x-order": 0}}
SIZES = {
    **PROMPT,
    "width": {"type": "integer", "minimum": 16, "maximum": 1024, "default": 64},
    "height": {"type": "integer", "minimum": 16, "maximum": 1024, "default": 64},
    "num_outputs": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "output_format": {"allOf": [{"$ref": "#/components/schemas/output_format"}], "default": "webp"},
    "strength": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
}
FORMATS = {"output_format": {"enum": ["webp", "jpg", "png"], "type": "string", "title": "output_format"}}


def document(name, output, example, fields=PROMPT, given=None, **more):
    number = sum(name.encode())
    schemas = {"Input": {"type": "object", "properties": fields, "required": ["prompt"]}, "Output": output, **FORMATS}
    return {
        "owner": "acme",
        "name": name,
        "description": f"The {name} of acme",
        "visibility": "public",
        "created_at": "2025-01-15T21:17:59.043605Z",
        "run_count": 7,
        "default_example": {
            "id": f"{number:026d}",
            "status": "succeeded",
            "model": f"acme/{name}",
            "version": f"{number:064x}",
            "input": given or {"prompt": "a lighthouse"},
            "output": example,
            "data_removed": False,
        },
        "latest_version": {
            "id": f"{number:064x}",
            "created_at": "2025-01-16T00:00:00.000000Z",
            "cog_version": "0.11.1",
            "openapi_schema": {"openapi": "3.0.2", "components": {"schemas": schemas}},
        },
        **more,
    }


PICTURES = document(
    "pictures",
    {"type": "array", "items": URI},
    [f"{DELIVERED}/out-0.webp"],
    SIZES,
    {"prompt": "a lighthouse", "width": 64, "height": 64, "num_outputs": 1, "output_format": "webp"},
)
SPEECH = document("speech", URI, f"{DELIVERED}/speech.wav")
FILM = document("film", URI, f"{DELIVERED}/film.mp4", is_official=True)
WRITER = document("writer", TOKENS, ["Tall", " and", " white"])
CAPTION = document("caption", STRING, "a lighthouse at night")
ANSWER = {"type": "object", "properties": {"text": STRING, "score": {"type": "number"}, "mask": URI, "rest": {}}}
OBJECT = document("object", ANSWER, {"text": "x", "score": 0.5, "mask": f"{DELIVERED}/mask.png", "rest": [1, "two"]})
LOOSE = document("loose", {}, {"boxes": [[1, 2], [3, 4]]})
VECTORS = document("vectors", {"type": "array", "items": {"type": "number"}}, [0.1, 0.2, 0.3])
COMMUNITY = document("community", STRING, "done", is_official=False)
ALL = [PICTURES, SPEECH, FILM, WRITER, CAPTION, OBJECT, LOOSE, VECTORS, COMMUNITY]


@pytest.fixture
def emulator(tmp_path, clock):
    path = tmp_path / "models.json"
    path.write_text(json.dumps(ALL, indent=2))
    return Emulator(clock=clock, seed="tests", models=path)


@pytest.fixture
def finish(api, clock):
    """Run a model by its version and return the ended prediction."""

    def run(model, given):
        job = api.post("/predictions", json={"version": model["latest_version"]["id"], "input": given}).json()
        clock.advance(60)
        return api.get(job["urls"]["get"]).json()

    return run


def test_documents_are_served_as_they_are(api):
    """Models, versions and examples from the documents are listed and found like all others."""
    listed = api.get("/models").json()["results"]
    found = api.get("/search", params={"query": "film acme"}).json()["models"]
    version, example = PICTURES["latest_version"], PICTURES["default_example"]

    assert [model for model in listed if model["owner"] == "acme"] == ALL
    assert FILM == found[0]["model"]
    assert PICTURES == api.get("/models/acme/pictures").json()
    assert version == api.get(f"/models/acme/pictures/versions/{version['id']}").json()
    assert [version] == api.get("/models/acme/pictures/versions").json()["results"]
    assert [example] == api.get("/models/acme/pictures/examples").json()["results"]
    assert example == api.get(f"/predictions/{example['id']}").json()
    assert 404 == api.get("/models/acme/film/versions").status_code


@pytest.mark.parametrize("model", [WRITER, CAPTION, LOOSE, VECTORS], ids=lambda model: model["name"])
def test_the_input_of_the_example_gives_its_output(finish, model):
    """Text and data in the output equal the example's."""
    example = model["default_example"]

    assert example["output"] == finish(model, example["input"])["output"]


@pytest.mark.parametrize(
    ("model", "start"),
    [(PICTURES, b"RIFF"), (SPEECH, b"RIFF"), (FILM, b"\0\0\0 ftypisom")],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_files_of_the_example_become_new_files(api, finish, model, start):
    """Each file in the example's output becomes a readable file with the same kind and name."""
    example = model["default_example"]
    output = finish(model, example["input"])["output"]
    urls, recorded = ([value] if isinstance(value, str) else value for value in (output, example["output"]))

    assert [url.rpartition("/")[2] for url in recorded] == [url.rpartition("/")[2] for url in urls]
    assert all(api.get(url).content.startswith(start) for url in urls)


def test_another_input_gives_output_that_fits_the_schema(finish):
    """The output matches the schema; where the schema allows any value, the output has the example's form."""
    output = finish(OBJECT, {"prompt": "the sea"})["output"]

    assert ["mask", "rest", "score", "text"] == sorted(output)
    assert ("sea" in output["text"], float, [1, "two"]) == (True, type(output["score"]), output["rest"])
    assert output["mask"].endswith("/mask.png")
    assert [float] * 3 == [type(one) for one in finish(VECTORS, {"prompt": "the sea"})["output"]]


@pytest.mark.parametrize(
    ("extension", "size"),
    [
        ("png", lambda data: struct.unpack(">II", data[16:24])),
        ("jpg", lambda data: struct.unpack(">HH", data[data.index(b"\xff\xc0") + 5 :][:4])[::-1]),
        ("webp", lambda data: (1 + (data[21] | data[22] << 8) % 16384, 1 + (data[22] >> 6 | data[23] << 2) % 16384)),
    ],
)
def test_pictures_have_the_requested_size_number_and_format(api, finish, extension, size):
    """The width, height, number and format of pictures follow the input."""
    given = {"prompt": "x", "width": 320, "height": 200, "num_outputs": 3, "output_format": extension}
    urls = finish(PICTURES, given)["output"]

    assert [f".{extension}"] * 3 == [url[url.rindex(".") :] for url in urls]
    assert (320, 200) == size(api.get(urls[0]).content)


def test_a_language_model_streams(api, clock):
    """A model with concatenated output has a stream, whose events are the output's tokens."""
    job = api.post("/models/acme/writer/predictions", json={"input": {"prompt": "a lighthouse"}}).json()
    clock.advance(60)
    events = api.get(job["urls"]["stream"]).text.split("\n\n")
    done = api.get(job["urls"]["get"]).json()

    assert ["Tall", " and", " white"] == done["output"]
    assert [" and"] == [event.partition("data: ")[2] for event in events if event.endswith(" and")]
    assert {"token_input_count": 2, "token_output_count": 3} == {
        name: amount for name, amount in done["metrics"].items() if not name.endswith("_time")
    }


@pytest.mark.parametrize(
    ("model", "given", "billed"),
    [
        (PICTURES, {"prompt": "x", "num_outputs": 2}, {"image_output_count": 2}),
        (SPEECH, {"prompt": "x"}, {"audio_output_count": 1, "audio_output_duration_seconds": 1.0}),
        (FILM, {"prompt": "x"}, {"video_output_count": 1, "video_output_duration_seconds": 1.0}),
        (CAPTION, {"prompt": "x"}, {"character_input_count": 1}),
    ],
    ids=lambda value: value.get("name", ""),
)
def test_a_run_by_name_is_billed_by_its_output(api, world, clock, model, given, billed):
    """A model that runs by name has metrics in the units of its kind, and logs with progress."""
    job = world.run(api, f"acme/{model['name']}", given).json()
    clock.advance(60)
    done = api.get(job["urls"]["get"]).json()

    assert billed == {name: amount for name, amount in done["metrics"].items() if not name.endswith("_time")}
    assert "100%|##########| 4/4" in done["logs"]
    assert "hidden" == done["version"]


def test_inputs_are_checked(api, world):
    """References, unions and bounds in the schema are checked; null is valid if the schema allows it."""
    wrong = {"prompt": 1, "width": 8, "output_format": "bmp", "strength": "much"}
    refused = world.run(api, "acme/pictures", wrong)
    fine = world.run(api, "acme/pictures", {"prompt": "x", "strength": None, "unknown": 1})

    assert (422, "Input validation failed") == (refused.status_code, refused.json()["title"])
    assert [
        ("invalid_type", "input.prompt"),
        ("number_gte", "input.width"),
        ("enum", "input.output_format"),
        ("invalid_type", "input.strength"),
    ] == [(one["type"], one["field"]) for one in refused.json()["invalid_fields"]]
    assert 201 == fine.status_code


def test_a_community_model_does_not_run_by_name(api, world):
    """If its document says that a model is a community model, running it needs a version, as in the API."""
    assert 404 == world.run(api, "acme/community", {"prompt": "x"}).status_code


def test_the_example_is_always_accepted(clock, tmp_path, world):
    """An example's input is valid even if it breaks the schema, since an older version may have accepted it."""
    given = {"prompt": 7, "steps": "20"}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document("old", STRING, "seven", given=given)))
    with world.connect(Emulator(clock=clock, models=path)) as api:
        job = world.run(api, "acme/old", given).json()
        clock.advance(60)

        assert "seven" == api.get(job["urls"]["get"]).json()["output"]


def test_secrets_are_hidden(clock, tmp_path, world):
    """A secret input is redacted as in the API, and any secret gives the example's output."""
    fields = {**PROMPT, "key": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}}
    path = tmp_path / "secret.json"
    recorded = {"prompt": "x", "key": "[REDACTED]"}
    path.write_text(json.dumps(document("secret", STRING, "opened", fields, recorded)))
    with world.connect(Emulator(clock=clock, models=path)) as api:
        job = world.run(api, "acme/secret", {"prompt": "x", "key": "sk-mine"}).json()
        clock.advance(60)
        done = api.get(job["urls"]["get"]).json()

    assert (recorded, recorded, "opened") == (job["input"], done["input"], done["output"])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text(json.dumps(ALL)),
        lambda path: path.write_text(json.dumps(ALL, indent=4)),
        lambda path: path.write_text(json.dumps({"next": None, "results": ALL}, indent=2)),
        lambda path: [
            (path.mkdir(exist_ok=True), (path / f"{model['name']}.json").write_text(json.dumps(model, indent=indent)))
            for model, indent in zip(ALL, [None, 2] * len(ALL), strict=False)
        ],
    ],
    ids=["compact", "indented", "page", "directory"],
)
def test_files_of_every_layout(tmp_path, write):
    """The documents can be a list, a page, or a directory, with any indentation."""
    write(tmp_path / "models")
    documents = Documents(tmp_path / "models")

    assert {f"acme/{model['name']}": model for model in ALL} == {
        slug: documents.document(slug) for slug in documents.places
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "truncated"),
        ("[]", "no models in"),
        ("{}", "owner"),
        ("[{]", "expected the JSON of a model"),
        ("\0", "expected the JSON of a model"),
    ],
)
def test_files_without_documents_are_refused(tmp_path, content, message):
    """The error names the problem and says how to get a valid file."""
    path = tmp_path / "models.json"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        Documents(path)

    assert message in str(raised.value)
    assert "kosmo models pull" in raised.value.hint


def test_a_path_that_does_not_exist(tmp_path):
    """The error for a missing file names its path."""
    with pytest.raises(UsageError, match="cannot read"):
        Documents(tmp_path / "none.json")


@pytest.mark.parametrize("extension", sorted(MAKERS))
def test_files_of_every_kind(extension):
    """Each kind of file can be generated, always with the same bytes."""
    make = MAKERS[extension][1]
    order = Order("a red sea", 3, 40, 24, 0.2)

    assert make(order) == make(order) != b""


def test_pillow_reads_the_pictures(tmp_path):
    """Pillow decodes every picture with nearly the same colors."""
    order = Order("a red sea", 3, 160, 96)
    read = {}
    for extension in ("png", "jpg", "webp", "gif"):
        (path := tmp_path / f"x.{extension}").write_bytes(MAKERS[extension][1](order))
        with Image.open(path) as picture:
            read[extension] = (picture.size, picture.convert("RGB").resize((1, 1)).getpixel((0, 0)))
    plain = read["png"][1]

    assert {(160, 96)} == {size for size, _ in read.values()}
    assert all(abs(a - b) < 60 for _, mean in read.values() for a, b in zip(mean, plain, strict=True))


def test_a_data_url_in_an_example_becomes_a_file(clock, tmp_path, world):
    """A data URL in an example's output becomes a file, as in the API."""
    data = "data:image/png;base64," + base64.b64encode(b"png").decode()
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document("data", URI, data)))
    with world.connect(Emulator(clock=clock, models=path)) as api:
        job = world.run(api, "acme/data", {"prompt": "a lighthouse"}).json()
        clock.advance(60)
        url = api.get(job["urls"]["get"]).json()["output"]

        assert url.endswith("/out.png")
        assert httpx.codes.OK == api.get(url).status_code
