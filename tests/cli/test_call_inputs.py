"""Fields of a model's input as flags of a call, and the model's outputs as files."""

import json

import pytest
from recording_server import Answer

from kosmolua.emulator.genesis import SDXL_VERSION

LLAMA = ("--model-owner", "meta", "--model-name", "meta-llama-3-8b-instruct")
FLUX = ("--model-owner", "black-forest-labs", "--model-name", "flux-schnell")
DEPLOYED = "my-app-image-generator"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def create(kosmo):
    """Runs `create_model_prediction` with the emulator."""

    def call(*argv):
        return kosmo("integrations:replicate", "create_model_prediction", "--emulate", *argv)

    return call


@pytest.fixture
def sdxl():
    """The version of an emulated model that can be trained."""
    return SDXL_VERSION


@pytest.mark.parametrize("dry", [True, False])
def test_the_schema_decides_how_a_field_is_read(create, dry):
    """A prompt is always read as a string, and a number as a number."""
    flags = ("--input.prompt", "1984", "--input.max_tokens", "5", "--input.system_prompt=null", "--json")
    data = create(*LLAMA, *flags, *(["--dry-run"] if dry else [])).json["data"]

    assert {"prompt": "1984", "max_tokens": 5, "system_prompt": "null"} == (data["body"] if dry else data)["input"]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("create_prediction", ("--version", "stability-ai/sdxl:{sdxl}")),
        ("create_deployment_prediction", ("--deployment-owner", "emulator", "--deployment-name", DEPLOYED)),
    ],
)
def test_the_schema_decides_for_each_function(kosmo, sdxl, function, names):
    """Inputs of versions and deployments are read by their schema too; text that looks like another type stays text."""
    flags = ["--input.prompt", "true", "--input.num_outputs", "2", "--input.seed", "007", "--json"]
    named = [word.format(sdxl=sdxl) for word in names]
    found = kosmo("integrations:replicate", function, "--emulate", *named, *flags).json["data"]["input"]

    assert {"prompt": "true", "num_outputs": 2, "seed": 7} == found


def test_the_training_schema_decides_for_a_training(kosmo, sdxl):
    """In a training's input, a text field with only digits stays text, and steps are read as a number."""
    model = ("--model-owner", "stability-ai", "--model-name", "sdxl", "--version-id", sdxl)
    flags = (
        "--input.token_string",
        "1984",
        "--input.max_train_steps",
        "5",
        "--input.input_images",
        "https://a.example/b",
    )
    made = kosmo(
        "integrations:replicate", "create_training", "--emulate", *model, *flags,
        "--destination", "emulator/my-sdxl", "--json",
    )  # fmt: skip

    assert {"token_string": "1984", "max_train_steps": 5, "input_images": "https://a.example/b"} == made.json["data"][
        "input"
    ]


@pytest.mark.parametrize(
    "words", [("--input.list", '["a", "b"]'), ('--input.list=["a", "b"]',), ("--arg", 'input={"list": ["a", "b"]}')]
)
def test_ways_to_write_a_list(kosmo, words):
    """A list can be given with a separate or a joined value, or in the JSON of the whole input."""
    ran = kosmo("integrations:replicate", "create_prediction", "--version", "o/m:1", *words, "--emulate", "--dry-run")

    assert {"list": ["a", "b"]} == ran.json["body"]["input"]


def test_without_a_schema_json_is_parsed(kosmo):
    """Without a schema, a JSON list and a JSON object are parsed and not passed as text."""
    flags = ("--input.list", '["a", "b"]', "--input.o", '{"a": 1}', "--input.text", "[a]", "--input.n", "7")
    ran = kosmo("integrations:replicate", "create_prediction", "--version", "o/m:1", *flags, "--emulate", "--dry-run")

    assert {"list": ["a", "b"], "o": {"a": 1}, "text": "[a]", "n": 7} == ran.json["body"]["input"]


def test_plain_text_needs_no_schema(live, server):
    """No request for the schema is made if the value is plain text."""
    live("integrations:replicate", "create_prediction", "--version", "o/m:1", "--input.text", "Ada", "--write", "allow")

    assert ["POST"] == [request.method for request in server.requests]


def test_the_output_is_a_file(create, tmp_path):
    """The picture is saved to the file, and the envelope does not repeat the prediction."""
    ran = create(*FLUX, "--input.prompt", "fox", "--prefer", "wait", "--output", "out.png")
    assert (0, "") == (ran.status, ran.out)
    assert PNG == (tmp_path / "out.png").read_bytes()[:8]
    assert f"wrote {(tmp_path / 'out.png').stat().st_size} bytes to out.png\n" == ran.err


def test_several_outputs_are_several_files(create, tmp_path):
    """Several outputs are saved as numbered files."""
    ran = create(
        *FLUX, "--input.prompt", "fox", "--input.num_outputs", "2", "--prefer", "wait", "--output", "o.png", "--json"
    )

    assert ["o-1.png", "o-2.png"] == [one["path"] for one in ran.json["data"]["files"]]
    assert PNG == (tmp_path / "o-2.png").read_bytes()[:8]


def test_text_is_joined_and_a_json_name_saves_the_prediction(create, tmp_path):
    """The pieces of a text output are joined; if the file name ends in .json, the prediction itself is saved."""
    create(*LLAMA, "--input.prompt", "x", "--prefer", "wait", "--output", "o.txt")
    create(*LLAMA, "--input.prompt", "x", "--prefer", "wait", "--output", "o.json")

    assert " x" in (tmp_path / "o.txt").read_text()
    assert "succeeded" == json.loads((tmp_path / "o.json").read_text())["status"]


def test_an_unfinished_prediction_has_no_output(create, live, server, tmp_path):
    """The error names the prediction and the command that saves it later."""
    ran = create(*LLAMA, "--input.prompt", "x", "--output", "o.txt")
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')
    asked = live(
        "integrations:replicate",
        "create_model_prediction",
        *LLAMA,
        "--input.prompt",
        "x",
        "--output",
        "o.txt",
        "--write",
        "allow",
    )

    assert 1 == ran.status
    assert "still starting; there is no output to save yet" in ran.err
    assert "hint: wait for the end: --prefer wait\n" in ran.err
    assert "get_prediction --prediction-id p1 --output o.txt\n" in asked.err
    assert not (tmp_path / "o.txt").exists()


def test_a_path_that_cannot_be_written(live, server):
    """A path that cannot be written is reported before the prediction is created."""
    ran = live(
        "integrations:replicate", "create_prediction", "--version", "v", "--write", "allow", "--output", "no/o.png"
    )

    assert (2, []) == (ran.status, server.requests)
    assert "cannot write 'no/o.png': No such directory" in ran.err


def test_shared_flags_before_the_command(kosmo):
    """Shared flags have the same effect before the command."""
    assert kosmo("--json", "integrations:list").json == kosmo("integrations:list", "--json").json
    assert "emulated" in kosmo("--emulate", "--json", "integrations:replicate", "get_account").out
    assert 37 == kosmo("integrations:replicate", "--json").json["count"]
    ran = kosmo("--account", "work", "--json", "integrations:call", "replicate.get_account")
    assert "work" in ran.json["error"]


def test_a_failed_prediction_has_no_output(live, server):
    """If a prediction has failed, its own error is reported."""
    failed = {"id": "p1", "status": "failed", "error": "out of paint", "output": None}
    server.routes = {"/v1/predictions/p1": Answer(body=json.dumps(failed).encode())}
    ran = live("integrations:replicate", "get_prediction", "--prediction-id", "p1", "--output", "o.png", "--json")

    assert (1, "prediction_failed") == (ran.status, ran.json["code"])
    assert "out of paint" in ran.json["error"]
