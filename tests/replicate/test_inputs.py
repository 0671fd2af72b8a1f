"""Inputs and outputs are checked against a version's schema, in the forms that models use."""

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmolua.errors import ArgumentError
from kosmolua.replicate.inputs import MAX_PROBLEMS, inputs_of, refuse
from kosmolua.replicate.outputs import output_kind, output_words

URI = {"type": "string", "format": "uri"}
PAINTER = {
    "prompt": {"type": "string", "title": "Prompt", "x-order": 0, "description": "What to paint.", "maxLength": 20},
    "image": {**URI, "title": "Image", "x-order": 4, "maxLength": 5},
    "num_outputs": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1, "x-order": 2},
    "guidance": {"type": "number", "minimum": 0.5, "default": 7.5, "x-order": 3},
    "scheduler": {"allOf": [{"$ref": "#/components/schemas/scheduler"}], "default": "DDIM", "x-order": 1},
    "tags": {"type": "array", "items": {"type": "string", "minLength": 2}, "maxItems": 3, "x-order": 6},
    "frames": {"type": "array", "items": URI, "x-order": 7},
    "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}], "x-order": 5},
    "size": {"anyOf": [{"type": "integer", "minimum": 16}, {"type": "string", "enum": ["auto"]}], "x-order": 8},
    "key": {"type": "string", "format": "password", "writeOnly": True, "minLength": 8, "x-order": 9},
    "fast": {"type": "boolean", "default": False, "nullable": True, "x-order": 10},
    "steps": {"enum": [1, 2, 4], "type": "integer", "default": 4, "x-order": 11},
    "camera": {"$ref": "#/components/schemas/Camera"},
    "extra": {},
    "table": {"type": "object"},
}
NAMES = (
    "prompt, scheduler, num_outputs, guidance, image, seed, tags, frames, size, key, fast, steps, camera, extra, table"
)
PARTS = {
    "scheduler": {"title": "scheduler", "type": "string", "enum": ["DDIM", "K_EULER", "PNDM"], "description": "One."},
    "Camera": {"type": "object", "properties": {"x": {"type": "number"}, "by": URI}, "required": ["x"]},
}


def document(properties=None, required=("prompt", "scheduler"), output=None, **more):
    made = {"type": "object", "properties": PAINTER if properties is None else properties, "required": list(required)}
    schemas = {"Input": {**made, **more}, "Output": output or {"type": "string"}, **PARTS}
    return {"openapi": "3.0.2", "components": {"schemas": schemas}}


def check(more, document=document()):  # noqa: B008 - it is not changed
    return inputs_of(document).check({"prompt": "x", **more})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"num_outputs": 9}, "expected integer from 1 to 4, got 9 - at `input.num_outputs`"),
        ({"num_outputs": 0}, "expected integer from 1 to 4, got 0 - at `input.num_outputs`"),
        ({"num_outputs": "four"}, 'expected integer from 1 to 4, got "four" - at `input.num_outputs`'),
        ({"num_outputs": 1.5}, "expected integer from 1 to 4, got 1.5 - at `input.num_outputs`"),
        ({"num_outputs": True}, "expected integer from 1 to 4, got true - at `input.num_outputs`"),
        ({"guidance": 0}, "expected number of at least 0.5, got 0 - at `input.guidance`"),
        ({"guidance": False}, "expected number of at least 0.5, got false - at `input.guidance`"),
        ({"prompt": 5}, "expected string of at most 20 characters, got 5 - at `input.prompt`"),
        ({"prompt": "y" * 21}, "expected string of at most 20 characters, got string of 21 - at `input.prompt`"),
        ({"prompt": None}, "expected string of at most 20 characters, got null - at `input.prompt`"),
        ({"prompt": ["a"]}, "expected string of at most 20 characters, got list - at `input.prompt`"),
        ({"scheduler": "K_EULR"},
         'expected one of "DDIM", "K_EULER", "PNDM", got "K_EULR"; did you mean "K_EULER"? - at `input.scheduler`'),
        ({"scheduler": 3}, 'expected one of "DDIM", "K_EULER", "PNDM", got 3 - at `input.scheduler`'),
        ({"image": {"path": "x"}}, "expected file or URL, got object - at `input.image`"),
        ({"tags": "one"}, 'expected list of strings of at most 3 items, got "one" - at `input.tags`'),
        ({"tags": ["ab"] * 4}, "expected list of strings of at most 3 items, got list of 4 - at `input.tags`"),
        ({"tags": ["ab", "c"]}, "expected string of at least 2 characters, got string of 1 - at `input.tags[1]`"),
        ({"frames": ["https://x/1", 2]}, "expected file or URL, got 2 - at `input.frames[1]`"),
        ({"seed": "1.5"}, 'expected integer, got "1.5" - at `input.seed`'),
        ({"image": "cat.png"}, 'expected file or URL, got "cat.png"; did you mean file("cat.png")? - at `input.image`'),
        ({"image": "a cat"}, 'expected file or URL, got "a cat" - at `input.image`'),
        ({"image": "localhost:80/a.png"}, 'expected file or URL, got "localhost:80/a.png" - at `input.image`'),
        ({"image": ""}, 'expected file or URL, got "" - at `input.image`'),
        ({"frames": ["https://x/1", "out/2.png"]},
         'expected file or URL, got "out/2.png"; did you mean file("out/2.png")? - at `input.frames[1]`'),
        ({"prompt": "<prompt>"}, 'replace the placeholder "<prompt>" with a value - at `input.prompt`'),
        ({"frames": ["<frames>"]}, 'replace the placeholder "<frames>" with a value - at `input.frames`'),
        ({"size": 8}, 'expected integer of at least 16 or "auto", got 8 - at `input.size`'),
        ({"size": "big"}, 'expected integer of at least 16 or "auto", got "big" - at `input.size`'),
        ({"key": "hunter2"}, "expected secret of at least 8 characters, got string of 7 - at `input.key`"),
        ({"key": 1234}, "expected secret of at least 8 characters, got integer - at `input.key`"),
        ({"steps": 3}, "expected one of 1, 2, 4, got 3 - at `input.steps`"),
        ({"steps": True}, "expected one of 1, 2, 4, got true - at `input.steps`"),
        ({"camera": {"x": "left"}}, 'expected number, got "left" - at `input.camera.x`'),
        ({"camera": {"by": "https://x"}}, "missing `x` - at `input.camera`"),
        ({"camera": [1]}, "expected object, got list - at `input.camera`"),
        ({"shceduler": "DDIM"}, "unknown input `shceduler`; did you mean `scheduler`?"),
        ({"\x1b[2J": 1}, f"unknown input `?[2J`; it takes {NAMES}"),
    ],
)  # fmt: skip
def test_invalid_inputs_are_reported(more, expected):
    """The report has the place of each invalid value, and what was expected and found."""
    assert [expected] == check(more)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"num_outputs": 4.0, "guidance": 3, "scheduler": "PNDM"},
        {"seed": None, "fast": None, "num_outputs": None, "image": None},
        {"seed": 2**53, "fast": True, "size": 16},
        {"size": "auto", "steps": 2.0},
        {"image": "gs://bucket/cat.png"},
        {"image": b"\x89PNG"},
        {"image": "data:image/png;base64,AAAA"},
        {"tags": [], "frames": ["https://x/1", "data:,"]},
        {"tags": {}, "table": []},
        {"camera": {"x": 1, "more": True}},
        {"extra": [1, {"any": "thing"}]},
        {"prompt": "ü" * 20},
    ],
)
def test_possibly_valid_inputs_pass(more):
    """An integer for a number, any URL for a file, null for an optional value, and any value for open schemas pass."""
    assert [] == check(more)


@pytest.mark.parametrize(
    ("schema", "good", "bad", "expected"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5], [0, 1, -1], "above 0, below 1"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, [1], [0], "above 0"),
        ({"type": "integer", "multipleOf": 8}, [0, 8, -16, 8.0], [7, 9], "in multiples of 8"),
        ({"type": "number", "multipleOf": 0.1}, [0.3, 1, 2.7, 1e300], [0.35], "in multiples of 0.1"),
        ({"type": "string", "pattern": "^[a-z]{2,3}$"}, ["ab", "abc"], ["a", "abcd", "AB"], 'matching "^[a-z]{2,3}$"'),
        ({"type": "string", "pattern": "b+"}, ["abc", "b"], ["ac", ""], 'matching "b+"'),
        ({"type": "string", "pattern": "(?=x)y"}, ["z"], [], ""),
        ({"type": "string", "pattern": r"(a)\1"}, ["z"], [], ""),
        ({"type": "array", "uniqueItems": True}, [[1, "1", True, 1.5], [{"a": 1}, {"a": 2}], [[1], [True]]],
         [[1, 1.0], [{"a": [1]}, {"a": [1]}], ["x", "x"]], "without repeated items"),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
         [["x", 2, 3], ["x"], []], [[1], ["x", "y"]], ""),
        ({"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "integer"}},
         [["x", 2], ["x"]], [[2], ["x", "y"]], ""),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}, {}],
         [{"b": 1}], "unknown member `b`; it takes a"),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
         [{"a": "x", "b": 1}], [{"b": "x"}], "expected integer"),
        ({"type": "object", "properties": {"a": {}}}, [{"b": 1}], [], ""),
        ({"type": "object", "additionalProperties": False, "patternProperties": {"^x": {}}}, [{"b": 1}], [], ""),
    ],
)  # fmt: skip
def test_more_keywords_of_schemas(schema, good, bad, expected):
    """Bounds, patterns, repeated items, tuples and unnamed members are checked; unsupported parts accept any value."""
    inputs = inputs_of(document({"it": schema}, required=()))

    assert [[]] * len(good) == [inputs.wrong({"it": value}) for value in good]
    assert [1] * len(bad) == [len(inputs.wrong({"it": value})) for value in bad]
    assert all(expected in inputs.wrong({"it": value})[0] for value in bad)


def test_additional_inputs_are_checked():
    """Unnamed inputs are checked if the schema describes them."""
    inputs = inputs_of(document(required=(), additionalProperties={"type": "integer"}))

    assert [] == inputs.check({"other": 1})
    assert ['expected integer, got "x" - at `input.other`'] == inputs.check({"other": "x"})


def test_missing_inputs():
    """A required input without a default must be given."""
    assert ["missing `prompt`"] == inputs_of(document()).check({})


def test_all_problems_at_once():
    """All problems are reported: names first, then values in the schema's order."""
    found = check({"guidance": "much", "num_outputs": 5, "promt": "x"})

    assert ["unknown input `promt`", "expected integer", "expected number"] == [
        one.partition(";")[0] if "unknown" in one else " ".join(one.split()[:2]) for one in found
    ]


def test_the_number_of_problems_is_limited():
    """Of a thousand wrong items the first ten are reported."""
    with pytest.raises(ArgumentError) as caught:
        refuse(check({"frames": list(range(1000))}), "a/b")

    assert caught.value.message.startswith("a/b: expected file or URL, got 0 - at `input.frames[0]`; expected ")
    assert caught.value.message.endswith("at `input.frames[9]`; and more")
    assert MAX_PROBLEMS == len(caught.value.detail["problems"])


def test_the_error_for_problems():
    """One error has a hint and all problems, both for people and for machines."""
    with pytest.raises(ArgumentError) as caught:
        refuse(check({"num_outputs": 9, "steps": 3}), "owner/name")

    first, second = (
        "expected integer from 1 to 4, got 9 - at `input.num_outputs`",
        "expected one of 1, 2, 4, got 3 - at `input.steps`",
    )
    assert f"owner/name: {first}; {second}" == caught.value.message
    assert {"problems": [first, second]} == caught.value.detail
    assert "see its inputs: kosmo model owner/name, or send it unchecked: validate = false" == caught.value.hint
    assert 2 == caught.value.exit_status


def test_no_problems():
    """An input without problems passes."""
    assert refuse([], "owner/name") is None


@pytest.mark.parametrize("given", [[], "text", 5, None])
def test_an_input_that_is_not_a_table(given):
    """An input needs names; Lua's empty table may arrive as a list."""
    expected = ["missing `prompt`"] if given == [] else [f"expected named inputs, got {given!r}"]

    assert [one.replace('"', "'").replace("null", "None") for one in inputs_of(document()).check(given)] == expected


def test_the_description_of_inputs():
    """The fields are in the schema's order, each with type, default, bounds and description."""
    fields = {field.name: field.to_dict() for field in inputs_of(document()).fields}

    assert list(fields)[:4] == ["prompt", "scheduler", "num_outputs", "guidance"]
    assert {
        "name": "prompt",
        "type": "string",
        "required": True,
        "max_length": 20,
        "description": "What to paint.",
    } == (fields["prompt"])
    assert {
        "name": "scheduler", "type": "string", "required": False, "default": "DDIM",
        "enum": ["DDIM", "K_EULER", "PNDM"], "description": "One.",
    } == fields["scheduler"]  # fmt: skip
    assert {"name": "frames", "type": "list of files", "required": False, "file": True} == fields["frames"]
    assert ("integer or string", "secret", "any") == tuple(fields[name]["type"] for name in ("size", "key", "extra"))
    assert {"name": "seed", "type": "integer", "required": False, "nullable": True} == fields["seed"]


# Unsupported schemas -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        None, 5, "text", [], {}, {"components": None}, {"components": {"schemas": []}},
        {"components": {"schemas": {"Input": 5}}},
        {"components": {"schemas": {"Input": {"properties": ["a"]}}}},
        {"components": {"schemas": {"Input": {"$ref": "#/components/schemas/Input"}}}},
        document(properties={}),
    ],
)  # fmt: skip
def test_an_unreadable_schema(broken):
    """An unreadable schema refuses no input and describes none."""
    assert ([], ()) == (inputs_of(broken).check({"any": "thing"}), inputs_of(broken).fields)
    assert {"kind": "json", "files": []} == output_kind({"components": {"schemas": {"Output": 5}}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "tensor"}, {"type": 5}, {"type": ["string", "tensor"]}, {"minimum": "low", "maximum": None},
        {"enum": "abc"}, {"enum": []}, {"pattern": "(?=x)"}, {"not": {"type": "integer"}}, {"multipleOf": "2"},
        {"$ref": "https://elsewhere.example/schema"}, {"$ref": "#/components/schemas/nosuch"}, {"$ref": 5},
        {"allOf": "x"}, {"anyOf": [5]}, {"anyOf": []}, {"anyOf": [{"type": "tensor"}, {"type": "string"}]},
        {"items": 5, "type": ["array", "integer"]}, {"format": 7}, {"if": {}, "then": {"type": "string"}}, True, None,
    ],
)  # fmt: skip
def test_unsupported_schemas_refuse_nothing(schema):
    """An unsupported part of a schema accepts any value."""
    assert [] == check({"odd": 7}, document({"prompt": {"type": "string"}, "odd": schema}))


@pytest.mark.parametrize("more", [{"additionalProperties": True}, {"additionalProperties": {"type": "integer"}},
                                  {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}])  # fmt: skip
def test_schemas_that_accept_other_names(more):
    """With additional properties or alternatives, no name is unknown."""
    assert [] == check({"other": 1}, document(**more))


BASE = {"properties": {"base": {"type": "integer"}}, "required": ["base"]}


@pytest.mark.parametrize("part", [{"allOf": [BASE]}, {"$ref": "#/components/schemas/Base"}, {"anyOf": [BASE]}])
def test_inputs_in_parts(part):
    """References and allOf parts are merged with the schema's own keys."""
    made = document({"prompt": {"type": "string"}}, required=["prompt"], **part)
    made["components"]["schemas"]["Base"] = BASE
    found = inputs_of(made)

    assert [] == found.check({"base": 1, "prompt": "x"})
    assert ['expected integer, got "one" - at `input.base`'] == found.check({"base": "one", "prompt": "x"})
    assert ["missing `prompt`", "missing `base`"] == sorted(found.check({}), reverse=True)


@pytest.mark.parametrize(
    "part",
    [{"allOf": [{"$ref": "https://elsewhere.example/x"}]}, {"$ref": 5}, {"allOf": ["odd"]},
     {"$ref": "#/components/schemas/nosuch"}, {"patternProperties": {"^x": {}}}],
)  # fmt: skip
def test_inputs_with_an_unreadable_part(part):
    """An unreadable part may have further names, so no name is unknown."""
    found = inputs_of(document({"prompt": {"type": "string"}}, required=["prompt"], **part))

    assert [] == found.check({"prompt": "x", "other": 1})
    assert ["missing `prompt`"] == found.check({"other": 1})


def test_an_endless_schema():
    """Schemas with cycles, and trees that double at each level, are read at once."""
    schemas = {f"n{i}": {"allOf": [{"$ref": f"#/components/schemas/n{i + 1}"}] * 2} for i in range(60)}
    schemas["loop"] = {"type": "array", "items": {"$ref": "#/components/schemas/loop"}}
    properties = {"a": {"$ref": "#/components/schemas/n0"}, "b": {"$ref": "#/components/schemas/loop"}}
    endless = {"components": {"schemas": {"Input": {"properties": properties}, **schemas, "Output": schemas["loop"]}}}
    deep = []
    for _ in range(200):
        deep = [deep]

    assert [] == inputs_of(endless).check({"a": 1, "b": deep})
    assert "json" == output_kind(endless)["kind"]


def test_hostile_text_in_a_schema():
    """Text from a stranger's schema cannot control the terminal or flood a message."""
    name = "\x1b]0;x\x07" + "n" * 500
    properties = {name: {"type": "string", "enum": ["\x1b[2J" * 100] * 1000}, **{f"n{i}": {} for i in range(500)}}
    unknown, problem = check({name: 1, "nosuch": 1}, document({"prompt": {}, **properties}))

    assert problem.isprintable()
    assert unknown.isprintable()
    assert len(problem) < 800
    assert len(unknown) < 800


# Compared with a JSON Schema validator
# -------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "auto", ""])
SMALL = st.integers(0, 3)
SIMPLE = st.one_of(
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": SMALL, "maximum": SMALL}),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"minimum": st.floats(-2, 2)}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": SMALL, "maxLength": SMALL}),
    st.fixed_dictionaries({"enum": st.lists(st.one_of(WORDS, st.integers(0, 2), st.booleans()), min_size=1)}),
    st.fixed_dictionaries({"type": st.just("boolean")}),
    st.fixed_dictionaries({"type": st.just(["string", "null"])}),
    st.fixed_dictionaries({"exclusiveMinimum": SMALL, "multipleOf": st.sampled_from([1, 2, 0.5, 0.1])}),
    st.fixed_dictionaries({"pattern": st.sampled_from(["^a", "a|b", "^[a-z]*$", "u.o", "^$"])}),
    st.just({}),
    st.just({"$ref": "#/components/schemas/scheduler"}),
)  # fmt: skip
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"maxItems": st.integers(0, 2)}),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1, max_size=2)},
                              optional={"items": inner, "uniqueItems": st.booleans()}),
        st.fixed_dictionaries({"properties": st.dictionaries(WORDS, inner, max_size=2),
                               "additionalProperties": st.one_of(st.booleans(), inner)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(WORDS, inner, max_size=2),
                               "required": st.lists(WORDS, max_size=1)}),
    ),
    max_leaves=6,
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-4, 4), st.floats(-3, 3), WORDS, st.just("DDIM")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(schema=SCHEMAS, value=VALUES)
def test_valid_inputs_are_never_refused(schema, value):
    """Every input that a JSON Schema validator accepts passes."""
    whole = document({"it": schema}, required=())
    validator = jsonschema.Draft202012Validator({**whole, **whole["components"]["schemas"]["Input"]})

    if validator.is_valid({"it": value}):
        assert [] == inputs_of(whole).check({"it": value})


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "enum", "items", "anyOf", "allOf", "$ref", "properties", "required",
                                         "minimum", "maxLength", "format", "default", "x-order", "nullable", "it"]),
                        st.one_of(inner, st.sampled_from(["string", "integer", "array", "object", "uri"])), max_size=5),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(schema=ANYTHING, value=ANYTHING)
def test_any_schema_gives_a_result(schema, value):
    """Any value instead of a schema or an input gives a result."""
    for whole in (document({"it": schema}, output=schema), {"components": {"schemas": {"Input": schema}}}):
        found = inputs_of(whole)

        assert all(one.isprintable() for one in found.check({"it": value}))
        assert all(field.to_dict()["type"] for field in found.fields)
        assert output_kind(whole)["kind"] in {"text", "concatenate", "file", "files", "json"}


# Outputs ----------------------------------------------------------------------------------------------------------

STREAM = {"type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}


@pytest.mark.parametrize(
    ("schema", "kind", "files", "words"),
    [
        ({"type": "string"}, "text", [], "string"),
        ({"type": "string", "nullable": True}, "text", [], "string"),
        ({**STREAM, "x-cog-array-display": "concatenate"}, "concatenate", [], "text"),
        (STREAM, "json", [], "list of strings"),
        (URI, "file", [[]], "file"),
        ({"anyOf": [URI, {"type": "null"}]}, "file", [[]], "file"),
        ({"type": "array", "items": URI}, "files", [["*"]], "list of files"),
        ({**STREAM, "items": URI, "x-cog-array-display": "concatenate"}, "files", [["*"]], "list of files"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Camera"}}, "json", [["*", "by"]], "list of objects"),
        ({"$ref": "#/components/schemas/Camera"}, "json", [["by"]], "object"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": URI}, "b": URI, "c": {"type": "string"}}},
         "json", [["a", "*"], ["b"]], "object"),
        ({"type": "object", "additionalProperties": URI}, "json", [["*"]], "object"),
        ({"anyOf": [URI, {"type": "array", "items": URI}]}, "json", [[], ["*"]], "file or list of files"),
        ({"anyOf": [URI, {"type": "string"}]}, "json", [], "file or string"),
        ({"type": "array", "items": {"type": "array", "items": URI}}, "json", [["*", "*"]], "list of lists of files"),
        ({"type": "number"}, "json", [], "number"),
        ({}, "json", [], "any"),
    ],
)  # fmt: skip
def test_outputs(schema, kind, files, words):
    """The form of an output depends only on its schema, never on its text."""
    made = document(output=schema or {"title": "Output"})

    assert {"kind": kind, "files": files} == output_kind(made)
    assert words == output_words(made)
