"""`kosmo model`: a model's page for people and programs."""

import json
import shlex
import subprocess
import sys

import pytest
from recording_server import Answer

from kosmolua.emulator import Emulator
from kosmolua.gate.policy import policy_of
from kosmolua.gate.session import Session
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.client import Client
from kosmolua.replicate.in_process import InProcessTransport
from kosmolua.services.plan import versions_through
from kosmolua.settings import config

FLUX = "black-forest-labs/flux-schnell"
HELLO = "replicate/hello-world"
HELLO_VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"


def model(**facts):
    """An answer of get_model for a model with one version."""
    fields = {
        "prompt": {"type": "string", "description": "Say\n\n  what. \x1b[2J" + " word" * 40, "x-order": 0},
        "\x1b]0;x\x07": {"type": "integer", "default": 2, "minimum": 1, "maximum": 4, "x-order": 1},
    }
    schemas = {"Input": {"properties": fields, "required": ["prompt"]}, "Output": {"type": "string"}}
    version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": schemas}}}
    made = {
        "owner": "a",
        "name": "b",
        "description": "Odd \x1b[31mred\x07",
        "visibility": "public",
        "run_count": 1234567,
    }
    return {**made, "latest_version": version, "default_example": None, **facts}


def test_a_model_for_a_person(kosmo):
    """The page shows a description, the inputs in their order, the output, and a command that runs the model."""
    ran = kosmo("model", FLUX, "--emulate")

    assert (0, "") == (ran.status, ran.err)
    lines = ran.out.splitlines()
    assert f"{FLUX}  public, official, run 0 times" == lines[0]
    assert "  width                   integer  256       From 16 to 1024. Width in pixels." in lines
    assert "  num_outputs             integer  1         From 1 to 4. How many." in lines
    assert '  megapixels              string   "1"       One of "1", "0.25". Without effect in the emulator.' in lines
    assert "output\n  list of files\n" in ran.out


def test_a_model_for_a_program(kosmo):
    """With --json, one envelope has the whole page, with names and bounds as data."""
    found = kosmo("model", FLUX, "--emulate", "--json").json

    assert (True, FLUX, True, "public") == tuple(found[key] for key in ("success", "model", "official", "visibility"))
    assert found["version"] == found["latest_version"]
    assert {"type": "list of files", "kind": "files", "files": [["*"]]} == found["output"]
    assert {
        "name": "num_outputs", "type": "integer", "required": False, "default": 1, "minimum": 1, "maximum": 4,
        "description": "How many.", "takes": "from 1 to 4",
    } == found["inputs"][3]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "output"),
    [
        (HELLO, "hello Alice\n"),
        (f"{HELLO}:{HELLO_VERSION}", "hello Alice\n"),
        (FLUX, "/out-0.png"),
    ],
)
def test_the_example_runs(name, output, kosmo):
    """The example command runs the model."""
    line = kosmo("model", name, "--emulate", "--json").json["example"]
    command = line.replace("kosmo ", f"{shlex.quote(sys.executable)} -m kosmolua ", 1)
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)

    assert line.startswith(f"kosmo run --emulate {name} ")
    assert output in ran.stdout
    assert "succeeded" in ran.stderr


def test_a_narrow_terminal(kosmo):
    """Descriptions are wrapped at the terminal's width."""
    ran = kosmo("model", FLUX, "--emulate", env={"COLUMNS": "72"})

    table = ran.out.partition("inputs\n")[2].partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 72
    assert "What to paint. Colors and\n                                             times of day in it are" in table


def test_text_of_a_models_owner_is_escaped(live, server):
    """Text from a model's owner cannot control the terminal; consecutive spaces become one."""
    server.default = Answer(body=json.dumps(model()).encode())
    ran = live("model", "a/b")

    assert (0, "") == (ran.status, ran.err)
    assert "a/b  public, not official, run 1,234,567 times" in ran.out
    assert all(c.isprintable() or c == "\n" for c in ran.out)
    assert "Say what. " in ran.out


@pytest.mark.parametrize(
    "answer",
    [[], None, "text", {}, {"latest_version": "x"}, {"latest_version": {"id": 5}}, model(description=5, visibility=[1]),
     model(run_count="many", default_example="x"), model(default_example={"input": [1]}),
     model(latest_version={"id": "x", "openapi_schema": [1]}, is_official="x")],
)  # fmt: skip
def test_answers_with_wrong_types(answer, live, server):
    """The valid parts of an answer with wrong types are shown."""
    server.default = Answer(body=json.dumps(answer).encode())

    for flags in ((), ("--json",)):
        assert (0, "") == (live("model", "a/b", *flags).status, live("model", "a/b", *flags).err)


def test_a_model_without_a_version(kosmo):
    """The page of a model without a version says that the model cannot be run."""
    ran = kosmo("model", "emulator/my-sdxl", "--emulate")

    assert "latest version  none" in ran.out
    assert "example" not in ran.out


def test_a_dry_run(kosmo):
    """With --dry-run the request is shown and not sent."""
    found = kosmo("model", FLUX, "--emulate", "--dry-run").json

    assert ("GET", f"http://emulator.localhost/v1/models/{FLUX}") == (found["method"], found["url"])


@pytest.mark.parametrize(
    ("name", "status", "code", "message"),
    [
        ("nobody/nothing", 1, "not_found", "get_model: 404"),
        (f"{HELLO}:{'0' * 64}", 1, "not_found", "get_model_version: 404"),
        ("hello-world", 2, "usage", "expected owner/name or owner/name:version, got 'hello-world'"),
        ("../x", 2, "usage", "expected owner/name"),
        (HELLO_VERSION, 2, "usage", "got a version id"),
        ("deployments/a/b", 2, "usage", "got a deployment"),
    ],
)
def test_invalid_models_are_reported(name, status, code, message, kosmo):
    """An invalid or unknown model reference is reported like other errors."""
    ran = kosmo("model", name, "--emulate", "--json")

    assert (status, code) == (ran.status, ran.json["code"])
    assert message in ran.json["error"]


def test_without_a_token(kosmo):
    """The API requires a token; the error says where to get one."""
    ran = kosmo("model", FLUX)

    assert 4 == ran.status
    assert "REPLICATE_API_KEY" in ran.err


def test_a_denied_read(kosmo):
    """The gate decides on the read as on every call."""
    ran = kosmo("model", FLUX, "--emulate", "--read", "deny")

    assert (3, True) == (ran.status, "get_model: the policy denies this read" in ran.err)


def test_schemas_of_other_servers_are_not_cached(live, server, tmp_path):
    """Schemas from other servers are not cached, since only version ids of the API itself never change their
    meaning."""
    server.default = Answer(body=json.dumps(model()).encode())
    live("model", "a/b", env={"KOSMO_CACHE_DIR": str(tmp_path / "kept")})

    assert not (tmp_path / "kept").exists()


def test_schemas_of_the_api_are_cached(tmp_path, monkeypatch):
    """A schema from the API itself is requested once for all runs of a user."""
    monkeypatch.setenv("KOSMO_CACHE_DIR", str(tmp_path / "kept"))
    emulator = Emulator()

    def asked(url):
        client = Client(token="r8_any", base_url=url, transport=InProcessTransport(emulator))
        with Session(lambda _: client, policy_of(config.load({}))) as session:
            assert versions_through(session, "default").find(f"{HELLO}:{HELLO_VERSION}")
            return len(session.log)

    assert [1, 1, 0] == [asked("http://emulator.localhost/v1"), asked(SERVER), asked(SERVER)]
    assert [f"{HELLO_VERSION}.json"] == [file.name for file in (tmp_path / "kept" / "versions").iterdir()]
