"""`kosmo models` and `kosmo predictions`: the API's functions, shown as tables for people."""

import importlib.util
import json

import pytest
from recording_server import Answer

LLAMA = "meta/meta-llama-3-8b-instruct"
PREDICTION = {
    "id": "p1",
    "model": "o/m",
    "status": "succeeded",
    "created_at": "2026-01-02T03:04:05.678Z",
    "metrics": {"predict_time": 1.25},
    "input": {"prompt": "rain"},
    "output": ["It ", "rains."],
    "error": None,
    "logs": "",
    "urls": {"web": "https://replicate.com/p/p1", "get": "", "cancel": ""},
}


@pytest.fixture
def api(server, live):
    """A server with one prediction, and the command line connected to it."""
    page = {"next": None, "previous": None, "results": [PREDICTION, {**PREDICTION, "id": "p2", "model": "\x1b[2J"}]}
    server.routes = {
        "/v1/predictions": Answer(body=json.dumps(page).encode()),
        "/v1/predictions/p1": Answer(body=json.dumps(PREDICTION).encode()),
        "/v1/predictions/p1/cancel": Answer(body=json.dumps({**PREDICTION, "status": "canceled"}).encode()),
    }
    return live


def test_models_are_searched_by_words(kosmo):
    """Each row shows a model's name, number of runs and description."""
    ran = kosmo("models", "search", "upscaler", "--emulate")

    assert 0 == ran.status
    assert ["model", "runs", "description"] == ran.out.splitlines()[0].split()
    assert ran.out.splitlines()[1].startswith("nightmareai/real-esrgan  0 ")
    assert ["real-esrgan"] == [
        one["name"] for one in kosmo("models", "search", "upscaler", "--emulate", "--json").json["models"]
    ]


def test_models_are_listed_up_to_a_limit(kosmo):
    """The limit is the number of rows, not counting the header."""
    assert 3 == len(kosmo("models", "list", "--limit", "2", "--emulate").out.splitlines())
    assert 2 == len(kosmo("models", "list", "--limit", "2", "--emulate", "--json").json["models"])


def test_a_model_is_shown(kosmo):
    """`kosmo models show` prints the same page as `kosmo model`."""
    assert kosmo("model", LLAMA, "--emulate").out == kosmo("models", "show", LLAMA, "--emulate").out


def test_predictions_are_listed(api):
    """Each row shows one prediction, without control characters from the server."""
    ran = api("predictions")

    assert 0 == ran.status
    assert ["id", "status", "created", "seconds", "model"] == ran.out.splitlines()[0].split()
    assert ["p1", "succeeded", "2026-01-02", "03:04:05", "1.2", "o/m"] == ran.out.splitlines()[1].split()
    assert "\x1b" not in ran.out
    assert ["p1"] == [one["id"] for one in api("predictions", "list", "--limit", "1", "--json").json["predictions"]]


def test_words_without_an_action(kosmo):
    """Without an action, a model reference or a prediction id is shown; without words there is a list."""
    assert kosmo("models", "list", "--emulate").out == kosmo("models", "--emulate").out
    assert kosmo("models", "show", LLAMA, "--emulate").out == kosmo("models", LLAMA, "--emulate").out
    shown = [kosmo("predictions", *words, "--emulate", "--json").json for words in (["a" * 26], ["show", "a" * 26])]
    assert ["not_found", "not_found"] == [one["code"] for one in shown]
    assert "did you mean show?" in kosmo("predictions", "get", "x", "--emulate").err


def test_a_prediction_is_shown(api):
    """The page shows metadata first, then input and output."""
    ran = api("predictions", "show", "p1")

    assert 0 == ran.status
    for part in ("status   succeeded", "page     https://replicate.com/p/p1", '"prompt": "rain"', "  It rains."):
        assert part in ran.out
    assert PREDICTION == api("predictions", "show", "p1", "--json").json["prediction"]


def test_a_prediction_is_canceled_if_the_policy_allows(api):
    """Canceling is a write; without permission nothing is sent."""
    assert (3, "") == api("predictions", "cancel", "p1").seen[:2]
    assert (0, "p1 canceled\n", "") == api("predictions", "cancel", "p1", "--write", "allow").seen


def test_the_web_page_of_a_prediction(api):
    """The web address is printed; a browser opens only on a terminal."""
    assert (0, "https://replicate.com/p/p1\n", "") == api("predictions", "open", "p1").seen
    assert "https://replicate.com/p/p1" == api("predictions", "open", "p1", "--json").json["url"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["predictions", "show"], "missing prediction id"),
        (
            ["predictions", "nosuch"],
            "'nosuch' is neither an action (list, show, cancel, open) nor the id of a prediction",
        ),
        (["predictions", "--limit", "5", "nosuch"], "'nosuch' is neither an action"),
        (["predictions", "list", "p1"], "list does not take an id, got 'p1'"),
        (["predictions", "open", "a", "b"], "expected one id, got 2"),
        (["models", "search"], "missing words to search for"),
        (["models", "list", "upscale"], "list does not take search words, got 'upscale'"),
    ],
)
def test_a_mistake(kosmo, argv, words):
    """A mistake is reported before anything is sent, and the hint is a working command."""
    ran = kosmo(*argv, "--emulate")

    assert 2 == ran.status
    assert words in ran.err
    assert "hint: " in ran.err


HAS_JQ = importlib.util.find_spec("jq") is not None
NEEDED = "pip install 'kosmolua[jq]'"


def test_a_jq_expression(api):
    """If the package jq is installed, the results of the expression are printed, one per line; otherwise the hint shows
    how to install the package."""
    ran = api("predictions", "list", "--jq", ".predictions[] | .id, .metrics")
    metrics = '{\n  "predict_time": 1.25\n}\n'

    assert (0, f"p1\n{metrics}p2\n{metrics}") == (ran.status, ran.out) or (not HAS_JQ and NEEDED in ran.err)
    assert 2 == api("predictions", "list", "--jq", ".[").status


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["integrations:call", "replicate.get_account", "--emulate", "--jq", ".data.username"], "emulator"),
        (["integrations:replicate", "get_account", "--jq=.data.username", "--emulate"], "emulator"),
        (["--jq", ".data.output", "run", "replicate/hello-world", "text=Ada", "--emulate"], "hello Ada"),
        (["lua", "--emulate", "--jq", ".result", "-e", "return 5"], "5"),
        (["integrations:list", "replicate", "--jq", ".count"], "37"),
        (["integrations:schema", "get_account", "--jq", ".title"], "replicate_get_account"),
        (["audit", "--jq", ".success", "--json"], "true"),
    ],
    ids=str,
)
def test_a_jq_expression_of_any_command(kosmo, argv, shown):
    """With --jq a command runs as with --json, and the expression gets the whole output."""
    ran = kosmo(*argv)

    assert (0, f"{shown}\n") == (ran.status, ran.out) or (not HAS_JQ and NEEDED in ran.out + ran.err)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "no/such", "x=y", "--emulate", "--jq", ".data"], "404" if HAS_JQ else NEEDED),
        (["completion", "bash", "--jq", "."], "prints no JSON" if HAS_JQ else NEEDED),
        (["worker", "--jq", "."], "runs until it is stopped"),
        (["audit", "--jq"], "missing expression"),
    ],
    ids=str,
)
def test_a_jq_expression_of_a_failure(kosmo, argv, words):
    """With --jq an error is printed as text, and standard output is empty."""
    ran = kosmo(*argv)

    assert (True, "") == (ran.status > 0, ran.out)
    assert words in ran.err


def test_jq_after_the_script_belongs_to_it(kosmo, tmp_path):
    """The flag --jq after the script is an argument of the script."""
    (tmp_path / "a.lua").write_text("print(args[1], args[2])")

    assert (0, "--jq\t.x\n", "") == kosmo("lua", "a.lua", "--", "--jq", ".x").seen


def test_saved_models_are_served_offline(kosmo, tmp_path):
    """`models pull` saves files that `--models` accepts; the emulator then serves and runs the model."""
    saved = kosmo("models", "pull", LLAMA, "--output", "kept", "--emulate")
    document = json.loads((tmp_path / "kept" / f"{LLAMA}.json").read_text())
    given = document["default_example"]["input"]
    source = f"return integrations.replicate.run('{LLAMA}', {{ prompt = '{given['prompt']}', seed = {given['seed']} }})"
    shown = kosmo("models", "show", LLAMA, "--emulate", "--models", "kept", "--json").json
    ran = kosmo("lua", "--emulate", "--models", "kept", "-e", source, "--json").json

    assert [f"kept/{LLAMA}.json"] == saved.out.split()
    assert document["latest_version"]["id"] == shown["version"]
    assert "".join(document["default_example"]["output"]) == ran["result"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["models", "pull"], "missing models to save"),
        (["models", "pull", "llama", "--emulate"], "expected owner/name, got 'llama'"),
        (["models", "pull", "../x/y", "--emulate"], "expected owner/name, got '../x/y'"),
        (["models", "pull", LLAMA, "--emulate", "--output", "/dev/null"], "cannot write /dev/null/"),
        (["models", "list", "--models", "x"], "--models needs --emulate"),
        (["mcp:serve", "--models", "x"], "--models needs --emulate"),
        (["models", "list", "--emulate", "--models", "none.json"], "cannot read none.json"),
        (["emulator:serve", "--models", "none.json"], "cannot read none.json"),
        (["emulator:serve", "--models", "x", "--cassette", "y"], "--models and --cassette cannot be combined"),
        (["emulator:serve", "--fault", "500", "--cassette", "y"], "--fault and --cassette cannot be combined"),
        (["emulator:serve", "--speed", "2", "--cassette", "y"], "--speed and --cassette cannot be combined"),
        (["emulator:serve", "--speed", "0"], "--speed: expected a number above 0"),
        (["emulator:serve", "--outputs", "date"], "did you mean data?"),
    ],
)
def test_models_that_cannot_be_saved_or_read(kosmo, command, message):
    """An invalid name, path or combination of flags is reported in one line."""
    ran = kosmo(*command)

    assert 2 == ran.status
    assert message in ran.err
    assert "Traceback" not in ran.err
