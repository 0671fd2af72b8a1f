"""The words of a command line become a function's arguments: pure functions, without a process."""

from collections import deque

import pytest

from kosmolua.cli.arguments import payload, put
from kosmolua.cli.call import read
from kosmolua.cli.options import Options
from kosmolua.cli.values import untyped
from kosmolua.errors import ArgumentError, UsageError
from kosmolua.gate.functions import resolve


def arguments(function, *tokens):
    return read(resolve(function), deque(tokens), Options()).arguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("0", 0), ("-12", -12), ("1.5", 1.5), ("2e3", 2000.0),
        ("007", "007"), ("1e999", "1e999"), ("12345678901234567890", "12345678901234567890"), ("", ""),
        ("True", "True"), (" 1", " 1"), ("0x10", "0x10"), ("[1]", "[1]"), ("+1", "+1"), ("1.", "1."),
    ],
)  # fmt: skip
def test_untyped_values(text, value):
    """For a parameter without a type, true, false, null and JSON numbers are converted; everything else is text."""
    found = untyped(text)

    assert (value, type(value)) == (found, type(found))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (['{"prediction_id": "a"}'], {"prediction_id": "a"}),
        (["--prediction_id=a"], {"prediction_id": "a"}),
        (["--prediction-id", "a"], {"prediction_id": "a"}),
        (["--prediction_id", "123"], {"prediction_id": "123"}),
        (["--prediction_id", "2e10"], {"prediction_id": "2e10"}),
        (["--prediction_id", "007"], {"prediction_id": "007"}),
        (["--prediction_id", "--force"], {"prediction_id": "--force"}),
        (["--prediction_id", "--json"], {"prediction_id": "--json"}),
        (["--prediction_id="], {"prediction_id": ""}),
        (["--prediction_id=a=b"], {"prediction_id": "a=b"}),
        (["--arg", "prediction_id=a=b"], {"prediction_id": "a=b"}),
        (["--arg=prediction-id=true"], {"prediction_id": "true"}),
        (['{"prediction_id": "a"}', "--prediction_id", "b"], {"prediction_id": "b"}),
        (["--prediction_id", "b", '{"prediction_id": "a"}'], {"prediction_id": "b"}),
    ],
)
def test_every_form_of_an_argument_means_the_same(tokens, expected):
    """JSON, flags with and without =, kebab-case and --arg mean the same. Flags override JSON, and a value is never
    read as a flag."""
    assert expected == arguments("get_prediction", *tokens)


def test_the_parameters_type_decides_how_text_is_read():
    """The parameter's type decides how text is read."""
    assert {"query": "5", "limit": 5} == arguments("search", "--query", "5", "--limit", "5")
    assert {"stream": True, "version": "1"} == arguments("create_prediction", "--stream", "--version", "1")
    assert {"stream": False} == arguments("create_prediction", "--stream", "false")
    assert {"input": {"text": "a"}} == arguments("create_prediction", "--input", '{"text": "a"}')
    assert {"webhook_events_filter": ["start", "logs"]} == arguments(
        "create_prediction", "--webhook-events-filter", "start,logs"
    )
    assert {"webhook_events_filter": ["logs"]} == arguments("create_prediction", "--webhook_events_filter", '["logs"]')


def test_a_dotted_name_sets_a_field():
    """A dotted name sets a field of an object. The field's value is untyped, and the spelling of the name is kept."""
    assert {"input": {"text": "a", "n": 3, "a-b": {"c": True}}} == arguments(
        "create_prediction", "--input", '{"text": "x"}', "--input.text", "a", "--input.n=3", "--input.a-b.c", "true"
    )


def test_shared_flags_are_not_arguments():
    """Shared flags are recognized wherever a flag is allowed."""
    request = read(resolve("get_account"), deque(["--json", "--force", "--account", "work", "--dry-run"]), Options())

    assert {} == request.arguments
    assert (True, True, "work", True) == (
        request.options.json, request.options.force, request.options.account, request.options.dry_run,
    )  # fmt: skip


def test_no_parameter_is_shadowed_by_a_flag():
    """No function has a parameter with the same name as a shared flag."""
    from kosmolua.cli.options import FLAGS
    from kosmolua.replicate.catalogue import OPERATIONS

    names = {parameter.name for operation in OPERATIONS for parameter in operation.parameters}

    assert set() == names & {*FLAGS, "all", "output", "arg", "path", "help"}


@pytest.mark.parametrize(
    ("function", "tokens", "message"),
    [
        ("get_account", ["{}", "{}"], "expected one JSON object, got two: '{}' and '{}'"),
        ("get_account", ["[1]"], "the payload: expected a JSON object of named arguments, got a list"),
        ("get_account", ["{x"], "the payload is not valid JSON: object keys must be strings (byte 1)"),
        ("get_account", ["--account"], "--account: missing value"),
        ("get_account", ["--json=1"], "--json takes no value"),
        ("get_account", ["--read", "maybe"], "--read: expected allow, ask or deny, got 'maybe'"),
        ("get_account", ["--arg", "x"], "--arg: expected name=value, got 'x'"),
        ("get_account", ["--all"], "--all: get_account does not return pages"),
        ("search", ["--limit", "many"], "search: expected an integer, got 'many' - at `limit`"),
        ("create_prediction", ["--stream=yes"], "create_prediction: expected true or false, got 'yes' - at `stream`"),
        (
            "create_prediction",
            ["--input", "x"],
            "create_prediction: `input` is not valid JSON: invalid character (byte 0)",
        ),
        (
            "create_prediction",
            ["--version.x", "1", "--version.x.y", "2"],
            "--version.x.y: cannot set a field",
        ),
        ("create_file", ["--path", "/no/such"], "create_file: cannot read '/no/such': No such file or directory"),
    ],
)
def test_mistakes_are_sentences(function, tokens, message):
    """Each mistake is a usage error that says what was expected and what was found."""
    with pytest.raises(UsageError) as caught:
        arguments(function, *tokens)

    assert message in caught.value.message


def test_a_payload_that_is_not_utf8():
    """A payload with bytes that are not UTF-8 is reported as such."""
    with pytest.raises(UsageError, match="standard input is not valid JSON: not UTF-8"):
        payload(b'{"a": "\xff"}', "standard input")


def test_a_path_becomes_content_and_filename(tmp_path):
    """For create_file, --path reads the content from a file and sets the filename; an explicit filename is kept."""
    file = tmp_path / "cat.png"
    file.write_bytes(b"\x89PNG")

    read = arguments("create_file", "--path", str(file))
    assert (b"\x89PNG", "cat.png") == (b"".join(read["content"].pieces()), read["filename"])
    assert "dog.png" == arguments("create_file", "--filename", "dog.png", "--path", str(file))["filename"]


def test_a_dotted_flag_for_a_value_that_is_not_an_object():
    """The error for a dotted flag whose JSON value is not an object names the flag."""
    with pytest.raises(ArgumentError, match=r"--input\.x: cannot set a field"):
        put({"input": 1}, resolve("create_prediction"), "input.x", "1")
