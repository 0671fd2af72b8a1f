"""Checks with large schemas and inputs take linear time, or end with a hint."""

import time

import pytest

from kosmolua.errors import ArgumentError
from kosmolua.replicate.inputs import inputs_of
from kosmolua.replicate.outputs import output_kind
from kosmolua.replicate.versions import MAX_KEPT, MAX_SCHEMA, Versions

MANY = 100_000


def document(schema, **schemas):
    whole = {"Input": {"type": "object", "properties": {"x": schema}}, "Output": schema, **schemas}
    return {"components": {"schemas": whole}}


def either(depth, schema):
    for _ in range(depth):
        schema = {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "array", "maxItems": 0}, schema]}
    return schema


def listed(schema):
    return document({"type": "array", "items": schema})


@pytest.fixture(autouse=True)
def soon():
    """No case takes two seconds of CPU time."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 2


def test_a_large_enum_and_a_large_list():
    """Items of a large list are compared with a large enum through a set that is built once."""
    inputs = inputs_of(listed({"enum": [f"w{number}" for number in range(MANY)]}))

    assert [] == inputs.check({"x": [f"w{number}" for number in range(90_000)]})
    assert 'got "no"' in inputs.check({"x": ["w1", "no"]})[0]


@pytest.mark.parametrize(
    ("enum", "good", "bad"),
    [
        ([1, 2.0, "3"], [1, 1.0, 2, "3"], [True, 3, "1"]),
        ([True], [True, "true"], [1, "yes"]),
        ([[1], {"a": 1}], [[1], {"a": 1}], [[2], {}]),
    ],
)
def test_an_enum_of_any_values(enum, good, bad):
    """Numbers are equal in any form, true does not equal a number, and lists and objects are compared by content."""
    inputs = inputs_of(document({"enum": enum}))

    assert [[]] * len(good) == [inputs.check({"x": value}) for value in good]
    assert all(inputs.check({"x": value}) for value in bad)


@pytest.mark.parametrize(
    ("schema", "item"),
    [
        (either(15, {"type": "integer"}), 7),
        ({"type": "object", "properties": {f"m{number}": {"type": "integer"} for number in range(4000)}}, {}),
        ({"enum": [[number] * 100 for number in range(1000)]}, [999] * 100),
        ({"anyOf": [{"enum": [f"{m}-{n}" for n in range(50)]} for m in range(90)]}, "89-49"),
    ],
    ids=["nested anyOf", "members", "enum of lists", "anyOf of enums"],
)
def test_a_check_has_a_budget(schema, item):
    """If a check exceeds its budget the input is not sent, and the hint says how to send it."""
    inputs = inputs_of(listed(schema))
    with pytest.raises(ArgumentError, match="too large to check") as caught:
        inputs.check({"x": [item] * 90_000})

    assert "validate = false" in caught.value.hint


def test_a_hundred_thousand_values_are_checked():
    """An input with the maximum number of values is checked."""
    inputs = inputs_of(listed({"type": "integer", "minimum": 0}))

    assert [] == inputs.check({"x": list(range(MANY))})


@pytest.mark.parametrize(
    "schemas",
    [
        {
            "A": {"enum": ["x"] * MANY},
            "B": {"properties": {f"m{n}": {"$ref": "#/components/schemas/A"} for n in range(4000)}},
        },
        {"B": {"allOf": [{"properties": {f"m{n}": {}}, "required": [f"m{n}"]} for n in range(4900)]}},
        {"A": {"required": ["x"] * MANY}, "B": {"allOf": [{"$ref": "#/components/schemas/A"}] * 4000}},
        {"B": {"type": ["string"] * MANY}},
    ],
    ids=["enum by reference", "allOf", "required by reference", "types"],
)
def test_a_schema_is_read_in_time(schemas):
    """A schema with any number of repeated references is read in limited time."""
    found = document({"$ref": "#/components/schemas/B"}, **schemas)
    inputs_of(found).check({"x": {"m1": "y"}})

    assert output_kind(found)["kind"] in {"json", "text"}


def test_messages_about_a_large_schema_are_short():
    """A message about a large schema is short enough for people to read."""
    inputs = inputs_of(
        document(
            {"anyOf": [{"enum": ["w" * 50, str(number)]} for number in range(1000)]},
        )
    )
    (problem,) = inputs.check({"x": "no"})

    assert len(problem) < 500


def test_the_cache_of_versions_is_limited():
    """A limited number of versions and of bytes is cached; other versions are requested again."""
    schema = listed({"enum": ["w" * 1000] * 1000})
    asked = []

    def call(_function, arguments):
        asked.append(arguments["model_name"])
        return {"latest_version": {"id": arguments["model_name"], "openapi_schema": schema}}

    versions = Versions(call)
    for number in range(MAX_KEPT + 50):
        versions.find(f"a/n{number}")
    versions.find("a/n0")
    versions.find(f"a/n{MAX_KEPT + 49}")

    assert MAX_KEPT + 51 == len(asked)
    assert len(versions._found) < 30


def test_a_schema_over_the_limit_is_not_read():
    """Every input is valid, as if there were no schema."""
    schema = listed({"enum": ["w" * (MAX_SCHEMA // 2)] * 3})
    found = Versions(lambda *_: {"latest_version": {"id": "v", "openapi_schema": schema}}).find("a/b")

    assert (None, []) == (found.schema, found.inputs.check({"x": ["other"]}))
