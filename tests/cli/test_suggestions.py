"""The error for a mistyped name suggests the intended name."""

import pytest

from kosmolua.cli import COMMANDS, SHORT
from kosmolua.cli.lua import _parser
from kosmolua.errors import UsageError
from kosmolua.gate.functions import resolve
from kosmolua.replicate import catalogue
from kosmolua.replicate.nearest import nearest

COMMAND_NAMES = [*COMMANDS, *SHORT]
FUNCTIONS = [operation.name for operation in catalogue.OPERATIONS]
OPTIONS = [*_parser("lua").takes]

COMMANDS_MEANT = {
    "integration:list": "integrations:list",
    "integrations:doctr": "integrations:doctor",
    "doctor": "integrations:doctor",
    "intergrations:status": "integrations:status",
    "status": "integrations:status",
    "mcp-serve": "mcp:serve",
    "mcp:instal": "mcp:install",
    "emulator": "emulator:serve",
    "webhook:verify": "webhooks:verify",
    "verify-webhook": "webhooks:verify",
    "prediction": "predictions",
    "price": "prices",
    "complete": "completion",
    "integrations:schemas": "integrations:schema",
    "example": "integrations:examples",
    "policy": "integrations:policy",
    "config": "integrations:configure",
    "rnu": "run",
    "luaa": "lua",
    "chek": "check",
}
FUNCTIONS_MEANT = {
    "get_predicton": "get_prediction",
    "predictions.get": "get_prediction",
    "predictions.list": "list_predictions",
    "predictions.create": "create_prediction",
    "prediction_get": "get_prediction",
    "getPrediction": "get_prediction",
    "models.versions.list": "list_model_versions",
    "stop_prediction": "cancel_prediction",
    "remove_file": "delete_file",
    "upload_file": "create_file",
    "list_model": "list_models",
    "search_model": "search_models",
    "list_hardwares": "list_hardware",
    "account": "get_account",
    "create_predictions": "create_prediction",
    "start_training": "create_training",
    "get_version": "get_model_version",
    "list_versions": "list_model_versions",
    "new_deployment": "create_deployment",
    "get_webhook_secret": "get_default_webhook_secret",
    "whoami": "get_account",
}
PARAMETERS_MEANT = [
    ("get_prediction", "id", "prediction_id"),
    ("get_prediction", "predictionId", "prediction_id"),
    ("get_prediction", "prediction", "prediction_id"),
    ("get_model", "owner", "model_owner"),
    ("get_model", "name", "model_name"),
    ("get_model_version", "version", "version_id"),
    ("create_prediction", "inputs", "input"),
    ("create_prediction", "webhook_url", "webhook"),
    ("create_prediction", "webhook_events", "webhook_events_filter"),
    ("create_prediction", "model_version", "version"),
]
OPTIONS_MEANT = {
    "--dryrun": "--dry-run",
    "--emulated": "--emulate",
    "--max-prediction": "--max-predictions",
    "--maxcost": "--max-cost",
    "--allow-reads": "--allow-read",
    "--timeout": "--time-limit",
    "--allow_write": "--allow-write",
    "--mem-limit": "--memory-limit",
    "--verbos": "--verbose",
    "--no-checks": "--no-check",
}
ALL = [
    *((COMMAND_NAMES, *pair) for pair in COMMANDS_MEANT.items()),
    *((FUNCTIONS, *pair) for pair in FUNCTIONS_MEANT.items()),
    *(([p.name for p in catalogue.find(name).parameters], text, meant) for name, text, meant in PARAMETERS_MEANT),
    *((OPTIONS, *pair) for pair in OPTIONS_MEANT.items()),
]


def test_the_list_of_mistakes_is_long_enough():
    """The list has at least sixty mistakes, none of which is a valid name."""
    assert len(ALL) >= 60
    assert [] == [text for names, text, _ in ALL if text in names]


@pytest.mark.parametrize(("names", "text", "meant"), ALL, ids=[f"{text}={meant}" for _, text, meant in ALL])
def test_the_right_name_comes_first(names, text, meant):
    """The intended name is found by its words or by its letters."""
    assert [meant] == nearest(text, names)


@pytest.mark.parametrize("text", ["", "xyzzy", "\0", "日本語", "q" * 5000, "--"])
def test_no_suggestion_for_an_unrelated_name(text):
    """Nothing is suggested for an unrelated name."""
    assert [] == nearest(text, FUNCTIONS)


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["integrations", "call", "replicate.get_account"], "integrations:call"),
        (["integrations:openai"], "integrations:replicate"),
        (["integrations:doc"], "integrations:docs"),
        (["version"], "--version"),
        (["login"], "integrations:configure"),
        (["predict", "owner/name"], "run"),
        (["runs", "lst"], "list"),
        (["lua", "--emulat", "-e", "x"], "--emulate"),
        (["integrations:replicate", "get_predicton"], "get_prediction"),
        (["integrations:replicate", "get_prediction", '{"id": "x"}'], "`prediction_id`"),
        (["integrations:replicate", "get_prediction", "--id", "x"], "`prediction_id`"),
        (["mcp:install", "claude-dekstop"], "claude-desktop"),
        (["integrations:docs", "permission"], "permissions"),
    ],
)
def test_suggestions_on_the_command_line(kosmo, argv, meant):
    """The usage error contains the suggestion."""
    ran = kosmo(*argv)

    assert 0 != ran.status
    assert f"did you mean {meant}" in ran.err


def test_the_nearest_of_several_functions_comes_first():
    """If several functions are similar, the nearest is suggested first."""
    with pytest.raises(UsageError, match=r"did you mean get_model or "):
        resolve("get_modl")


def test_help_for_a_command(kosmo):
    """`kosmo help COMMAND` prints the same as `kosmo COMMAND --help`."""
    assert kosmo("run", "--help").seen == kosmo("help", "run").seen
    assert kosmo("lua", "--help").seen == kosmo("help", "lua").seen
    assert (2, "") == kosmo("help", "nosuch").seen[:2]
