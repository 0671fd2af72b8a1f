"""The reference of each function is correct in schemas, pages, examples, answers and search."""

import shlex
from collections import deque

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kosmolua.cli.call import read
from kosmolua.cli.options import Options
from kosmolua.errors import CODES, ArgumentError
from kosmolua.gate.functions import resolve
from kosmolua.manual import fields
from kosmolua.manual.page import INTERFACES, brief, markdown, shown
from kosmolua.manual.reference import FIELDS, examples, overview, page, schema
from kosmolua.manual.search import search
from kosmolua.replicate import results
from kosmolua.replicate.catalogue import BY_NAME, OPERATIONS
from kosmolua.replicate.structs import decode_arguments

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def accepted(operation, arguments):
    try:
        decode_arguments(operation, arguments)
    except ArgumentError:
        return False
    return True


# Schemas ----------------------------------------------------------------------------------------------------------


@every_operation
def test_a_schema_is_json_schema_and_accepts_the_example(operation):
    """A JSON Schema library accepts the schema, and the example is valid."""
    found = schema(operation)

    Draft202012Validator.check_schema(found)
    Draft202012Validator(found).validate(operation.example)
    assert "https://json-schema.org/draft/2020-12/schema" == found["$schema"]
    assert [parameter.name for parameter in operation.parameters] == list(found["properties"])
    assert not found["additionalProperties"]


@every_operation
def test_a_schema_is_unchanged_by_json(operation):
    """The printed schema equals the generated one."""
    found = schema(operation)

    assert found == msgspec.json.decode(msgspec.json.encode(found))


@pytest.mark.parametrize(
    ("function", "arguments", "fits"),
    [
        ("get_prediction", {"prediction_id": "abc"}, True),
        ("get_prediction", {}, False),
        ("get_prediction", {"prediction_id": 7}, False),
        ("get_prediction", {"prediction_id": ""}, False),
        ("get_prediction", {"prediction_id": ".."}, False),
        ("get_prediction", {"prediction_id": "..."}, True),
        ("get_prediction", {"prediction_id": "abc", "id": "abc"}, False),
        ("get_account", {}, True),
        ("get_account", {"verbose": True}, False),
        ("search", {"query": "x", "limit": 1}, True),
        ("search", {"query": "x", "limit": 0}, False),
        ("search", {"query": "x", "limit": 51}, False),
        ("search", {"query": "x", "limit": "5"}, False),
        ("search", {"query": "x", "limit": True}, False),
        ("search", {"query": "x", "limit": 1.5}, False),
        ("list_models", {"sort_by": "model_created_at"}, True),
        ("list_models", {"sort_by": "name"}, False),
        ("create_prediction", {"version": "a/b", "input": {}}, True),
        ("create_prediction", {"version": "a/b", "input": []}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "prefer": "wait=60"}, True),
        ("create_prediction", {"version": "a/b", "input": {}, "prefer": "wait=61"}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "prefer": "wait\n"}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "cancel_after": "1h30m45s"}, True),
        ("create_prediction", {"version": "a/b", "input": {}, "cancel_after": "4s"}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "cancel_after": ""}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "stream": "yes"}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "webhook_events_filter": ["start", "logs"]}, True),
        ("create_prediction", {"version": "a/b", "input": {}, "webhook_events_filter": ["begin"]}, False),
        ("create_prediction", {"version": "a/b", "input": {}, "webhook_events_filter": "start"}, False),
        ("create_file", {"content": "text", "metadata": {"a": [1, None]}}, True),
        ("create_file", {"content": 5}, False),
        ("create_deployment", {"name": "n"}, False),
        ("update_deployment", {"deployment_owner": "a", "deployment_name": "b", "min_instances": -1}, False),
    ],
)  # fmt: skip
def test_schema_and_call_agree(function, arguments, fits):
    """The schema and a call accept and refuse the same arguments."""
    operation = resolve(function)

    assert fits == Draft202012Validator(schema(operation)).is_valid(arguments)
    assert fits == accepted(operation, arguments)


WORDS = sorted({word for operation in OPERATIONS for parameter in operation.parameters for word in parameter.enum})
VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["wait", "wait=1", "wait=0", "30s", "4", "1h", "0h5s", ".", "..", *WORDS]),
    st.integers(-(2**40), 2**40),
    st.integers(-2, 55),
    st.booleans(),
    st.lists(st.sampled_from(["start", "logs", "x"]), max_size=3),
    st.dictionaries(st.text("abc", min_size=1), st.integers() | st.none(), min_size=1, max_size=2),
)


@st.composite
def calls(draw):
    operation = draw(st.sampled_from(OPERATIONS))
    names = [parameter.name for parameter in operation.parameters]
    changed = draw(st.dictionaries(st.sampled_from([*names, "unknown"]), VALUES, max_size=2))
    left_out = draw(st.sets(st.sampled_from(names), max_size=1)) if names else set()
    given_ = {**operation.example, **changed}
    return operation, {name: value for name, value in given_.items() if name not in left_out}


@settings(max_examples=400, deadline=None)
@given(calls())
def test_schema_and_call_agree_on_changed_arguments(call):
    """After any change to valid arguments, schema and call still agree."""
    operation, arguments = call

    assert Draft202012Validator(schema(operation)).is_valid(arguments) == accepted(operation, arguments)


# Pages ------------------------------------------------------------------------------------------------------------


@every_operation
def test_a_page_names_all_parameters_and_codes(operation):
    """Each form of the page names the function and every parameter, and only existing error codes."""
    found = page(operation)
    texts = [shown(found), markdown(found)]

    assert [parameter.name for parameter in operation.parameters] == [item["name"] for item in found["parameters"]]
    assert list(operation.names) == found["names"]
    assert {error["code"] for error in found["errors"]} <= set(CODES)
    for text in texts:
        assert found["function"] in text
        assert operation.summary.split()[0] in text
        assert all(parameter.name in text for parameter in operation.parameters)
        assert all(field["name"] in text for field in found["returns"]["fields"])


@every_operation
def test_pages_have_the_same_keys_and_are_json(operation):
    """The pages of all functions have the same keys and are valid JSON."""
    found = page(operation)

    assert list(page(OPERATIONS[0])) == list(found)
    assert found == msgspec.json.decode(msgspec.json.encode(found))


@every_operation
@pytest.mark.parametrize("command", ["integrations:call", "integrations:replicate"])
def test_help_of_a_function(command, operation):
    """The help shows how to call the function with this command, and every flag."""
    text = brief(page(operation), command)

    assert text.startswith(f"usage: kosmo {command} ")
    assert all(f"--{parameter.name.replace('_', '-')} " in text for parameter in operation.parameters)


def test_only_possible_errors_are_listed():
    """A read is never uncertain, and a function without names has no "not found" error."""
    codes = {name: {error["code"] for error in page(BY_NAME[name])["errors"]} for name in BY_NAME}

    assert "uncertain" in codes["create_prediction"]
    assert "uncertain" not in codes["get_prediction"] | codes["search_models"]
    assert "not_found" not in codes["get_account"] | codes["list_models"]


def test_overview():
    """The provider's page lists all functions and the configuration."""
    found = overview()

    assert {"functions": 37, "read": 22, "write": 15} == found["count"]
    assert [operation.name for operation in OPERATIONS] == [item["name"] for item in found["functions"]]
    assert [("api_key", True, "API Token"), ("url", False, "API Base URL")] == [
        (field["key"], field["required"], field["label"]) for field in FIELDS
    ]


# Examples ---------------------------------------------------------------------------------------------------------


@every_operation
@pytest.mark.parametrize("door", ["call", "shortcut", "stdin"])
def test_shell_examples_equal_the_example(door, operation):
    """A printed command, split by a shell and parsed, equals the catalog's example."""
    left, _, line = examples(operation)[door].rpartition("| ")
    words = shlex.split(line)
    assert ["kosmo", "integrations:replicate" if door == "shortcut" else "integrations:call"] == words[:2]
    assert operation is resolve(words[2])

    if door == "stdin":
        assert "-" == words.pop(3)
        words.insert(3, shlex.split(left)[2])
    request = read(operation, deque(words[3:]), Options())

    assert operation.example == request.arguments
    assert request.options.json


@every_operation
def test_lua_examples_equal_the_example(operation):
    """The Lua chunk can be loaded, and calls the function with the catalog's example."""
    from lupa.luajit21 import LuaRuntime

    lua = LuaRuntime()
    calls = []
    api = {operation.name: lambda arguments: calls.append(plain(arguments))}
    lua.globals()["integrations"] = lua.table_from({"replicate": lua.table_from(api)})
    lua.execute(examples(operation)["lua"])

    assert [operation.example] == calls


def plain(table):
    if not hasattr(table, "items"):
        return table
    return {key: plain(value) for key, value in table.items()}


def test_an_example_for_every_interface():
    """Each function has an example for each interface."""
    assert all(set(INTERFACES) < set(examples(operation)) for operation in OPERATIONS)


# Answers ----------------------------------------------------------------------------------------------------------


@every_operation
def test_every_answer_has_a_type(operation):
    """Each answer has a type, a sentence and, for JSON, a table of fields without duplicates."""
    rows = [field.name for field in fields.fields(operation)]

    assert results.result_type(operation)
    assert fields.describe(operation).endswith(".")
    assert len(set(rows)) == len(rows)
    assert bool(rows) == (operation.answer == "json")


@pytest.fixture(scope="module")
def answers():
    """The emulator's answers for all functions, called in an order in which every call succeeds."""
    from kosmolua.emulator import Emulator, ManualClock
    from kosmolua.host.clients import EMULATOR_URL
    from kosmolua.replicate.client import Client
    from kosmolua.replicate.in_process import InProcessTransport

    clock = ManualClock()
    emulator = Emulator(clock=clock, seed="types")
    client = Client(token="r8_test", base_url=EMULATOR_URL, transport=InProcessTransport(emulator))
    found = {}

    def call(name, /, **arguments):
        operation = BY_NAME[name]
        found.setdefault(name, []).append(client.send(operation, decode_arguments(operation, arguments)).data)
        return found[name][-1]

    flow(call, clock)
    file = call("create_file", content=b"abc")["id"]
    expiry = int(clock.time()) + 60
    call("download_file", file_id=file, **{**emulator.sign_download(file, expiry), "expiry": expiry})
    client.close()
    return found


HELLO = {"model_owner": "replicate", "model_name": "hello-world"}
APP = {"deployment_owner": "emulator", "deployment_name": "my-app-image-generator"}
MINE = {"model_owner": "emulator", "model_name": "mine"}


def flow(call, clock):
    version = call("get_model", **HELLO)["latest_version"]["id"]
    made = call("create_prediction", version=version, input={"text": "Ada"}, prefer="wait")
    call("create_prediction", version=version, input={"text": "Ada"})
    call("create_model_prediction", model_owner="meta", model_name="meta-llama-3-8b-instruct", input={"prompt": "x"})
    deployed = call("create_deployment_prediction", **APP, input={"prompt": "x"})
    call("get_prediction", prediction_id=made["id"])
    call("cancel_prediction", prediction_id=deployed["id"])
    account = call("get_account")["username"]
    call("create_model", owner=account, name="mine", visibility="private", hardware="cpu")
    call("update_model", **MINE, description="Mine.")
    release = call("get_deployment", **APP)["current_release"]
    owner, _, name = release["model"].partition("/")
    source = {"model_owner": owner, "model_name": name, "version_id": release["version"]}
    training = {**source, "destination": f"{account}/mine", "input": {"input_images": "https://example.com/a.zip"}}
    stopped = call("create_training", **training)
    call("cancel_training", training_id=stopped["id"])
    trained = call("create_training", **training)
    clock.advance(3600)
    call("get_training", training_id=trained["id"])
    call("list_trainings")
    made_version = call("get_model", **MINE)["latest_version"]
    call("get_model_version", **HELLO, version_id=version)
    call("list_model_versions", **HELLO)
    call("list_model_examples", **HELLO)
    call("get_model_readme", **HELLO)
    if made_version:
        call("delete_model_version", **MINE, version_id=made_version["id"])
    lists(call)
    writes(call, clock, account, release)


def lists(call):
    call("list_collections")
    for collection in call("list_collections")["results"]:
        call("get_collection", collection_slug=collection["slug"])
    for name in ("list_models", "list_predictions", "list_deployments", "list_hardware", "get_default_webhook_secret"):
        call(name)
    call("search", query="hello")
    call("search_models", body="hello")


def writes(call, clock, account, release):
    bounds = {"min_instances": 0, "max_instances": 1}
    call("create_deployment", name="other", **{k: release[k] for k in ("model", "version")}, hardware="cpu", **bounds)
    other = {"deployment_owner": account, "deployment_name": "other"}
    call("update_deployment", **other, max_instances=2)
    clock.advance(16 * 60)
    call("delete_deployment", **other)
    call("create_model", owner=account, name="empty", visibility="private", hardware="cpu")
    call("delete_model", model_owner=account, model_name="empty")
    file = call("create_file", content=b"abc", filename="a.txt", metadata={"n": 1})
    call("list_files")
    call("get_file", file_id=file["id"])
    call("delete_file", file_id=file["id"])


@every_operation
def test_answers_match_their_type(operation, answers):
    """The emulator's answers match the reference: values have the right types, and no field is unknown."""
    known = {field.name for field in fields.fields(operation)}

    assert answers[operation.name]
    for answer in answers[operation.name]:
        msgspec.convert(answer, results.result_type(operation))
        assert top_names(operation, answer) <= known


def top_names(operation, answer):
    if operation.answer != "json":
        return set()
    if isinstance(answer, list):
        return {f"[].{name}" for item in answer for name in item}
    inner = {f"results[].{name}" for item in answer.get("results", []) for name in item} if operation.paged else set()
    return set(answer) | inner


def test_a_wrong_answer_is_rejected():
    """The types reject a wrong answer."""
    with pytest.raises(msgspec.ValidationError, match="status"):
        msgspec.convert({"id": "a", "model": "a/b", "version": "v", "status": "done"}, results.Prediction)


# Search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_exact_name_comes_first(name):
    """A search for a name finds its function first, with or without the provider, in separate or joined words."""
    for query in (name, f"replicate.{name}", name.replace("_", " "), name.upper()):
        assert BY_NAME[name] is search(query)[0].operation


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("cancl prediction", "cancel_prediction"),
        ("canecl_predicton", "cancel_prediction"),
        ("creat deploymnet", "create_deployment"),
        ("hardwear", "list_hardware"),
        ("get acount", "get_account"),
        ("replicate_get_acount", "get_account"),
        ("upload a file", "create_file"),
        ("how do i download a file", "download_file"),
        ("webhook signing key", "get_default_webhook_secret"),
        ("official model", "create_model_prediction"),
        ("scaling bounds", "update_deployment"),
        ("getpredicton", "get_prediction"),
    ],
)  # fmt: skip
def test_search_finds_the_intended_function(query, first):
    """A typo, a phrase, or words from the text find the function."""
    assert first in [hit.operation.name for hit in search(query)[:2]]


def test_names_come_before_text():
    """A word in a name has more weight than a word in a description."""
    kinds = [hit.match for hit in search("webhook")]

    assert ["words", "text"] == sorted(set(kinds), reverse=True)
    assert kinds == sorted(kinds, reverse=True)


@pytest.mark.parametrize("query", ["Replicate", "replicate", "replcate"])
def test_the_providers_name_finds_all(query):
    """The provider's name finds all functions, even if misspelled."""
    assert list(OPERATIONS) == [hit.operation for hit in search(query)]


@pytest.mark.parametrize("query", ["", "???", "zzzzzz", "the of", "日本"])
def test_a_search_without_results(query):
    """Meaningless words find nothing and cause no error."""
    assert [] == search(query)


@given(st.text(max_size=30))
def test_search_accepts_any_text(query):
    """Any text gives a stable list that has each function once, best match first."""
    hits = search(query)
    scores = [hit.score for hit in hits]

    assert hits == search(query)
    assert len({hit.operation.name for hit in hits}) == len(hits)
    assert scores == sorted(scores, reverse=True)
