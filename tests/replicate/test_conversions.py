"""Inputs are converted only if nothing is lost."""

import pytest

from kosmolua.replicate.inputs import inputs_of

INTEGER, NUMBER, TEXT, TRUTH = ({"type": kind} for kind in ("integer", "number", "string", "boolean"))
URI = {**TEXT, "format": "uri"}
LEFT_OUT = object()


def fitted(schema, value, required=()):
    schemas = {"Input": {"type": "object", "properties": {"x": schema}, "required": list(required)}}
    return inputs_of({"components": {"schemas": schemas}}).fitted({"x": value})


def listed(schema):
    return {"type": "array", "items": schema}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (INTEGER, "512", 512),
        (INTEGER, "-1", -1),
        (INTEGER, "9007199254740993", 9007199254740993),
        (INTEGER, "123456789012345678901234567890", 123456789012345678901234567890),
        (INTEGER, "5e2", 500),
        (INTEGER, "3.0", 3),
        (INTEGER, 3.0, 3),
        (INTEGER, 9007199254740994.0, 9007199254740994),
        ({**INTEGER, "enum": [512, 768]}, "512", 512),
        ({"enum": [512, 768]}, "512", 512),
        ({"allOf": [{**INTEGER, "enum": [1, 2]}]}, "1", 1),
        (NUMBER, "7.5", 7.5),
        (NUMBER, "0.1", 0.1),
        (NUMBER, "1e-3", 0.001),
        (NUMBER, "9007199254740993", 9007199254740993),
        (TRUTH, "True", True),
        (TRUTH, "false", False),
        ({**TEXT, "enum": ["True", "False"]}, True, "True"),
        ({**TEXT, "enum": ["true", "false"]}, False, "false"),
        ({**TEXT, "enum": ["256", "512"]}, 512, "512"),
        ({**TEXT, "enum": ["0.5", "1.0"]}, 1, "1.0"),
        (listed(TEXT), {}, []),
        ({"type": "object"}, [], {}),
        (listed(INTEGER), ["1", 2, "3"], [1, 2, 3]),
        (listed(listed(TEXT)), [{}], [[]]),
        ({"type": "array", "prefixItems": [TEXT, INTEGER], "items": NUMBER}, ["1", "2", "3.5"], ["1", 2, 3.5]),
        ({"type": "object", "properties": {"a": INTEGER}}, {"a": "1", "b": "2"}, {"a": 1, "b": "2"}),
        ({"type": "object", "additionalProperties": INTEGER}, {"b": "2"}, {"b": 2}),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "1", 1),
        ({"anyOf": [INTEGER, TRUTH]}, "true", True),
        ({"anyOf": [listed(TEXT), {"type": "null"}]}, {}, []),
        ({"anyOf": [{**INTEGER, "maximum": 5}, NUMBER]}, "7", 7),
        (INTEGER, None, LEFT_OUT),
        ({**INTEGER, "nullable": True}, None, LEFT_OUT),
        ({**INTEGER, "nullable": True, "default": None}, None, LEFT_OUT),
        ({"anyOf": [URI, {"type": "null"}]}, None, LEFT_OUT),
    ],
)
def test_a_conversion(schema, value, expected):
    """The value is converted exactly and is then valid; the note does not have the value."""
    found = fitted(schema, value)

    assert ({} if expected is LEFT_OUT else {"x": expected}) == found.input
    assert type(expected) is type(found.input.get("x")) or expected is LEFT_OUT
    assert ([], True) == (found.problems, found.note.startswith("x "))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, "1.5"), (INTEGER, " 1"), (INTEGER, "+1"), (INTEGER, "01"), (INTEGER, "0x10"), (INTEGER, "1_000"),
        (INTEGER, "\u0661"), (INTEGER, "many"), (INTEGER, ""), (INTEGER, True), (INTEGER, "true"), (INTEGER, "1e999"),
        (INTEGER, "9" * 500), (NUMBER, "0.1000000000000000055511151231257827"), (NUMBER, "nan"), (NUMBER, "Infinity"),
        (NUMBER, "1e400"), (NUMBER, False), (TRUTH, "yes"), (TRUTH, 1), (TRUTH, "TRUE"), (TEXT, 5), (TEXT, True),
        ({**TEXT, "enum": ["1", "1.0"]}, 1), ({**TEXT, "enum": ["True"]}, False), (listed(TEXT), "a"),
        ({"anyOf": [INTEGER, TRUTH]}, "maybe"),
    ],
)  # fmt: skip
def test_inexact_conversions_are_refused(schema, value):
    """A value that needs guessing is not converted, and is invalid."""
    found = fitted(schema, value)

    assert {"x": value} == found.input
    assert 1 == len(found.problems)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "512"), ({"anyOf": [INTEGER, TEXT]}, "512"), ({}, "512"), ({}, {}), ({}, []), (NUMBER, 3.0),
        ({"type": ["object", "array"]}, {}), ({**TEXT, "enum": ["512"]}, "512"), ({**TEXT, "enum": ["True"]}, "True"),
        ({**INTEGER, "nullable": True, "default": 5}, None), (TEXT, ""), (INTEGER, 3), (TRUTH, False),
    ],
)  # fmt: skip
def test_valid_values_are_unchanged(schema, value):
    """A valid value is sent unchanged, and so is a null with a separate meaning."""
    found = fitted(schema, value)

    assert ({"x": value}, [], []) == (found.input, found.changes, found.problems)
    assert type(value) is type(found.input["x"])


def test_a_required_null():
    """A null for a required input cannot be omitted."""
    assert {"x": None} == fitted({**INTEGER, "nullable": True}, None, ["x"]).input


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({**INTEGER, "enum": ["1", "4"], "default": 1}, [1, 4, "1", "4"]),
        ({**TRUTH, "enum": ["True", "False"], "default": True}, [True, False, "True"]),
        ({**NUMBER, "enum": ["0.998", "1.0"], "default": 0.998}, [0.998, 1, 1.0, "1.0"]),
    ],
)
def test_an_enum_of_another_type(schema, values):
    """Old models have text enums whose type is number or boolean: values of both types pass unchanged."""
    assert [({"x": value}, []) for value in values] == [
        (found.input, found.problems) for found in (fitted(schema, value) for value in values)
    ]
    assert [1, 1, 1] == [len(fitted(schema, value).problems) for value in (7, "7", "no")]


def test_the_given_input_is_not_changed():
    """The conversions are made in a copy."""
    given = {"x": ["1", "2"]}
    schemas = {"Input": {"properties": {"x": listed(INTEGER)}}}
    found = inputs_of({"components": {"schemas": schemas}}).fitted(given)

    assert ({"x": ["1", "2"]}, {"x": [1, 2]}) == (given, found.input)


def test_a_large_list_is_converted_in_time():
    """Items up to a limit are converted; a longer list is refused unchanged."""
    found = fitted(listed(INTEGER), ["1"] * 9_000)

    assert ({"x": [1] * 9_000}, []) == (found.input, found.problems)
    assert fitted(listed(INTEGER), ["1"] * 20_000).problems
